//! Rows by position, with the digest of the schema that they were packed for.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};

use segue_api::v1 as pb;
use tokio::time::Instant;
use tonic::Request;

use crate::call::CallOptions;
use crate::{Client, Error, FieldViolation, Row, Selector, Value};

/// The columns of a version, ready to put values into their places.
#[derive(Debug)]
pub struct Layout {
    response: pb::GetModelSchemaResponse,
    schema: pb::Schema,
    columns: HashMap<String, usize>,
    codes: Vec<HashMap<String, usize>>,
}

/// The layouts that were asked for: every one by its digest, and the digest that each selector was last
/// answered with.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_digest: HashMap<String, Arc<Layout>>,
    by_selector: HashMap<Selector, Arc<Layout>>,
}

/// Layouts kept; more than any server serves at once. Then the memory starts anew.
const MAX_LAYOUTS: usize = 256;

impl Schemas {
    fn of(&self, selector: &Selector) -> Option<Arc<Layout>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.by_selector.get(selector).cloned()
    }

    fn with_digest(&self, digest: &str) -> Option<Arc<Layout>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.by_digest.get(digest).cloned()
    }

    fn keep(&self, selector: &Selector, layout: &Arc<Layout>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.by_digest.len() >= MAX_LAYOUTS || known.by_selector.len() >= MAX_LAYOUTS {
            *known = Known::default();
        }
        known.by_digest.insert(layout.schema.digest.clone(), Arc::clone(layout));
        known.by_selector.insert(selector.clone(), Arc::clone(layout));
    }
}

impl Layout {
    fn new(response: pb::GetModelSchemaResponse) -> Result<Self, Error> {
        let schema = response.schema.clone().ok_or(Error::Answer { part: "schema" })?;
        let features = schema.features.iter();
        let columns =
            features.clone().enumerate().map(|(at, one)| (one.name.clone(), at)).collect();
        let codes = features
            .map(|one| one.vocabulary.iter().enumerate().map(|(at, it)| (it.clone(), at)).collect())
            .collect();
        Ok(Self { response, schema, columns, codes })
    }

    /// SHA-256 of the schema, in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.schema.digest
    }

    /// The columns in order.
    #[must_use]
    pub fn features(&self) -> &[pb::Feature] {
        &self.schema.features
    }

    /// Everything that the server said: version, target, task, segments.
    #[must_use]
    pub fn response(&self) -> &pb::GetModelSchemaResponse {
        &self.response
    }

    /// The model and version that the schema was asked of.
    fn name(&self) -> String {
        let served_by = self.response.served_by.as_ref();
        served_by.map_or_else(String::new, |one| format!("{}/{}", one.model, one.version))
    }

    /// The row by position. Unless `allow_missing`, every feature must be there or be known to be
    /// missing.
    ///
    /// # Errors
    /// [`Error::Packing`] names each feature that is absent, that the schema does not have, or whose
    /// value is of the other kind.
    pub fn pack(&self, row: &Row, allow_missing: bool) -> Result<pb::FeatureRow, Error> {
        let mut violations = Vec::new();
        let packed = self.packed(row, allow_missing, &mut violations);
        if violations.is_empty() {
            return Ok(packed);
        }
        Err(Error::Packing { model: self.name(), violations })
    }

    pub(crate) fn pack_all(
        &self,
        rows: &[Row],
        allow_missing: bool,
    ) -> Result<Vec<pb::FeatureRow>, Error> {
        let mut violations = Vec::new();
        let mut packed = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let n_before = violations.len();
            packed.push(self.packed(row, allow_missing, &mut violations));
            for violation in &mut violations[n_before..] {
                violation.field = format!("rows[{index}].{}", violation.field);
            }
        }
        if violations.is_empty() {
            return Ok(packed);
        }
        Err(Error::Packing { model: self.name(), violations })
    }

    fn packed(
        &self,
        row: &Row,
        allow_missing: bool,
        violations: &mut Vec<FieldViolation>,
    ) -> pb::FeatureRow {
        let mut violation = |name: &str, reason: &str, description: String| {
            violations.push(FieldViolation {
                field: format!("values[{name:?}]"),
                reason: reason.to_owned(),
                description,
            });
        };
        let mut values = vec![f64::NAN; self.schema.features.len()];
        let mut n_found = 0;
        for (name, value) in &row.values {
            let Some(&column) = self.columns.get(name) else {
                let description = "the schema has no such feature".to_owned();
                violation(name, "EXTRA_FEATURE", description);
                continue;
            };
            n_found += 1;
            match self.code(column, value) {
                Ok(code) => values[column] = code,
                Err(description) => violation(name, "FEATURE_TYPE", description),
            }
        }
        if n_found < self.schema.features.len() && !allow_missing {
            for feature in &self.schema.features {
                if !row.values.contains_key(&feature.name) {
                    let description = "absent; give a value, or say that it is missing".to_owned();
                    violation(&feature.name, "FEATURE_MISSING", description);
                }
            }
        }
        let schema_digest = self.schema.digest.clone();
        row.with(pb::feature_row::Features::Packed(pb::PackedFeatures { values, schema_digest }))
    }

    /// The value as its column holds it.
    fn code(&self, column: usize, value: &Value) -> Result<f64, String> {
        let feature = &self.schema.features[column];
        let is_category = feature.kind() == pb::FeatureKind::Category;
        match (is_category, value) {
            (_, Value::Missing) => Ok(f64::NAN),
            (_, Value::Number(number)) if number.is_nan() => Ok(f64::NAN),
            (true, Value::Category(text)) => {
                // A value that the vocabulary does not hold is no error, here as on the server.
                Ok(self.codes[column].get(text).map_or(-1.0, |&code| code as f64))
            }
            (false, Value::Number(number)) => Ok(*number),
            (false, Value::Integer(integer)) => Ok(*integer as f64),
            (false, Value::Flag(flag)) => Ok(f64::from(u8::from(*flag))),
            (true, _) => Err("expected a category, found a number or a flag".to_owned()),
            (false, Value::Category(_)) => Err("expected a number, found a category".to_owned()),
        }
    }
}

/// Why the server refuses rows that were packed for another schema.
const MISMATCH: &str = "SCHEMA_DIGEST_MISMATCH";

impl Client {
    /// The columns of the version that answers for `model`, asked for once.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the server said.
    pub async fn layout(&self, model: impl Into<Selector>) -> Result<Arc<Layout>, Error> {
        let options = CallOptions::default();
        let selector = model.into();
        self.layout_until(&options, self.until(&options), &selector).await
    }

    async fn layout_until(
        &self,
        options: &CallOptions,
        until: Instant,
        selector: &Selector,
    ) -> Result<Arc<Layout>, Error> {
        match self.shared.schemas.of(selector) {
            Some(layout) => Ok(layout),
            None => {
                let layout = self.fetch_layout(options, until, selector).await?;
                self.shared.schemas.keep(selector, &layout);
                Ok(layout)
            }
        }
    }

    async fn fetch_layout(
        &self,
        options: &CallOptions,
        until: Instant,
        selector: &Selector,
    ) -> Result<Arc<Layout>, Error> {
        let request = pb::GetModelSchemaRequest { model: Some(selector.to_proto()) };
        let answer = self
            .unary(options, until, request, |transport, request: Request<_>| {
                let mut scoring = self.scoring(transport);
                async move { scoring.get_model_schema(request).await }
            })
            .await?;
        Layout::new(answer).map(Arc::new)
    }

    /// Asks with the layout that is known; if the version that answers has another, with that one. While
    /// traffic is split, the canary may have another schema than the champion.
    pub(crate) async fn with_layout<A, F>(
        &self,
        options: &CallOptions,
        until: Instant,
        selector: &Selector,
        ask: impl Fn(Arc<Layout>) -> F,
    ) -> Result<A, Error>
    where
        F: Future<Output = Result<A, Error>>,
    {
        let layout = self.layout_until(options, until, selector).await?;
        let mut last = layout.digest().to_owned();
        let mut outcome = ask(layout).await;
        // Twice: a promotion may come between the question for the schema and the row.
        for _ in 0..2 {
            let Err(error) = &outcome else { break };
            if error.reason() != MISMATCH {
                break;
            }
            let layout = self.expected_layout(options, until, selector, error).await?;
            if layout.digest() == last {
                break;
            }
            layout.digest().clone_into(&mut last);
            self.shared.schemas.keep(selector, &layout);
            outcome = ask(layout).await;
        }
        outcome
    }

    /// The layout that the refusal names, by its digest if it is known.
    async fn expected_layout(
        &self,
        options: &CallOptions,
        until: Instant,
        selector: &Selector,
        error: &Error,
    ) -> Result<Arc<Layout>, Error> {
        let failure = error.failure();
        let digest = failure.and_then(|failure| failure.metadata.get("expected"));
        if let Some(layout) = digest.and_then(|digest| self.shared.schemas.with_digest(digest)) {
            return Ok(layout);
        }
        // `MODEL/VERSION`: the one that refused, which need not be the champion.
        let subject = failure.and_then(|failure| failure.preconditions.first());
        let version = subject.and_then(|one| one.subject.rsplit_once('/')?.1.parse().ok());
        let asked = match version {
            Some(version) => Selector::version(selector.name(), version),
            None => selector.clone(),
        };
        self.fetch_layout(options, until, &asked).await
    }
}
