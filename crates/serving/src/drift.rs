//! How far the rows of a version have moved from those it was trained on.
//!
//! Rows are counted into the bins of the version's training profile, in windows of equal length; what
//! is told is of the running window and the one before, so that it is neither of a few rows nor of
//! last week. Counted on the log's thread and never on a request's.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use segue_model::{Drift, Profile, ProfileCounter};

use crate::metrics::{DriftLabels, DriftOutputLabels, LogMetrics, VersionLabels};
use crate::prediction_log::LoggedVersion;

/// Fewer rows say nothing: by chance alone, the index of twenty bins is about 20 over their number.
pub(crate) const MIN_DRIFT_ROWS: u64 = 500;

/// Below it a distribution is called stable.
pub(crate) const STABLE_BELOW: f64 = 0.1;

/// Above it a distribution has moved.
pub(crate) const MOVED_ABOVE: f64 = 0.25;

/// Windows of all versions that were asked lately.
#[derive(Debug)]
pub(crate) struct DriftWindows {
    window_us: i64,
    versions: Mutex<Versions>,
    /// The gauges that there are. Locked while they are set: two who ask at once must not take away
    /// what the other has set.
    told: Mutex<Told>,
}

/// Labels of gauges.
#[derive(Debug, Default)]
struct Told {
    rows: HashSet<VersionLabels>,
    features: HashSet<DriftLabels>,
    outputs: HashSet<DriftOutputLabels>,
}

type Versions = BTreeMap<(String, u64), Windows>;

#[derive(Debug)]
struct Windows {
    digest: String,
    reference: Profile,
    /// Number of the running window since 1970.
    running: i64,
    now: ProfileCounter,
    before: Option<ProfileCounter>,
}

/// What the windows of a version say.
#[derive(Debug, Clone)]
pub(crate) struct DriftReport {
    pub(crate) digest: String,
    /// Start of the first window, in microseconds.
    pub(crate) start_us: i64,
    pub(crate) n_rows: u64,
    pub(crate) n_training_rows: u64,
    pub(crate) features: Vec<Drift>,
    pub(crate) outputs: Vec<Drift>,
}

/// Counts rows while it lives.
#[derive(Debug)]
pub(crate) struct Counting<'a> {
    window_us: i64,
    versions: MutexGuard<'a, Versions>,
}

impl DriftWindows {
    /// Windows of so many microseconds, at least 1.
    pub(crate) fn new(window_us: i64) -> Self {
        Self { window_us: window_us.max(1), versions: Mutex::default(), told: Mutex::default() }
    }

    /// Takes the lock for many rows.
    pub(crate) fn counting(&self) -> Counting<'_> {
        Counting { window_us: self.window_us, versions: self.lock() }
    }

    fn lock(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the windows of a version say at `now_us`; `None` without a row in them.
    pub(crate) fn report(&self, model: &str, version: u64, now_us: i64) -> Option<DriftReport> {
        let running = now_us.div_euclid(self.window_us);
        let (digest, reference, counter, first) = {
            let mut versions = self.lock();
            let windows = versions.get_mut(&(model.to_owned(), version))?;
            windows.advance(running);
            let (counter, first) = windows.together();
            (windows.digest.clone(), windows.reference.clone(), counter, first)
        };
        let found = counter.profile();
        if found.n_rows == 0 {
            return None;
        }
        // The counter has the bins of the reference.
        let mut features = reference.psi(&found).ok()?;
        let outputs = features.split_off(reference.features.len());
        Some(DriftReport {
            digest,
            start_us: first * self.window_us,
            n_rows: found.n_rows,
            n_training_rows: reference.n_rows,
            features,
            outputs,
        })
    }

    /// Sets the gauges to what the windows say at `now_us`, and forgets versions without rows. Gauges
    /// are changed where they are: at no moment is one missing from the page that belongs there.
    pub(crate) fn publish(&self, metrics: &LogMetrics, now_us: i64) {
        let running = now_us.div_euclid(self.window_us);
        let known: Vec<(String, u64)> = {
            let mut versions = self.lock();
            versions.retain(|_, windows| {
                windows.advance(running);
                windows.n_rows() > 0
            });
            versions.keys().cloned().collect()
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *told);
        for (model, version) in known {
            let Some(report) = self.report(&model, version, now_us) else { continue };
            let n_rows = i64::try_from(report.n_rows).unwrap_or(i64::MAX);
            let labels = VersionLabels { model: model.clone(), version };
            metrics.drift_rows.get_or_create(&labels).set(n_rows);
            told.rows.insert(labels);
            if report.n_rows < MIN_DRIFT_ROWS {
                continue;
            }
            for drift in report.features {
                let labels = DriftLabels { model: model.clone(), version, feature: drift.name };
                metrics.drift_psi.get_or_create(&labels).set(drift.psi);
                told.features.insert(labels);
            }
            for drift in report.outputs {
                let labels =
                    DriftOutputLabels { model: model.clone(), version, output: drift.name };
                metrics.drift_output_psi.get_or_create(&labels).set(drift.psi);
                told.outputs.insert(labels);
            }
        }
        for gone in before.rows.difference(&told.rows) {
            metrics.drift_rows.remove(gone);
        }
        for gone in before.features.difference(&told.features) {
            metrics.drift_psi.remove(gone);
        }
        for gone in before.outputs.difference(&told.outputs) {
            metrics.drift_output_psi.remove(gone);
        }
    }
}

impl Counting<'_> {
    /// Counts a row of a version with a profile: its columns, and one value an output.
    pub(crate) fn add(
        &mut self,
        version: &LoggedVersion,
        time_us: i64,
        row: &[f64],
        outputs: &[f64],
    ) {
        let Some(profile) = &version.profile else { return };
        let running = time_us.div_euclid(self.window_us);
        let shape = &version.shape;
        let fresh = || Windows {
            digest: shape.digest.clone(),
            reference: profile.clone(),
            running,
            now: profile.counter(),
            before: None,
        };
        let known = self
            .versions
            .iter_mut()
            .find(|((model, number), _)| *number == shape.version && *model == shape.model);
        let windows = match known {
            Some((_, windows)) => windows,
            None => {
                let key = (shape.model.clone(), shape.version);
                self.versions.entry(key).or_insert_with(fresh)
            }
        };
        if windows.digest != shape.digest {
            *windows = fresh();
        }
        windows.advance(running);
        windows.now.add(row, outputs);
    }
}

impl Windows {
    /// Goes on to a later window; an earlier one is counted as the running one.
    fn advance(&mut self, running: i64) {
        if running <= self.running {
            return;
        }
        let done = std::mem::replace(&mut self.now, self.reference.counter());
        self.before = (running == self.running + 1).then_some(done);
        self.running = running;
    }

    fn n_rows(&self) -> u64 {
        self.now.n_rows() + self.before.as_ref().map_or(0, ProfileCounter::n_rows)
    }

    /// Both windows, and the number of the first.
    fn together(&self) -> (ProfileCounter, i64) {
        let mut counter = self.now.clone();
        match &self.before {
            Some(before) => {
                counter.absorb(before);
                (counter, self.running - 1)
            }
            None => (counter, self.running),
        }
    }
}
