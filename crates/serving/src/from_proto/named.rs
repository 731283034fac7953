//! Features by name.

use std::collections::BTreeMap;

use segue_api::v1 as pb;
use segue_dataset::{Feature, FeatureKind, Schema, UNSEEN_CATEGORY};

use super::{Findings, Reading, shown};
use crate::Reason;
use crate::live::Selected;

type Values = BTreeMap<String, pb::FeatureValue>;

/// One vector a model. A feature that no selected model knows is extra; one that a model misses is
/// an error unless the request allows it.
pub(super) fn read(
    given: &pb::NamedFeatures,
    selected: &[Selected],
    reading: &Reading,
    path: &str,
    findings: &mut Findings,
) -> Vec<Vec<f64>> {
    let read_for = |one: &Selected, findings: &mut Findings| {
        let reader = Reader { values: &given.values, model: &one.served.name, reading, path };
        reader.row(one.served.model.schema(), findings)
    };
    let rows = selected.iter().map(|one| read_for(one, findings)).collect();
    let known =
        |name: &str| selected.iter().any(|one| one.served.model.schema().index_of(name).is_some());
    for name in given.values.keys().filter(|name| !known(name)) {
        let field = field_of(path, name);
        let message = "no selected model has this feature; GetModelSchema lists them".to_owned();
        if reading.strict {
            findings.bad(field, Reason::ExtraFeature, message);
        } else {
            findings.warn("EXTRA_FEATURE", field, message);
        }
    }
    rows
}

fn field_of(path: &str, name: &str) -> String {
    format!("{path}.named.values[{:?}]", shown(name))
}

struct Reader<'a> {
    values: &'a Values,
    model: &'a str,
    reading: &'a Reading,
    path: &'a str,
}

impl Reader<'_> {
    fn row(&self, schema: &Schema, findings: &mut Findings) -> Vec<f64> {
        let columns = schema.features().iter().enumerate();
        columns.map(|(column, feature)| self.value(schema, column, feature, findings)).collect()
    }

    fn value(
        &self,
        schema: &Schema,
        column: usize,
        feature: &Feature,
        findings: &mut Findings,
    ) -> f64 {
        use pb::feature_value::Kind;
        let Some(value) = self.values.get(&feature.name) else {
            if !self.reading.allow_missing {
                let description = format!(
                    "model {:?} needs this feature; send it, send `missing`, or set \
                     options.allow_missing",
                    self.model
                );
                let field = field_of(self.path, &feature.name);
                findings.bad(field, Reason::FeatureMissing, description);
            }
            return f64::NAN;
        };
        match (&feature.kind, &value.kind) {
            (_, Some(Kind::Missing(_))) => f64::NAN,
            (FeatureKind::Number, Some(Kind::Number(number))) if number.is_finite() => *number,
            (FeatureKind::Number, Some(Kind::Number(number))) => {
                let description =
                    format!("expected a finite number, found {number}; send `missing` instead");
                let field = field_of(self.path, &feature.name);
                findings.bad(field, Reason::FeatureNotFinite, description);
                f64::NAN
            }
            (FeatureKind::Number, Some(Kind::Integer(integer))) => *integer as f64,
            (FeatureKind::Number, Some(Kind::Flag(flag))) => f64::from(u8::from(*flag)),
            (FeatureKind::Category { vocabulary }, Some(Kind::Category(category))) => {
                let code = schema.category_code(column, category);
                if code == UNSEEN_CATEGORY {
                    self.unseen(feature, category, vocabulary.len(), findings);
                }
                code
            }
            (kind, found) => {
                let description =
                    format!("expected {}, found {}", expected(kind), found_kind(found.as_ref()));
                findings.bad(field_of(self.path, &feature.name), Reason::FeatureType, description);
                f64::NAN
            }
        }
    }

    fn unseen(&self, feature: &Feature, category: &str, n_known: usize, findings: &mut Findings) {
        let message =
            format!("{:?} is none of the {n_known} categories seen in training", shown(category));
        let field = field_of(self.path, &feature.name);
        if self.reading.strict {
            findings.bad(field, Reason::CategoryUnknown, message);
        } else {
            findings.warn("UNSEEN_CATEGORY", field, message);
        }
    }
}

fn expected(kind: &FeatureKind) -> &'static str {
    match kind {
        FeatureKind::Number => "`number`, `integer` or `flag`",
        FeatureKind::Category { .. } => "`category`",
    }
}

fn found_kind(kind: Option<&pb::feature_value::Kind>) -> &'static str {
    use pb::feature_value::Kind;
    match kind {
        None => "no value",
        Some(Kind::Number(_)) => "`number`",
        Some(Kind::Integer(_)) => "`integer`",
        Some(Kind::Flag(_)) => "`flag`",
        Some(Kind::Category(_)) => "`category`",
        Some(Kind::Missing(_)) => "`missing`",
    }
}
