//! The evaluator: a history and an instant to a row. Training and serving both end here.

use segue_dataset::{FeatureKind, Matrix, Schema, UNSEEN_CATEGORY};
use segue_events::{EventLog, History, Micros, Symbols, Value};

use crate::binding::{Binding, Cell, Scratch, number};
use crate::plan::Plan;
use crate::request::RequestFields;
use crate::text::{flag_text, with_number, with_text};

/// A feature set bound to a symbol table. Shared freely between threads; each needs a [`Scratch`].
pub struct Evaluator<'a> {
    binding: Binding<'a>,
    schema: &'a Schema,
    other_codes: &'a [Option<f64>],
}

impl<'a> Evaluator<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        schema: &'a Schema,
        other_codes: &'a [Option<f64>],
        symbols: &'a Symbols,
    ) -> Self {
        Self { binding: Binding::new(plan, symbols), schema, other_codes }
    }

    /// The features of one user as of `t`, in schema order. NaN is missing, nothing is infinite.
    ///
    /// # Panics
    /// If `out` has not one place per column, or the history uses another symbol table.
    pub fn row(&self, history: &History, t: Micros, request: &RequestFields, out: &mut [f64]) {
        self.row_with(&mut Scratch::default(), history, t, request, out);
    }

    /// [`Evaluator::row`] with working memory from an earlier row of this evaluator.
    ///
    /// # Panics
    /// As [`Evaluator::row`]; also if `scratch` served another evaluator.
    pub fn row_with(
        &self,
        scratch: &mut Scratch,
        history: &History,
        t: Micros,
        request: &RequestFields,
        out: &mut [f64],
    ) {
        assert_eq!(out.len(), self.schema.len(), "out must have one place per feature");
        self.binding.pass(history, t, scratch);
        for (column, out) in out.iter_mut().enumerate() {
            let cell = self.binding.cell(column, t, request, scratch);
            *out = match self.schema.features()[column].kind {
                FeatureKind::Number => number(cell),
                FeatureKind::Category { .. } => self.code(column, cell),
            };
        }
    }

    /// Rows of a log, without request fields: pairs of a history's index and `t`. To use several
    /// threads, give each a share of the rows.
    ///
    /// # Panics
    /// If a row names no history of the log.
    #[must_use]
    pub fn rows(&self, log: &EventLog, rows: &[(usize, Micros)]) -> Matrix {
        let (mut scratch, request) = (Scratch::default(), RequestFields::new());
        let mut row = vec![f64::NAN; self.schema.len()];
        let mut columns = vec![Vec::with_capacity(rows.len()); self.schema.len()];
        for &(history, t) in rows {
            self.row_with(&mut scratch, &log.histories[history], t, &request, &mut row);
            for (column, &value) in columns.iter_mut().zip(&row) {
                column.push(value);
            }
        }
        Matrix::from_columns(rows.len(), columns)
    }

    /// Code of a category: its place in the vocabulary, that of the rest, or unseen; NaN if missing.
    fn code(&self, column: usize, cell: Cell<'_>) -> f64 {
        let code = |text: &str| {
            let code = self.schema.category_code(column, text);
            match self.other_codes[column] {
                Some(other) if code == UNSEEN_CATEGORY => other,
                _ => code,
            }
        };
        match cell {
            Cell::Number(_) | Cell::Value(None) | Cell::Request(None) => f64::NAN,
            Cell::Value(Some(value)) => with_text(value, self.binding.symbols(), code),
            Cell::Request(Some(Value::Text(text))) => code(text),
            Cell::Request(Some(Value::Number(number))) => with_number(*number, code),
            Cell::Request(Some(Value::Flag(flag))) => code(flag_text(*flag)),
        }
    }
}
