//! Contributions rolled up by behaviour.

use std::collections::BTreeMap;

use segue_dataset::{FeatureKind, Schema};

use super::Explanation;
use crate::Model;

/// Whether a behaviour raises or lowers the margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The margin is higher for it.
    Raises,
    /// The margin is lower for it.
    Lowers,
}

/// A value of a row as people write it.
#[derive(Debug, Clone, PartialEq)]
pub enum FeatureValue {
    /// Nothing known.
    Missing,
    /// A number.
    Number(f64),
    /// A known category.
    Category(String),
    /// A category that the vocabulary does not hold.
    Unseen,
}

impl FeatureValue {
    /// Reads the value of column `column`.
    ///
    /// # Panics
    /// If `column` is out of range.
    #[must_use]
    pub fn read(schema: &Schema, column: usize, value: f64) -> Self {
        match &schema.features()[column].kind {
            _ if value.is_nan() => Self::Missing,
            FeatureKind::Number => Self::Number(value),
            FeatureKind::Category { vocabulary } => {
                let known = value >= 0.0 && value.fract() == 0.0;
                match vocabulary.get(value as usize).filter(|_| known) {
                    Some(category) => Self::Category(category.clone()),
                    None => Self::Unseen,
                }
            }
        }
    }
}

/// One behaviour's part in a margin.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// What the columns speak of, such as `help visits`.
    pub behaviour: String,
    /// Sign of the contribution.
    pub direction: Direction,
    /// Sum of the contributions of the behaviour's columns, in margin units, never 0.
    pub contribution: f64,
    /// The column that adds most in the same direction.
    pub feature: String,
    /// That column's value in the row.
    pub value: FeatureValue,
}

impl Model {
    /// The `top` behaviours that moved an output's margin most, largest absolute contribution first,
    /// ties by behaviour. Behaviours that sum to 0 are no reason.
    ///
    /// # Panics
    /// If the explanation or the row is not of this model's width, or there is no such output.
    #[must_use]
    pub fn reasons(
        &self,
        explanation: &Explanation,
        row: &[f64],
        output: usize,
        top: usize,
    ) -> Vec<Reason> {
        let contributions = explanation.contributions(output);
        assert_eq!(contributions.len(), self.schema().len(), "explanation of another model");
        assert_eq!(row.len(), self.schema().len(), "row must have one value a column");
        let mut columns_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (column, behaviour) in self.behaviours().iter().enumerate() {
            columns_of.entry(behaviour).or_default().push(column);
        }
        let mut sums: Vec<(&str, Vec<usize>, f64)> = columns_of
            .into_iter()
            .map(|(behaviour, columns)| {
                let sum = columns.iter().map(|&column| contributions[column]).sum();
                (behaviour, columns, sum)
            })
            .filter(|&(_, _, sum)| sum != 0.0)
            .collect();
        sums.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()).then(a.0.cmp(b.0)));
        sums.truncate(top);
        let reason = |(behaviour, columns, contribution): (&str, Vec<usize>, f64)| {
            let mut lead = columns[0];
            for &column in &columns[1..] {
                let along = contributions[column] * contribution.signum();
                if along > contributions[lead] * contribution.signum() {
                    lead = column;
                }
            }
            Reason {
                behaviour: behaviour.to_owned(),
                direction: if contribution > 0.0 { Direction::Raises } else { Direction::Lowers },
                contribution,
                feature: self.schema().features()[lead].name.clone(),
                value: FeatureValue::read(self.schema(), lead, row[lead]),
            }
        };
        sums.into_iter().map(reason).collect()
    }
}
