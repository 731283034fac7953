//! What is kept of a prediction, and what all predictions of a version share.

use std::sync::Arc;

use segue_api::v1 as pb;
use segue_dataset::{Schema, TargetKind, UNSEEN_CATEGORY};
use segue_model::{Model, Profile};
use serde::{Deserialize, Serialize};

use super::id::PredictionId;

/// Stands for a category that the vocabulary does not hold and whose text is not known.
pub(crate) const UNSEEN_TEXT: &str = "__unseen__";

/// Longest text of an unseen category that is kept.
pub(crate) const MAX_UNSEEN_BYTES: usize = 256;

/// The part of a version that its log needs. Small, so that the log does not keep models in memory.
#[derive(Debug)]
pub(crate) struct LoggedVersion {
    pub(crate) shape: Shape,
    pub(crate) schema: Arc<Schema>,
    /// What its training rows looked like, if the version says.
    pub(crate) profile: Option<Profile>,
}

/// What the columns of a version's log are: the head of each of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    pub(crate) model: String,
    pub(crate) version: u64,
    /// SHA-256 of the version, as in its manifest.
    pub(crate) digest: String,
    pub(crate) target: Target,
    /// Of a multiclass model, in order.
    pub(crate) classes: Vec<String>,
    pub(crate) features: Vec<ShapeFeature>,
    /// Whether the rows say whom they are about.
    pub(crate) with_subjects: bool,
}

/// What a score of a [`Shape`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    Binary,
    Multiclass,
    Regression,
}

/// A feature of a [`Shape`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShapeFeature {
    pub(crate) name: String,
    /// Of a category; absent for a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vocabulary: Option<Vec<String>>,
}

impl LoggedVersion {
    /// What the log needs to know of a version.
    pub(crate) fn new(
        name: &str,
        version: u64,
        digest: &str,
        model: &Model,
        profile: Option<Profile>,
    ) -> Self {
        let features = model.schema().features().iter().map(|feature| ShapeFeature {
            name: feature.name.clone(),
            vocabulary: feature.vocabulary().map(<[String]>::to_vec),
        });
        let shape = Shape {
            model: name.to_owned(),
            version,
            digest: digest.to_owned(),
            target: match model.target() {
                TargetKind::Binary => Target::Binary,
                TargetKind::Multiclass { .. } => Target::Multiclass,
                TargetKind::Regression => Target::Regression,
            },
            classes: model.classes().to_vec(),
            features: features.collect(),
            with_subjects: false,
        };
        Self { shape, schema: Arc::clone(model.schema()), profile }
    }
}

/// One prediction as the journal holds it. Scalars that may be zero or NaN sit in packed lists, which
/// keep every bit.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Row {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(sfixed64, tag = "3")]
    pub(crate) time_us: i64,
    /// A `segue.v1.Variant`.
    #[prost(enumeration = "pb::Variant", tag = "4")]
    pub(crate) variant: i32,
    /// Empty for none.
    #[prost(string, tag = "5")]
    pub(crate) segment: String,
    /// The score, then of a multiclass model every class.
    #[prost(double, repeated, tag = "6")]
    pub(crate) scores: Vec<f64>,
    /// One a column: number, category code or NaN.
    #[prost(double, repeated, tag = "7")]
    pub(crate) values: Vec<f64>,
    /// Texts of categories that the vocabulary does not hold, where they are known.
    #[prost(message, repeated, tag = "8")]
    pub(crate) unseen: Vec<UnseenText>,
    #[prost(string, tag = "9")]
    pub(crate) request_id: String,
    /// As the operator has it kept; absent for not at all.
    #[prost(string, optional, tag = "10")]
    pub(crate) subject: Option<String>,
}

/// The text behind a code of [`UNSEEN_CATEGORY`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UnseenText {
    #[prost(uint32, tag = "1")]
    pub(crate) column: u32,
    #[prost(string, tag = "2")]
    pub(crate) text: String,
}

impl Row {
    /// A row of this id, everything else empty.
    pub(crate) fn of(id: PredictionId) -> Self {
        let bits = id.bits();
        Self { id_high: (bits >> 64) as u64, id_low: bits as u64, ..Self::default() }
    }

    /// The prediction's name.
    pub(crate) fn id(&self) -> PredictionId {
        PredictionId::from_bits(u128::from(self.id_high) << 64 | u128::from(self.id_low))
    }

    /// `champion`, `canary` or `pinned`.
    pub(crate) fn variant_name(&self) -> &'static str {
        match self.variant() {
            pb::Variant::Champion => "champion",
            pb::Variant::Canary => "canary",
            pb::Variant::Pinned => "pinned",
            pb::Variant::Unspecified => "unknown",
        }
    }

    /// The score of the prediction.
    pub(crate) fn score(&self) -> f64 {
        self.scores.first().copied().unwrap_or(f64::NAN)
    }

    /// The scores of the classes, empty but for a multiclass model.
    pub(crate) fn class_scores(&self) -> &[f64] {
        self.scores.get(1..).unwrap_or_default()
    }

    /// The category in column `column`, `None` if it is missing.
    pub(crate) fn category<'a>(
        &'a self,
        column: usize,
        vocabulary: &'a [String],
    ) -> Option<&'a str> {
        let code = self.values.get(column).copied().filter(|code| !code.is_nan())?;
        if code == UNSEEN_CATEGORY {
            let known = self.unseen.iter().find(|unseen| unseen.column as usize == column);
            return Some(known.map_or(UNSEEN_TEXT, |unseen| &unseen.text));
        }
        // A code has been checked to be an index.
        Some(vocabulary.get(code as usize).map_or(UNSEEN_TEXT, String::as_str))
    }

    /// Roughly what it takes in memory.
    pub(crate) fn n_bytes(&self) -> usize {
        let texts = self.segment.len() + self.request_id.len();
        let subject = self.subject.as_ref().map_or(0, String::len);
        let unseen: usize = self.unseen.iter().map(|unseen| unseen.text.len() + 32).sum();
        let numbers = (self.scores.len() + self.values.len()) * size_of::<f64>();
        size_of::<Self>() + texts + subject + unseen + numbers
    }
}
