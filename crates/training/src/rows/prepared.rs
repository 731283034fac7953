//! What fitting starts from, whether it came from events or from a table.

use std::collections::BTreeMap;

use segue_dataset::{Dataset, Feature, Split};
use segue_features::FeatureSet;

/// Labelled rows, how they divide, and what is worth telling about them.
#[derive(Debug)]
pub struct Prepared {
    /// All rows.
    pub dataset: Dataset,
    /// Which fit, calibrate and test.
    pub split: Split,
    /// How rows are computed; `None` for a ready-made table.
    pub feature_set: Option<FeatureSet>,
    /// Texts that slice the rows.
    pub slices: Vec<Slice>,
    /// What is worth telling.
    pub facts: DataFacts,
}

/// A column of texts that cuts rows into slices, shape `(n_rows,)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Name of the feature.
    pub name: String,
    /// Its text in each row; missing is `(missing)`.
    pub values: Vec<String>,
}

/// Facts about the data, for reports and lineage.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataFacts {
    /// SHA-256 over the content in its total order, so that it does not depend on files or arrival.
    /// `None` where no version is made: it takes a look at every event.
    pub digest: Option<String>,
    /// Name and count, in reading order: records, duplicates, late, rejected by reason.
    pub counts: Vec<(String, u64)>,
    /// First and last instant of the data, microseconds UTC.
    pub span_us: Option<(i64, i64)>,
    /// Rows that were left out, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Users seen.
    pub n_users: usize,
    /// Features that were left out, with the reason.
    pub features_left_out: Vec<(String, String)>,
}

/// Slices for the report: the columns named, or of those that `describes` the user (rather than what
/// they did) the first three categories of 2 to 12 values. A column that `is_flag`, by name, may be named
/// too: true and false are its slices.
pub(super) fn slices_of(
    dataset: &Dataset,
    by: Option<&[String]>,
    describes: impl Fn(usize) -> bool,
    is_flag: impl Fn(&str) -> bool,
) -> Result<Vec<Slice>, Vec<String>> {
    let schema = dataset.schema();
    let categories = || {
        schema.features().iter().enumerate().filter_map(|(column, feature)| {
            feature.vocabulary().map(|vocabulary| (column, feature, vocabulary))
        })
    };
    let columns: Vec<usize> = match by {
        Some(names) => {
            let fits = |feature: &Feature| feature.is_category() || is_flag(&feature.name);
            let known = || -> Vec<String> {
                let fitting = schema.features().iter().filter(|feature| fits(feature));
                fitting.map(|feature| feature.name.clone()).collect()
            };
            names
                .iter()
                .map(|name| {
                    schema.index_of(name).filter(|&column| fits(&schema.features()[column]))
                })
                .collect::<Option<_>>()
                .ok_or_else(known)?
        }
        None => categories()
            .filter(|(column, _, vocabulary)| {
                describes(*column) && (2..=12).contains(&vocabulary.len())
            })
            .map(|(column, _, _)| column)
            .take(3)
            .collect(),
    };
    let text = |column: usize, code: f64| match schema.features()[column].vocabulary() {
        _ if code.is_nan() => "(missing)".to_owned(),
        Some(vocabulary) if code >= 0.0 => vocabulary[code as usize].clone(),
        Some(_) => "(other)".to_owned(),
        None => (code != 0.0).to_string(),
    };
    Ok(columns
        .into_iter()
        .map(|column| Slice {
            name: schema.features()[column].name.clone(),
            values: dataset
                .features()
                .column(column)
                .iter()
                .map(|&code| text(column, code))
                .collect(),
        })
        .collect())
}
