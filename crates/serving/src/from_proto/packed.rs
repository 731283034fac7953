//! Features by position, accepted only with the digest of the schema they were packed for.

use segue_api::v1 as pb;
use segue_dataset::{Feature, FeatureKind, UNSEEN_CATEGORY};

use super::{Findings, RowPath, shown};
use crate::live::Selected;
use crate::{Reason, ServingError};

/// The same vector for every selected model: each must have the schema of the digest.
pub(super) fn read(
    given: &pb::PackedFeatures,
    selected: &[Selected],
    path: RowPath,
    findings: &mut Findings,
) -> Result<Vec<Vec<f64>>, ServingError> {
    if given.schema_digest.is_empty() {
        let field = format!("{path}.packed.schema_digest");
        let description = "packed features need the digest that GetModelSchema gives";
        return Err(ServingError::invalid(field, Reason::SchemaDigestAbsent, description));
    }
    for one in selected {
        let expected = one.served.model.schema().digest().as_str();
        if given.schema_digest != expected {
            return Err(ServingError::SchemaDigestMismatch {
                model: one.served.name.clone(),
                version: one.served.version,
                expected: expected.to_owned(),
                found: shown(&given.schema_digest).to_owned(),
            });
        }
    }
    // One digest, so one schema.
    let features = selected.first().map_or(&[][..], |one| one.served.model.schema().features());
    if given.values.len() != features.len() {
        let description = format!(
            "expected {} values, one a column of the schema, found {}",
            features.len(),
            given.values.len()
        );
        let field = format!("{path}.packed.values");
        return Err(ServingError::invalid(field, Reason::FeatureCountMismatch, description));
    }
    for (column, (feature, value)) in features.iter().zip(&given.values).enumerate() {
        check(feature, *value, || format!("{path}.packed.values[{column}]"), findings);
    }
    Ok(selected.iter().map(|_| given.values.clone()).collect())
}

/// What a value by position must be: a number that is not infinite, or the code of a category; NaN is
/// missing.
pub(crate) fn check(
    feature: &Feature,
    value: f64,
    field: impl Fn() -> String,
    findings: &mut Findings,
) {
    if value.is_infinite() {
        let description = format!("feature {:?} is {value}; NaN is missing", feature.name);
        findings.bad(field(), Reason::FeatureNotFinite, description);
        return;
    }
    if let FeatureKind::Category { vocabulary } = &feature.kind {
        let is_code = value.fract() == 0.0 && value >= 0.0 && value < vocabulary.len() as f64;
        if !(value.is_nan() || value == UNSEEN_CATEGORY || is_code) {
            let description = format!(
                "feature {:?} is a category: expected an index below {}, -1 or NaN, found {value}",
                feature.name,
                vocabulary.len()
            );
            findings.bad(field(), Reason::FeatureType, description);
        }
    }
}
