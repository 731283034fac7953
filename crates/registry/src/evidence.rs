//! What versions have shown as shadows, where every server and every promotion finds it.
//!
//! Each run of a server keeps its own counts in a file of its own, `MODEL/evidence/RUN.json`, and puts
//! new ones in the place of the old. Counts are sums: those of all runs add up, whatever was restarted
//! in between. They are not part of the chain of events; the figures that a promotion was judged by are
//! kept in its event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::RegistryError;
use crate::names::{check_run_name, is_name};
use crate::registry::Registry;
use crate::sealed::{seal, unseal};

/// Newest format of a file of counts that this build reads, and the one it writes.
const EVIDENCE_FORMAT: u32 = 1;

/// Upper bounds of the buckets of absolute differences; a last one is open.
pub const DIFFERENCE_BOUNDS: [f64; 10] =
    [1e-9, 1e-6, 1e-4, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];

/// What was counted of rows that one version answered and another scored unseen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShadowCounts {
    /// The version that answered.
    pub champion_version: u64,
    /// The version that scored copies.
    pub shadow_version: u64,
    /// Rows that both scored; sums and buckets are of these.
    pub n_rows: u64,
    /// Rows with the same score to the bit.
    pub n_equal: u64,
    /// Rows that fall into another segment.
    pub n_segment_flips: u64,
    /// Of the absolute differences of the scores.
    pub sum_abs_difference: f64,
    /// The largest absolute difference.
    pub max_abs_difference: f64,
    /// Of the shadow's scores less the champion's.
    pub sum_shift: f64,
    /// Rows by absolute difference: above the bound of the bucket before and not above their own, by
    /// [`DIFFERENCE_BOUNDS`].
    pub buckets: [u64; DIFFERENCE_BOUNDS.len() + 1],
    /// Rows that the shadow could not read.
    pub n_unreadable: u64,
    /// Rows that it could not score.
    pub n_failed: u64,
    /// When the first row came, in microseconds UTC; 0 if none has.
    pub first_us: i64,
    /// When the last one came.
    pub last_us: i64,
}

impl ShadowCounts {
    /// Mean of the absolute differences; 0 without rows.
    #[must_use]
    pub fn mean_abs_difference(&self) -> f64 {
        self.sum_abs_difference / self.n_rows.max(1) as f64
    }

    /// Mean of the shadow's score less the champion's; 0 without rows.
    #[must_use]
    pub fn mean_shift(&self) -> f64 {
        self.sum_shift / self.n_rows.max(1) as f64
    }

    /// Counts one row as `add` says, which came at `time_us`.
    pub fn count(&mut self, time_us: i64, add: impl FnOnce(&mut Self)) {
        if self.first_us == 0 {
            self.first_us = time_us;
        }
        self.last_us = time_us;
        add(self);
    }

    /// Adds what another run has counted of the same two versions.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.n_rows += other.n_rows;
        self.n_equal += other.n_equal;
        self.n_segment_flips += other.n_segment_flips;
        self.sum_abs_difference += other.sum_abs_difference;
        self.max_abs_difference = self.max_abs_difference.max(other.max_abs_difference);
        self.sum_shift += other.sum_shift;
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += more;
        }
        self.n_unreadable += other.n_unreadable;
        self.n_failed += other.n_failed;
        self.first_us = match (self.first_us, other.first_us) {
            (0, first) | (first, 0) => first,
            (ours, theirs) => ours.min(theirs),
        };
        self.last_us = self.last_us.max(other.last_us);
    }
}

/// The file of one run.
#[derive(Serialize, Deserialize)]
struct RunFile {
    format: u32,
    pairs: Vec<ShadowCounts>,
}

impl Registry {
    /// Keeps what one run of a server has counted of a model, in the place of what it kept before. `run`
    /// is a name that no other run has, of the form of a model's name.
    ///
    /// # Errors
    /// [`RegistryError::ModelNotFound`], [`RegistryError::NameInvalid`] for `run`, or if the storage fails.
    pub fn keep_evidence(
        &self,
        model: &str,
        run: &str,
        pairs: Vec<ShadowCounts>,
    ) -> Result<(), RegistryError> {
        self.check_model(model)?;
        check_run_name(run)?;
        let key = format!("{}/{run}.json", evidence_key(model));
        let bytes = seal(&RunFile { format: EVIDENCE_FORMAT, pairs })
            .map_err(|error| self.no_evidence(&key, &error))?;
        let written = self.storage.replace(&key, &bytes, &self.steps);
        written.map_err(|error| RegistryError::io(self.storage.place(&key), error))
    }

    /// What all runs of all servers have counted of a model, by champion, then by shadow.
    ///
    /// # Errors
    /// [`RegistryError::ModelNotFound`], [`RegistryError::Corrupt`] if a file of counts is not as it was
    /// written, or if the storage fails.
    pub fn evidence(&self, model: &str) -> Result<Vec<ShadowCounts>, RegistryError> {
        self.check_model(model)?;
        let mut pairs: BTreeMap<(u64, u64), ShadowCounts> = BTreeMap::new();
        for key in self.evidence_files(model)? {
            for counts in self.evidence_of_run(&key)? {
                let versions = (counts.champion_version, counts.shadow_version);
                pairs.entry(versions).and_modify(|sum| sum.merge(&counts)).or_insert(counts);
            }
        }
        Ok(pairs.into_values().collect())
    }

    /// Keys of the files of counts.
    pub(crate) fn evidence_files(&self, model: &str) -> Result<Vec<String>, RegistryError> {
        let folder = evidence_key(model);
        let files = self.list_key(&folder)?.files.into_iter();
        Ok(files.filter(|name| is_run_file(name)).map(|name| format!("{folder}/{name}")).collect())
    }

    /// The counts of one file. One that is gone by now has none.
    pub(crate) fn evidence_of_run(&self, key: &str) -> Result<Vec<ShadowCounts>, RegistryError> {
        let Some(bytes) = self.read_key(key)? else { return Ok(Vec::new()) };
        let file: RunFile =
            unseal(&bytes, EVIDENCE_FORMAT).map_err(|error| self.no_evidence(key, &error))?;
        Ok(file.pairs)
    }

    fn no_evidence(&self, key: &str, error: &dyn std::fmt::Display) -> RegistryError {
        let reason = format!(
            "{error}; remove it, and what one run of a server has counted of shadows with it"
        );
        RegistryError::Corrupt { place: self.storage.place(key), reason }
    }
}

pub(crate) fn evidence_key(model: &str) -> String {
    format!("{model}/evidence")
}

/// Whether a run could have written a file of this name.
pub(crate) fn is_run_file(name: &str) -> bool {
    name.strip_suffix(".json").is_some_and(is_name)
}
