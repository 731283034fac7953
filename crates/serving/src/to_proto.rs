//! From answers to the wire.

mod registry;

use segue_api::v1 as pb;
use segue_dataset::{FeatureKind, Schema, TargetKind};
use segue_model::{Direction, FeatureValue, Reason};

pub(crate) use self::registry::{
    gate_result, loaded_versions, model, model_event, model_version, shadow_report,
    unreadable_model, watched_model,
};
use crate::live::{Selected, Variant};

/// The version that answers.
pub(crate) fn served_by(selected: &Selected) -> pb::ServedBy {
    pb::ServedBy {
        model: selected.served.name.clone(),
        version: wire_version(selected.served.version),
        digest: selected.served.digest.clone(),
        generation: selected.generation,
        variant: wire_variant(selected.variant).into(),
    }
}

/// Why the version was taken.
pub(crate) fn wire_variant(variant: Variant) -> pb::Variant {
    match variant {
        Variant::Champion => pb::Variant::Champion,
        Variant::Pinned => pb::Variant::Pinned,
        Variant::Canary => pb::Variant::Canary,
    }
}

/// Versions count from 1 and never come near the bounds of the wire's type.
pub(crate) fn wire_version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// Columns in order; `words` gives a column's meaning, or nothing.
pub(crate) fn schema(schema: &Schema, words: impl Fn(usize) -> String) -> pb::Schema {
    let feature = |(column, feature): (usize, &segue_dataset::Feature)| {
        let (kind, vocabulary) = match &feature.kind {
            FeatureKind::Number => (pb::FeatureKind::Number, Vec::new()),
            FeatureKind::Category { vocabulary } => (pb::FeatureKind::Category, vocabulary.clone()),
        };
        pb::Feature {
            name: feature.name.clone(),
            kind: kind.into(),
            vocabulary,
            words: words(column),
        }
    };
    pb::Schema {
        digest: schema.digest().to_string(),
        features: schema.features().iter().enumerate().map(feature).collect(),
    }
}

/// What is predicted.
pub(crate) fn target(target: &TargetKind) -> pb::Target {
    let (kind, classes) = match target {
        TargetKind::Binary => (pb::TargetKind::Binary, Vec::new()),
        TargetKind::Multiclass { classes } => (pb::TargetKind::Multiclass, classes.clone()),
        TargetKind::Regression => (pb::TargetKind::Regression, Vec::new()),
    };
    pb::Target { kind: kind.into(), classes }
}

/// A reason.
pub(crate) fn attribution(reason: Reason) -> pb::Attribution {
    let direction = match reason.direction {
        Direction::Raises => pb::Direction::Raises,
        Direction::Lowers => pb::Direction::Lowers,
    };
    pb::Attribution {
        behaviour: reason.behaviour,
        direction: direction.into(),
        contribution: reason.contribution,
        feature: reason.feature,
        value: Some(feature_value(reason.value)),
    }
}

/// A value; one that the vocabulary does not hold has no text any more and carries no kind.
fn feature_value(value: FeatureValue) -> pb::FeatureValue {
    use pb::feature_value::Kind;
    let kind = match value {
        FeatureValue::Missing => Some(Kind::Missing(pb::Missing {})),
        FeatureValue::Number(number) => Some(Kind::Number(number)),
        FeatureValue::Category(category) => Some(Kind::Category(category)),
        FeatureValue::Unseen => None,
    };
    pb::FeatureValue { kind }
}

/// Microseconds as a timestamp.
pub(crate) fn timestamp(micros: i64) -> prost_types::Timestamp {
    let nanos = micros.rem_euclid(1_000_000) * 1000;
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos: nanos as i32 }
}

/// A span of time.
pub(crate) fn duration(time: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        // Below a billion.
        nanos: i32::try_from(time.subsec_nanos()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::from_proto::micros_of;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn times_come_back(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            prop_assert_eq!(micros_of(&timestamp(micros)), Some(micros));
        }
    }
}
