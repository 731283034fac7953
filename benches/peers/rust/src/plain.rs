//! The layouts of smartcore and linfa. Neither knows missing values: they become -999 beforehand.

use std::path::Path;

use linfa::Dataset;
use ndarray::{Array1, Array2, Ix1};
use smartcore::linalg::basic::matrix::DenseMatrix;

use crate::table::Table;

const MISSING: f64 = -999.0;

fn read(path: &Path) -> anyhow::Result<Table> {
    let mut table = Table::read(path)?;
    for value in table.columns.iter_mut().flatten().filter(|value| value.is_nan()) {
        *value = MISSING;
    }
    Ok(table)
}

/// Rows and labels as smartcore takes them.
pub(crate) fn matrix(path: &Path) -> anyhow::Result<(DenseMatrix<f64>, Vec<u32>)> {
    let table = read(path)?;
    let labels = table.labels.iter().map(|&label| label as u32).collect();
    let (n_rows, n_columns) = (table.n_rows(), table.columns.len());
    Ok((DenseMatrix::new(n_rows, n_columns, table.columns.concat(), true)?, labels))
}

/// Rows and labels as linfa takes them.
pub(crate) fn dataset(path: &Path) -> anyhow::Result<Dataset<f64, usize, Ix1>> {
    let table = read(path)?;
    let labels: Array1<usize> = table.labels.iter().map(|&label| label as usize).collect();
    let rows = Array2::from_shape_vec((table.n_rows(), table.columns.len()), table.to_rows())?;
    Ok(Dataset::new(rows, labels))
}
