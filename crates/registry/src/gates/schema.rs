//! Whether those who ask the present version can ask the new one.

use segue_dataset::{Feature, FeatureKind, Schema};

use super::{GateResult, NewFeatures};
use crate::error::list_some;
use crate::manifest::VersionSummary;

pub(super) const NAME: &str = "schema_compatible";

/// Passes unless the new version asks for features that callers do not send, reads a feature as
/// another kind, or answers with other outputs.
pub(super) fn compare(champion: &VersionSummary, candidate: &VersionSummary) -> GateResult {
    let mut faults = Vec::new();
    if champion.target != candidate.target {
        faults.push(format!("it predicts {:?} instead of {:?}", candidate.target, champion.target));
    }
    if champion.feature_set_hash.is_some() && candidate.feature_set_hash.is_none() {
        faults.push("it has no feature set, so callers could no longer send events".to_owned());
    }
    let changed = changed_kinds(&champion.schema, &candidate.schema);
    if !changed.is_empty() {
        faults.push(format!("these features changed their kind: {}", list_some(&changed)));
    }
    let added = names_missing_in(&candidate.schema, &champion.schema);
    let removed = names_missing_in(&champion.schema, &candidate.schema);
    let may_add = match candidate.gates.new_features {
        NewFeatures::Computed => candidate.feature_set_hash.is_some(),
        NewFeatures::Allow => true,
        NewFeatures::Forbid => false,
    };
    if !added.is_empty() && !may_add {
        faults
            .push(format!("it requires features that callers do not send: {}", list_some(&added)));
    }
    let message = if faults.is_empty() {
        let (added, removed) = (list_some(&added), list_some(&removed));
        format!("callers need not change; new features: {added}; dropped: {removed}")
    } else {
        faults.join("; ")
    };
    GateResult::passed_or_failed(NAME, faults.is_empty(), message)
        .with("new_features", added.len() as f64)
        .with("dropped_features", removed.len() as f64)
        .with("changed_features", changed.len() as f64)
}

/// Names of `these` that `those` does not have.
pub(crate) fn names_missing_in(these: &Schema, those: &Schema) -> Vec<String> {
    let missing = |feature: &&Feature| those.index_of(&feature.name).is_none();
    these.features().iter().filter(missing).map(|feature| feature.name.clone()).collect()
}

/// Features that are a number on one side and a category on the other.
pub(crate) fn changed_kinds(before: &Schema, after: &Schema) -> Vec<String> {
    let kind = |feature: &Feature| match feature.kind {
        FeatureKind::Number => "number",
        FeatureKind::Category { .. } => "category",
    };
    let change = |feature: &Feature| {
        let old = &before.features()[before.index_of(&feature.name)?];
        let (from, to) = (kind(old), kind(feature));
        (from != to).then(|| format!("{} ({from} to {to})", feature.name))
    };
    after.features().iter().filter_map(change).collect()
}
