//! What the columns of a feature table are: names, kinds, order, and a digest of all three.

use std::collections::HashMap;
use std::fmt;

use foldhash::fast::FixedState;
use sha2::{Digest, Sha256};

/// Code of a category that the vocabulary does not hold.
///
/// Never produced in training (vocabularies are frozen from the training rows); a tree sends it
/// where it sends every category outside its set.
pub const UNSEEN_CATEGORY: f64 = -1.0;

/// What the values of one feature mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureKind {
    /// A real number. NaN is missing; infinities never occur (they are made missing on entry).
    Number,
    /// A category. A value is the index into `vocabulary`, [`UNSEEN_CATEGORY`], or NaN (missing).
    Category {
        /// The known categories, in code order.
        vocabulary: Vec<String>,
    },
}

/// One named column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Unique within the schema, never empty.
    pub name: String,
    /// How its values read.
    pub kind: FeatureKind,
}

impl Feature {
    /// A numeric feature.
    pub fn number(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: FeatureKind::Number }
    }

    /// A categorical feature with its frozen vocabulary.
    pub fn category(name: impl Into<String>, vocabulary: Vec<String>) -> Self {
        Self { name: name.into(), kind: FeatureKind::Category { vocabulary } }
    }

    /// Whether this is a category.
    #[must_use]
    pub fn is_category(&self) -> bool {
        matches!(self.kind, FeatureKind::Category { .. })
    }

    /// The vocabulary of a category, `None` for a number.
    #[must_use]
    pub fn vocabulary(&self) -> Option<&[String]> {
        match &self.kind {
            FeatureKind::Category { vocabulary } => Some(vocabulary),
            FeatureKind::Number => None,
        }
    }
}

/// SHA-256 of the canonical form of a schema, as 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SchemaDigest(String);

impl SchemaDigest {
    /// The hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SchemaDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a list of features is not a schema.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaError {
    /// Two features share a name.
    #[error("feature {name:?} is defined twice (columns {first} and {second})")]
    DuplicateName {
        /// The shared name.
        name: String,
        /// Index of the first.
        first: usize,
        /// Index of the second.
        second: usize,
    },
    /// A feature has no name.
    #[error("feature at column {index} has an empty name")]
    EmptyName {
        /// Its column.
        index: usize,
    },
    /// A vocabulary lists a category twice.
    #[error("feature {name:?} lists category {category:?} twice")]
    DuplicateCategory {
        /// The feature.
        name: String,
        /// The category.
        category: String,
    },
}

/// Looked into for every named value of every score, but filled from schemas only: nobody can choose
/// keys that collide.
type Table<T> = HashMap<String, T, FixedState>;

/// An ordered list of features and its digest. Cheap to share behind an `Arc`, never edited.
#[derive(Debug, Clone)]
pub struct Schema {
    features: Vec<Feature>,
    index: Table<usize>,
    codes: Vec<Table<u32>>,
    digest: SchemaDigest,
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.features == other.features
    }
}
impl Eq for Schema {}

impl Schema {
    /// Checks names and vocabularies and computes the digest.
    ///
    /// # Errors
    /// [`SchemaError`] names the first feature that is empty or defined twice.
    pub fn new(features: Vec<Feature>) -> Result<Self, SchemaError> {
        let mut index = Table::with_capacity_and_hasher(features.len(), FixedState::default());
        let mut codes = Vec::with_capacity(features.len());
        for (column, feature) in features.iter().enumerate() {
            if feature.name.is_empty() {
                return Err(SchemaError::EmptyName { index: column });
            }
            if let Some(first) = index.insert(feature.name.clone(), column) {
                let name = feature.name.clone();
                return Err(SchemaError::DuplicateName { name, first, second: column });
            }
            codes.push(code_table(feature)?);
        }
        let digest = digest_of(&features);
        Ok(Self { features, index, codes, digest })
    }

    /// The features in column order.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Number of columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there is no column.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Column of a feature.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// SHA-256 over names, kinds, vocabularies and order.
    #[must_use]
    pub fn digest(&self) -> &SchemaDigest {
        &self.digest
    }

    /// Code of a category in column `column`: its index, or [`UNSEEN_CATEGORY`].
    ///
    /// # Panics
    /// If `column` is out of range.
    #[must_use]
    pub fn category_code(&self, column: usize, category: &str) -> f64 {
        self.codes[column].get(category).map_or(UNSEEN_CATEGORY, |&code| f64::from(code))
    }
}

fn code_table(feature: &Feature) -> Result<Table<u32>, SchemaError> {
    let mut table = Table::default();
    for (code, category) in (0u32..).zip(feature.vocabulary().unwrap_or_default()) {
        if table.insert(category.clone(), code).is_some() {
            let (name, category) = (feature.name.clone(), category.clone());
            return Err(SchemaError::DuplicateCategory { name, category });
        }
    }
    Ok(table)
}

/// Every string is preceded by its length, so that no two schemas share a canonical form.
fn digest_of(features: &[Feature]) -> SchemaDigest {
    let mut hash = Sha256::new();
    let mut put = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    put("segue schema 1");
    for feature in features {
        put(&feature.name);
        match &feature.kind {
            FeatureKind::Number => put("number"),
            FeatureKind::Category { vocabulary } => {
                put("category");
                put(&vocabulary.len().to_string());
                vocabulary.iter().for_each(|category| put(category));
            }
        }
    }
    SchemaDigest(hex::encode(hash.finalize()))
}
