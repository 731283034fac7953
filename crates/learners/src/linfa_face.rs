//! The learners behind linfa's traits, and datasets from and to linfa's.
//!
//! `Learner` and `CheckedLearner` implement [`linfa::traits::Fit`] for `usize` labels (classes) and `f64`
//! labels (numbers); the fitted objects implement [`linfa::traits::Predict`]. All columns are numbers,
//! NaN is missing. Threads: all that the machine offers.

use std::ops::ControlFlow;
use std::sync::Arc;

use linfa::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, Array2, ArrayBase, Data, Ix2};
use segue_dataset::{Dataset, Feature, Matrix, RowKeys, Schema, Target, TargetKind};
use segue_model::Ensemble;

use crate::{CheckedLearner, Fitted, LearnError, Learner, fit};

/// A classifier fitted through linfa.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedClassifier {
    /// What the fit gave.
    pub fitted: Fitted,
    /// Labels by class index, ascending.
    pub classes: Vec<usize>,
}

/// A regressor fitted through linfa.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedRegressor {
    /// What the fit gave.
    pub fitted: Fitted,
}

impl FittedClassifier {
    /// Probability of each class, shape `(n_rows, n_classes)`.
    ///
    /// # Panics
    /// If `records` has fewer columns than the training data.
    pub fn probabilities<D: Data<Elem = f64>>(&self, records: &ArrayBase<D, Ix2>) -> Array2<f64> {
        let n_classes = self.classes.len();
        let mut probabilities = Array2::zeros((records.nrows(), n_classes));
        for (row, mut out) in records.rows().into_iter().zip(probabilities.rows_mut()) {
            let predicted = predict_row(&self.fitted.ensemble, &row.to_vec());
            match predicted.as_slice() {
                &[p] if n_classes == 2 => {
                    out[0] = 1.0 - p;
                    out[1] = p;
                }
                shares => out.iter_mut().zip(shares).for_each(|(out, share)| *out = *share),
            }
        }
        probabilities
    }
}

fn predict_row(ensemble: &Ensemble, row: &[f64]) -> Vec<f64> {
    let mut values = vec![0.0; ensemble.n_outputs()];
    ensemble.margins(row, &mut values);
    ensemble.link(&mut values);
    values
}

impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix2>, Array1<usize>> for FittedClassifier {
    /// The most probable class, the lowest label among equals.
    fn predict_inplace(&self, records: &ArrayBase<D, Ix2>, labels: &mut Array1<usize>) {
        for (label, shares) in labels.iter_mut().zip(self.probabilities(records).rows()) {
            let mut best = 0;
            for class in 1..shares.len() {
                if shares[class] > shares[best] {
                    best = class;
                }
            }
            *label = self.classes[best];
        }
    }

    fn default_target(&self, records: &ArrayBase<D, Ix2>) -> Array1<usize> {
        Array1::default(records.nrows())
    }
}

impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for FittedRegressor {
    fn predict_inplace(&self, records: &ArrayBase<D, Ix2>, values: &mut Array1<f64>) {
        for (value, row) in values.iter_mut().zip(records.rows()) {
            *value = predict_row(&self.fitted.ensemble, &row.to_vec())[0];
        }
    }

    fn default_target(&self, records: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::default(records.nrows())
    }
}

impl<D: Data<Elem = f64>> Fit<ArrayBase<D, Ix2>, Array1<usize>, LearnError> for CheckedLearner {
    type Object = FittedClassifier;

    /// Two distinct labels make a binary target, more a multiclass one.
    fn fit(
        &self,
        dataset: &DatasetBase<ArrayBase<D, Ix2>, Array1<usize>>,
    ) -> Result<FittedClassifier, LearnError> {
        let mut classes = dataset.targets().to_vec();
        classes.sort_unstable();
        classes.dedup();
        let index = |label: &usize| classes.binary_search(label).unwrap_or(0) as f64;
        let values = dataset.targets().iter().map(index).collect();
        let kind = if classes.len() <= 2 {
            TargetKind::Binary
        } else {
            TargetKind::Multiclass { classes: classes.iter().map(ToString::to_string).collect() }
        };
        let data = dataset_from_linfa(dataset, Target { kind, values })?;
        Ok(FittedClassifier { fitted: run(self, &data)?, classes })
    }
}

impl<D: Data<Elem = f64>> Fit<ArrayBase<D, Ix2>, Array1<f64>, LearnError> for CheckedLearner {
    type Object = FittedRegressor;

    fn fit(
        &self,
        dataset: &DatasetBase<ArrayBase<D, Ix2>, Array1<f64>>,
    ) -> Result<FittedRegressor, LearnError> {
        let values = dataset.targets().to_vec();
        let target = Target { kind: TargetKind::Regression, values };
        let data = dataset_from_linfa(dataset, target)?;
        Ok(FittedRegressor { fitted: run(self, &data)? })
    }
}

impl<R: linfa::dataset::Records, T> Fit<R, T, LearnError> for Learner
where
    CheckedLearner: Fit<R, T, LearnError>,
{
    type Object = <CheckedLearner as Fit<R, T, LearnError>>::Object;

    /// Checks the parameters and fits.
    fn fit(&self, dataset: &DatasetBase<R, T>) -> Result<Self::Object, LearnError> {
        self.clone().check()?.fit(dataset)
    }
}

fn run(learner: &CheckedLearner, data: &Dataset) -> Result<Fitted, LearnError> {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    fit(learner, data, None, n_threads, &|_| ControlFlow::Continue(()))
}

/// A dataset of numbers from linfa's records and weights, with the given target.
///
/// Column names are linfa's feature names, or `column_0`, `column_1`, ….
///
/// # Errors
/// Names that occur twice, infinite values, labels outside the target's kind, negative weights.
pub fn dataset_from_linfa<D: Data<Elem = f64>, T>(
    dataset: &DatasetBase<ArrayBase<D, Ix2>, T>,
    target: Target,
) -> Result<Dataset, LearnError> {
    let records = &dataset.records;
    let name = |column: usize| match dataset.feature_names().get(column) {
        Some(name) => name.clone(),
        None => format!("column_{column}"),
    };
    let features = (0..records.ncols()).map(|column| Feature::number(name(column))).collect();
    let schema = Schema::new(features)?;
    let columns = records.columns().into_iter().map(|column| column.to_vec()).collect();
    let matrix = Matrix::from_columns(records.nrows(), columns);
    let weights = &dataset.weights;
    let weight =
        (!weights.is_empty()).then(|| weights.iter().map(|&weight| f64::from(weight)).collect());
    let data = Dataset::new(Arc::new(schema), matrix, target, weight, RowKeys::default())?;
    Ok(data)
}

/// The rows as linfa's dataset with class labels. Categories are their codes; weights become `f32`.
#[must_use]
pub fn to_linfa_classes(data: &Dataset) -> linfa::Dataset<f64, usize, ndarray::Ix1> {
    with_names_and_weights(data, data.target().values.iter().map(|&label| label as usize).collect())
}

/// The rows as linfa's dataset with numeric labels. Categories are their codes; weights become `f32`.
#[must_use]
pub fn to_linfa_numbers(data: &Dataset) -> linfa::Dataset<f64, f64, ndarray::Ix1> {
    with_names_and_weights(data, data.target().values.iter().copied().collect())
}

fn with_names_and_weights<L>(
    data: &Dataset,
    targets: Array1<L>,
) -> DatasetBase<Array2<f64>, Array1<L>>
where
    Array1<L>: linfa::dataset::AsTargets,
{
    let matrix = data.features();
    let records = Array2::from_shape_fn((matrix.n_rows(), matrix.n_columns()), |(row, column)| {
        matrix.column(column)[row]
    });
    let names = data.schema().features().iter().map(|feature| feature.name.clone()).collect();
    let dataset = DatasetBase::new(records, targets).with_feature_names::<String>(names);
    match data.weight() {
        Some(weight) => dataset.with_weights(weight.iter().map(|&weight| weight as f32).collect()),
        None => dataset,
    }
}

#[cfg(test)]
mod tests;
