//! What changed from one version to another.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::RegistryError;
use crate::gates::{changed_kinds, names_missing_in};
use crate::manifest::{Manifest, VersionSummary};
use crate::registry::Registry;

/// A value before and after; `None` where it is absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed<T> {
    /// In the first version.
    pub before: Option<T>,
    /// In the second version.
    pub after: Option<T>,
}

/// All differences between two versions; equal things are left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diff {
    /// Task, target, feature-set hash, schema digest, gates and publisher, as text by name.
    pub facts: BTreeMap<String, Changed<String>>,
    /// Features of the second version only.
    pub features_added: Vec<String>,
    /// Features of the first version only.
    pub features_removed: Vec<String>,
    /// Features that became a number or a category, with both kinds.
    pub features_changed_kind: Vec<String>,
    /// Categories that came and went, by feature.
    pub vocabularies: BTreeMap<String, VocabularyDiff>,
    /// Metrics by name; those of a slice as `name[slice]`.
    pub metrics: BTreeMap<String, Changed<f64>>,
    /// Lineage and parameters by name.
    pub lineage: BTreeMap<String, Changed<String>>,
    /// SHA-256 of files by name.
    pub files: BTreeMap<String, Changed<String>>,
}

/// How a vocabulary changed. Both lists are empty if only the order did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VocabularyDiff {
    /// Categories of the second version only.
    pub added: Vec<String>,
    /// Categories of the first version only.
    pub removed: Vec<String>,
}

impl Diff {
    /// Whether the two versions are the same in everything that is compared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Registry {
    /// Compares two versions of a model by their manifests.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub fn diff(&self, model: &str, before: u64, after: u64) -> Result<Diff, RegistryError> {
        let (before, after) = (self.manifest(model, before)?, self.manifest(model, after)?);
        let (old, new) = (&before.summary, &after.summary);
        Ok(Diff {
            facts: changes(&facts(&before), &facts(&after), |a, b| a == b),
            features_added: names_missing_in(&new.schema, &old.schema),
            features_removed: names_missing_in(&old.schema, &new.schema),
            features_changed_kind: changed_kinds(&old.schema, &new.schema),
            vocabularies: vocabularies(old, new),
            // By bits, so that "not defined" equals itself.
            metrics: changes(&all_metrics(old), &all_metrics(new), |a, b| {
                a.to_bits() == b.to_bits()
            }),
            lineage: changes(&old.lineage, &new.lineage, |a, b| a == b),
            files: changes(&checksums(&before), &checksums(&after), |a, b| a == b),
        })
    }
}

fn changes<T: Clone>(
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
    same: impl Fn(&T, &T) -> bool,
) -> BTreeMap<String, Changed<T>> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |name: &String| {
        let (before, after) = (before.get(name), after.get(name));
        let equal = matches!((before, after), (Some(before), Some(after)) if same(before, after));
        (!equal).then(|| (name.clone(), Changed { before: before.cloned(), after: after.cloned() }))
    };
    names.into_iter().filter_map(change).collect()
}

fn facts(manifest: &Manifest) -> BTreeMap<String, String> {
    let summary = &manifest.summary;
    let hash = summary.feature_set_hash.clone().map(|hash| ("feature_set_hash", hash));
    let facts = [
        ("task", summary.task.clone()),
        ("target", format!("{:?}", summary.target)),
        ("schema_digest", manifest.schema_digest().to_owned()),
        ("gates", format!("{:?}", summary.gates)),
        ("created_by", summary.created_by.clone()),
    ];
    facts.into_iter().chain(hash).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn all_metrics(summary: &VersionSummary) -> BTreeMap<String, f64> {
    let of_slices = summary.slice_metrics.iter().flat_map(|(slice, metrics)| {
        metrics.iter().map(move |(name, &value)| (format!("{name}[{slice}]"), value))
    });
    summary.metrics.iter().map(|(name, &value)| (name.clone(), value)).chain(of_slices).collect()
}

fn checksums(manifest: &Manifest) -> BTreeMap<String, String> {
    manifest.files.iter().map(|(name, file)| (name.clone(), file.sha256.clone())).collect()
}

fn vocabularies(old: &VersionSummary, new: &VersionSummary) -> BTreeMap<String, VocabularyDiff> {
    let mut diffs = BTreeMap::new();
    for feature in new.schema.features() {
        let Some(index) = old.schema.index_of(&feature.name) else { continue };
        let (before, after) = (old.schema.features()[index].vocabulary(), feature.vocabulary());
        let (Some(before), Some(after)) = (before, after) else { continue };
        if before != after {
            let only = |these: &[String], those: &[String]| {
                let those: BTreeSet<&String> = those.iter().collect();
                these.iter().filter(|category| !those.contains(category)).cloned().collect()
            };
            let (added, removed) = (only(after, before), only(before, after));
            diffs.insert(feature.name.clone(), VocabularyDiff { added, removed });
        }
    }
    diffs
}
