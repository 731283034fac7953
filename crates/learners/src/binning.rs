//! From values to byte codes: quantile cuts from a bounded sample, and the code matrix.
//!
//! Code 0 is missing. The other codes of a number are its intervals in ascending order; those of a
//! category are its kept categories in vocabulary order and, last, everything else. Cuts are `f64`
//! midpoints between two values of the sample, so `value <= cut` and `code <= code of the interval`
//! agree for every `f64`.

mod bundles;
mod codes;
mod cuts;
mod encoder;
#[cfg(test)]
mod tests;

use segue_dataset::{Dataset, FeatureKind, Matrix, Schema};
use segue_model::{CategorySet, Split};

use crate::sampling::spread_rows;
pub(crate) use bundles::Bundles;
pub(crate) use codes::CodeMatrix;
use codes::encode;
use cuts::quantile_cuts;

/// The byte code of a missing value, in every column.
pub(crate) const MISSING_CODE: u8 = 0;

/// Rows from which cuts are learnt, at most.
const MAX_SAMPLE_ROWS: usize = 200_000;

/// Most rows a fit takes: the row counts of a histogram cell have 28 bits.
pub(crate) const MAX_ROWS: usize = (1 << 28) - 1;

/// Why a table cannot be coded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BinningError {
    /// Too many rows for one fit.
    #[error("the table has {got} rows, at most {max} fit; sample it")]
    TooManyRows {
        /// Rows of the table.
        got: usize,
        /// Most allowed.
        max: usize,
    },
}

/// How one column is coded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ColumnBins {
    /// A number: value code `1 + k` is the interval `(cuts[k - 1], cuts[k]]`.
    Number {
        /// Ascending, at most 253.
        cuts: Vec<f64>,
    },
    /// A category: value code `1 + k` is category `kept[k]`; code `1 + kept.len()` is any other.
    Category {
        /// Vocabulary codes with a byte code of their own, ascending.
        kept: Vec<u32>,
        /// Byte code by vocabulary code.
        code_of: Vec<u8>,
    },
}

impl ColumnBins {
    /// Codes in use, missing included: codes are below it.
    #[must_use]
    pub(crate) fn n_codes(&self) -> usize {
        match self {
            Self::Number { cuts } => cuts.len() + 2,
            Self::Category { kept, .. } => kept.len() + 2,
        }
    }

    /// Whether the column is a category.
    #[must_use]
    pub(crate) fn is_category(&self) -> bool {
        matches!(self, Self::Category { .. })
    }

    /// The code of a value.
    #[must_use]
    pub(crate) fn code(&self, value: f64) -> u8 {
        if value.is_nan() {
            return MISSING_CODE;
        }
        match self {
            Self::Number { cuts } => (1 + cuts.partition_point(|&cut| cut < value)) as u8,
            Self::Category { kept, code_of } => {
                let known = value >= 0.0 && value < code_of.len() as f64;
                if known { code_of[value as usize] } else { (1 + kept.len()) as u8 }
            }
        }
    }

    /// The question "is the code at most `code`" on values. The last interval has no upper end: every
    /// value that is not missing is at most [`f64::MAX`].
    pub(crate) fn at_most(&self, code: u8) -> Split {
        match self {
            Self::Number { cuts } => {
                let cut = cuts.get(usize::from(code).wrapping_sub(1)).copied();
                Split::AtMost(cut.unwrap_or(f64::MAX))
            }
            Self::Category { .. } => self.one_of((1..=code).collect::<Vec<_>>().as_slice()),
        }
    }

    /// The question "is the code one of `codes`" on the values of a category.
    pub(crate) fn one_of(&self, codes: &[u8]) -> Split {
        let kept: &[u32] = match self {
            Self::Category { kept, .. } => kept,
            Self::Number { .. } => &[],
        };
        let category = |&code: &u8| kept.get(usize::from(code).wrapping_sub(1)).copied();
        Split::In(CategorySet::from_codes(codes.iter().filter_map(category)))
    }
}

/// How every column of a table is coded. Learnt from training rows, applied to any rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Binning {
    columns: Vec<ColumnBins>,
}

impl Binning {
    /// Learns cuts from all rows, or from 200,000 drawn evenly out of more, and kept categories from the same
    /// rows (all of a vocabulary of up to `max_bins - 2`, else the most frequent).
    ///
    /// Distinct values stay apart while their number is at most `max_bins - 1`; above it, cuts are at
    /// equal mass, never between equal values, and values more frequent than a bin's share stay alone.
    ///
    /// # Errors
    /// [`BinningError::TooManyRows`].
    pub(crate) fn learn(data: &Dataset, max_bins: usize) -> Result<Self, BinningError> {
        Self::learn_from(data.schema(), data.features(), max_bins)
    }

    fn learn_from(schema: &Schema, matrix: &Matrix, max_bins: usize) -> Result<Self, BinningError> {
        use rayon::prelude::*;
        if matrix.n_rows() > MAX_ROWS {
            return Err(BinningError::TooManyRows { got: matrix.n_rows(), max: MAX_ROWS });
        }
        let rows = spread_rows(matrix.n_rows(), MAX_SAMPLE_ROWS);
        let learn = |(column, values): (usize, &Vec<f64>)| {
            let sample = rows.iter().map(|&row| values[row as usize]);
            match &schema.features()[column].kind {
                FeatureKind::Number => {
                    ColumnBins::Number { cuts: quantile_cuts(sample.collect(), max_bins - 1) }
                }
                FeatureKind::Category { vocabulary } => {
                    category_bins(sample, vocabulary.len(), max_bins - 2)
                }
            }
        };
        Ok(Self { columns: matrix.columns().par_iter().enumerate().map(learn).collect() })
    }

    /// The columns, in schema order.
    #[must_use]
    pub(crate) fn columns(&self) -> &[ColumnBins] {
        &self.columns
    }

    /// Codes of all rows of `matrix`, which must have the columns the binning was learnt from.
    pub(crate) fn encode(&self, bundles: Bundles, matrix: &Matrix) -> CodeMatrix {
        encode(&self.columns, bundles, matrix)
    }
}

fn category_bins(
    sample: impl Iterator<Item = f64>,
    n_categories: usize,
    max_kept: usize,
) -> ColumnBins {
    let mut kept: Vec<u32> = (0..n_categories as u32).collect();
    if n_categories > max_kept {
        let mut counts = vec![0u64; n_categories];
        for value in sample {
            if value >= 0.0 {
                counts[value as usize] += 1;
            }
        }
        kept.sort_by_key(|&category| std::cmp::Reverse(counts[category as usize]));
        kept.truncate(max_kept);
        kept.sort_unstable();
    }
    let mut code_of = vec![(1 + kept.len()) as u8; n_categories];
    for (code, &category) in (1u8..).zip(&kept) {
        code_of[category as usize] = code;
    }
    ColumnBins::Category { kept, code_of }
}
