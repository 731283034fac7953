//! Whether the constraints of a fit suit the table.

use segue_dataset::{Dataset, FeatureKind};

use super::params::BoostingParams;
use crate::LearnError;
use crate::split::Monotone;

/// Constraints name columns of the table, and only numbers have an order.
pub(super) fn check_constraints(
    params: &BoostingParams,
    train: &Dataset,
) -> Result<(), LearnError> {
    let features = train.schema().features();
    if !params.monotone.is_empty() && params.monotone.len() != features.len() {
        let (expected, got) = (features.len(), params.monotone.len());
        return Err(LearnError::MonotoneCount { expected, got });
    }
    for (feature, monotone) in features.iter().zip(&params.monotone) {
        if *monotone != Monotone::Free && feature.kind != FeatureKind::Number {
            return Err(LearnError::MonotoneCategory { column: feature.name.clone() });
        }
    }
    for (group, columns) in params.interactions.iter().enumerate() {
        if let Some(&column) = columns.iter().find(|&&column| column as usize >= features.len()) {
            let n_columns = features.len();
            return Err(LearnError::InteractionColumn { group, column, n_columns });
        }
    }
    Ok(())
}
