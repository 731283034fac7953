//! The honest baseline: what does the best single feature do on its own?
//!
//! A model with hundreds of columns that does not beat one of them is not worth its upkeep. The
//! feature is chosen on the training rows only.

use segue_dataset::{Dataset, Matrix, TargetKind};
use segue_model::metrics;

/// Bins a numeric feature is cut into at most.
const MAX_BINS: usize = 20;
/// Rows per bin at least, so that a bin's mean is not one user's label.
const MIN_BIN_ROWS: usize = 50;
/// Rows of the overall mean mixed into each bin's mean.
const PRIOR_ROWS: f64 = 20.0;

/// A single feature's answer for the test rows.
#[derive(Debug, Clone, PartialEq)]
pub struct SingleFeature {
    /// Its column.
    pub column: usize,
    /// Its name.
    pub name: String,
    /// What chose it: AUC, Spearman correlation or (several classes) log loss, on training rows.
    pub train_value: f64,
    /// Outputs for the test rows, shape `(n_test_rows, n_outputs)`.
    pub outputs: Matrix,
    /// Whether `outputs` are probabilities or values; otherwise only their order means something.
    pub has_scale: bool,
}

/// Finds the feature that alone orders the training rows best, and lets it order the test rows.
///
/// A number competes twice: as it is (either direction, missing at the median) and by the mean
/// label of its bin (at most 20 bins of equal size and one for missing), which also finds humps. A
/// category competes by the mean label of its code; one without training rows has the overall mean. Means are
/// drawn towards the overall mean by 20 rows. Binary targets choose by AUC, regression by Spearman's correlation, several classes (bins
/// only) by log loss. Ties go to the plain number, then to the lower column. `None` without columns
/// or where no feature says anything.
#[must_use]
pub fn best_single_feature(train: &Dataset, test: &Dataset) -> Option<SingleFeature> {
    let mut best: Option<(f64, usize, Encoding)> = None;
    for (column, feature) in train.schema().features().iter().enumerate() {
        let values = train.features().column(column);
        let mut candidates = Vec::new();
        if !feature.is_category() {
            candidates.extend(Encoding::plain(train, values));
        }
        candidates.push(Encoding::binned(train, values, feature.is_category()));
        for encoding in candidates {
            let Some(fit) = encoding.fit(train, values) else { continue };
            if best.as_ref().is_none_or(|(known, ..)| fit > *known) {
                best = Some((fit, column, encoding));
            }
        }
    }
    let (fit, column, encoding) = best?;
    let by_loss = matches!(train.target().kind, TargetKind::Multiclass { .. });
    Some(SingleFeature {
        column,
        name: train.schema().features()[column].name.clone(),
        train_value: if by_loss { -fit } else { fit },
        outputs: encoding.outputs(test.features().column(column), test.target().kind.n_outputs()),
        has_scale: matches!(encoding, Encoding::Binned { .. }),
    })
}

/// How one feature becomes a score.
#[derive(Debug)]
enum Encoding {
    /// `sign * value`, `missing` in place of a missing value.
    Plain { sign: f64, missing: f64 },
    /// Means by bin: bin `i` holds values up to `upper[i]`, the last but one bin those above, the
    /// last bin the missing. Shape of `means`: one row of `n_outputs` a bin.
    Binned { upper: Vec<f64>, means: Vec<Vec<f64>> },
}

impl Encoding {
    fn plain(train: &Dataset, values: &[f64]) -> Option<Self> {
        if matches!(train.target().kind, TargetKind::Multiclass { .. }) {
            return None;
        }
        let sorted = sorted_present(values);
        let missing = *sorted.get(sorted.len() / 2)?;
        let rising = Self::Plain { sign: 1.0, missing };
        let fit = rising.fit(train, values)?;
        let chance = if train.target().kind == TargetKind::Binary { 0.5 } else { 0.0 };
        Some(if fit >= chance { rising } else { Self::Plain { sign: -1.0, missing } })
    }

    fn binned(train: &Dataset, values: &[f64], is_category: bool) -> Self {
        let sorted = sorted_present(values);
        let upper = if is_category {
            // A bin a code, those that no training row has included: their mean is the overall one.
            let largest = sorted.last().map_or(-1, |&code| code as i64);
            (-1..=largest).map(|code| code as f64).collect()
        } else {
            let n_bins = (sorted.len() / MIN_BIN_ROWS).clamp(1, MAX_BINS);
            let mut upper: Vec<f64> =
                (1..n_bins).map(|bin| sorted[bin * sorted.len() / n_bins - 1]).collect();
            upper.dedup();
            upper
        };
        let n_outputs = train.target().kind.n_outputs();
        let one_hot = n_outputs > 1;
        let mut sums = vec![vec![0.0; n_outputs]; upper.len() + 2];
        let mut mass = vec![0.0; upper.len() + 2];
        for (row, (&value, &label)) in values.iter().zip(&train.target().values).enumerate() {
            let weight = train.weight().map_or(1.0, |weight| weight[row]);
            let bin = bin_of(&upper, value);
            let (output, amount) = if one_hot { (label as usize, 1.0) } else { (0, label) };
            sums[bin][output] += weight * amount;
            mass[bin] += weight;
        }
        let total = mass.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let overall: Vec<f64> = (0..n_outputs)
            .map(|output| sums.iter().map(|sum| sum[output]).sum::<f64>() / total)
            .collect();
        for (sum, mass) in sums.iter_mut().zip(&mass) {
            for (value, overall) in sum.iter_mut().zip(&overall) {
                *value = (*value + PRIOR_ROWS * overall) / (mass + PRIOR_ROWS);
            }
        }
        Self::Binned { upper, means: sums }
    }

    fn outputs(&self, values: &[f64], n_outputs: usize) -> Matrix {
        let columns = (0..n_outputs).map(|output| match self {
            Self::Plain { sign, missing } => {
                values.iter().map(|v| sign * if v.is_nan() { *missing } else { *v }).collect()
            }
            Self::Binned { upper, means } => {
                values.iter().map(|&value| means[bin_of(upper, value)][output]).collect()
            }
        });
        Matrix::from_columns(values.len(), columns.collect())
    }

    /// How well the training rows are ordered; larger is better.
    fn fit(&self, train: &Dataset, values: &[f64]) -> Option<f64> {
        let outputs = self.outputs(values, train.target().kind.n_outputs());
        let (labels, weight) = (&train.target().values, train.weight());
        match &train.target().kind {
            TargetKind::Binary => metrics::auc(labels, outputs.column(0), weight),
            TargetKind::Regression => metrics::spearman(labels, outputs.column(0), weight),
            TargetKind::Multiclass { classes } => {
                let mut flat = Vec::with_capacity(labels.len() * classes.len());
                for row in 0..labels.len() {
                    flat.extend(outputs.columns().iter().map(|column| column[row]));
                }
                metrics::multiclass_log_loss(labels, &flat, classes.len(), weight).map(|v| -v)
            }
        }
    }
}

fn sorted_present(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn bin_of(upper: &[f64], value: f64) -> usize {
    if value.is_nan() { upper.len() + 1 } else { upper.partition_point(|&edge| edge < value) }
}
