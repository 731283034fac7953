//! A dense table of `f64`, column by column.

/// Feature values, shape `(n_rows, n_columns)`, stored column-major. NaN is missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    n_rows: usize,
    columns: Vec<Vec<f64>>,
}

impl Matrix {
    /// Takes columns of equal length.
    ///
    /// # Panics
    /// If the columns differ in length.
    #[must_use]
    pub fn from_columns(n_rows: usize, columns: Vec<Vec<f64>>) -> Self {
        for (index, column) in columns.iter().enumerate() {
            assert_eq!(column.len(), n_rows, "column {index} must have n_rows values");
        }
        Self { n_rows, columns }
    }

    /// Copies rows given one after another (row-major), `values.len() == n_rows * n_columns`.
    ///
    /// # Panics
    /// If the number of values is not a whole number of rows.
    #[must_use]
    pub fn from_rows(n_columns: usize, values: &[f64]) -> Self {
        let n_rows = values.len().checked_div(n_columns).unwrap_or(0);
        assert_eq!(values.len(), n_rows * n_columns, "values must fill whole rows");
        let columns = (0..n_columns)
            .map(|column| values.iter().skip(column).step_by(n_columns).copied().collect())
            .collect();
        Self { n_rows, columns }
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of columns.
    #[must_use]
    pub fn n_columns(&self) -> usize {
        self.columns.len()
    }

    /// One column.
    ///
    /// # Panics
    /// If `column` is out of range.
    #[must_use]
    pub fn column(&self, column: usize) -> &[f64] {
        &self.columns[column]
    }

    /// All columns in order.
    #[must_use]
    pub fn columns(&self) -> &[Vec<f64>] {
        &self.columns
    }

    /// Copies row `row` into `out`, whose length must be the number of columns.
    ///
    /// # Panics
    /// If `row` or the length of `out` is out of range.
    pub fn copy_row(&self, row: usize, out: &mut [f64]) {
        assert_eq!(out.len(), self.columns.len(), "out must have n_columns values");
        for (value, column) in out.iter_mut().zip(&self.columns) {
            *value = column[row];
        }
    }

    /// The rows `rows`, in that order, repeats allowed.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Self {
        let pick = |column: &Vec<f64>| rows.iter().map(|&row| column[row as usize]).collect();
        Self { n_rows: rows.len(), columns: self.columns.iter().map(pick).collect() }
    }
}
