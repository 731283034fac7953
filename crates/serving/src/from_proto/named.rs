//! Features by name.

use prost::DecodeError;
use segue_api::v1::{NamedFeatures, NamedValue};
use segue_dataset::{Feature, FeatureKind, Schema, UNSEEN_CATEGORY};

use super::{Findings, Reading, RowPath, shown};
use crate::Reason;
use crate::live::Selected;

/// One vector a model. A feature that no selected model knows is extra; one that a model misses is
/// an error unless the request allows it.
pub(super) fn read(
    given: &NamedFeatures,
    selected: &[Selected],
    reading: &Reading,
    path: RowPath,
    findings: &mut Findings,
) -> Vec<Vec<f64>> {
    let read_for = |one: &Selected| {
        let schema = one.served.model.schema();
        Reader { given, schema, model: &one.served.name, reading, path }.row(findings)
    };
    let read: Vec<Row> = match selected.iter().map(read_for).collect::<Result<_, DecodeError>>() {
        Ok(read) => read,
        Err(error) => {
            let field = format!("{path}.named.values");
            let description = format!("not a name and a value: {error}");
            findings.bad(field, Reason::FieldInvalid, description);
            return Vec::new();
        }
    };
    // Nothing is extra if one model knows all there is.
    if read.iter().all(|row| row.n_unknown > 0) {
        find_extra(given, selected, reading, path, findings);
    }
    read.into_iter().map(|row| row.values).collect()
}

/// What a model makes of the features.
struct Row {
    values: Vec<f64>,
    /// Given features that the model does not know.
    n_unknown: usize,
}

fn find_extra(
    given: &NamedFeatures,
    selected: &[Selected],
    reading: &Reading,
    path: RowPath,
    findings: &mut Findings,
) {
    let known =
        |name: &str| selected.iter().any(|one| one.served.model.schema().index_of(name).is_some());
    let names = given.iter().flatten().filter_map(|(name, _)| name.text().ok());
    for name in names.filter(|name| !known(name)) {
        let field = field_of(path, name);
        let message = "no selected model has this feature; GetModelSchema lists them".to_owned();
        if reading.strict {
            findings.bad(field, Reason::ExtraFeature, message);
        } else {
            findings.warn("EXTRA_FEATURE", field, message);
        }
    }
}

fn field_of(path: RowPath, name: &str) -> String {
    format!("{path}.named.values[{:?}]", shown(name))
}

struct Reader<'a> {
    given: &'a NamedFeatures,
    schema: &'a Schema,
    model: &'a str,
    reading: &'a Reading,
    path: RowPath,
}

/// In the place of a feature that was not given: a NaN like no other, as those of requests are refused.
const NOT_GIVEN: u64 = 0x7FF8_0000_0000_5E60;

impl Reader<'_> {
    /// # Errors
    /// Of bytes that are no name and value; then nothing else is said of the row.
    fn row(&self, findings: &mut Findings) -> Result<Row, DecodeError> {
        let features = self.schema.features();
        let mut values = vec![f64::from_bits(NOT_GIVEN); features.len()];
        let mut n_unknown = 0;
        // What there is something to say about, unless its name comes again. Mostly nothing.
        let mut odd: Vec<Option<NamedValue<'_>>> = Vec::new();
        // Callers that send columns in their order are the quickest to serve.
        let mut next = 0;
        for entry in self.given.iter() {
            let (name, value) = entry?;
            let column = match features.get(next) {
                Some(feature) if name.is(&feature.name) => next,
                _ => match self.schema.index_of(name.text()?) {
                    Some(column) => column,
                    None => {
                        n_unknown += 1;
                        continue;
                    }
                },
            };
            next = column + 1;
            let plain = self.plain(column, &features[column].kind, value);
            values[column] = plain.unwrap_or(f64::NAN);
            if plain.is_none() {
                odd.resize(features.len(), None);
            }
            if let Some(odd) = odd.get_mut(column) {
                *odd = plain.is_none().then_some(value);
            }
        }
        for (column, (feature, value)) in features.iter().zip(&mut values).enumerate() {
            if let Some(Some(odd)) = odd.get(column) {
                *value = self.odd(feature, *odd, findings);
            } else if value.to_bits() == NOT_GIVEN {
                *value = self.absent(feature, findings);
            }
        }
        Ok(Row { values, n_unknown })
    }

    /// A value that there is nothing to say about.
    #[inline]
    fn plain(&self, column: usize, kind: &FeatureKind, value: NamedValue<'_>) -> Option<f64> {
        match (kind, value) {
            (_, NamedValue::Missing) => Some(f64::NAN),
            (FeatureKind::Number, NamedValue::Number(number)) => {
                number.is_finite().then_some(number)
            }
            (FeatureKind::Number, NamedValue::Integer(integer)) => Some(integer as f64),
            (FeatureKind::Number, NamedValue::Flag(flag)) => Some(f64::from(u8::from(flag))),
            (FeatureKind::Category { .. }, NamedValue::Category(category)) => {
                let code = self.schema.category_code(column, category);
                (code != UNSEEN_CATEGORY).then_some(code)
            }
            _ => None,
        }
    }

    fn absent(&self, feature: &Feature, findings: &mut Findings) -> f64 {
        if !self.reading.allow_missing {
            let description = format!(
                "model {:?} needs this feature; send it, send `missing`, or set \
                 options.allow_missing",
                self.model
            );
            let field = field_of(self.path, &feature.name);
            findings.bad(field, Reason::FeatureMissing, description);
        }
        f64::NAN
    }

    /// A value that there is something to say about.
    fn odd(&self, feature: &Feature, value: NamedValue<'_>, findings: &mut Findings) -> f64 {
        let (reason, description) = match (&feature.kind, value) {
            (FeatureKind::Category { vocabulary }, NamedValue::Category(category)) => {
                self.unseen(feature, category, vocabulary.len(), findings);
                return UNSEEN_CATEGORY;
            }
            (FeatureKind::Number, NamedValue::Number(number)) => (
                Reason::FeatureNotFinite,
                format!("expected a finite number, found {number}; send `missing` instead"),
            ),
            (kind, found) => (
                Reason::FeatureType,
                format!("expected {}, found {}", expected(kind), found_kind(found)),
            ),
        };
        findings.bad(field_of(self.path, &feature.name), reason, description);
        f64::NAN
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

fn found_kind(value: NamedValue<'_>) -> &'static str {
    match value {
        NamedValue::Unset => "no value",
        NamedValue::Number(_) => "`number`",
        NamedValue::Integer(_) => "`integer`",
        NamedValue::Flag(_) => "`flag`",
        NamedValue::Category(_) => "`category`",
        NamedValue::Missing => "`missing`",
    }
}
