//! Columns of a foreign model: names, kinds, and the categories that its file knows of.

use std::sync::Arc;

use segue_dataset::{Feature, Schema, SchemaError};

use super::assemble::{ForeignNode, ForeignSplit, ForeignTree};

/// What is known of one column while a file is read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: ColumnKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ColumnKind {
    Number,
    /// Categories by the numbers of the file. They are coded in ascending order and named by their
    /// numbers; one that no set and no list names is unseen, and goes where every such one goes.
    Numbered(Vec<f64>),
    /// Categories by name; their numbers in the file are their codes.
    Named(Vec<String>),
}

/// The columns of a model, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Columns(pub(super) Vec<Column>);

impl Columns {
    /// Adds the categories that splits speak of to the numbered columns, and sorts them.
    pub(super) fn learn_categories<'a>(&mut self, trees: impl Iterator<Item = &'a ForeignTree>) {
        for node in trees.flat_map(|tree| &tree.nodes) {
            if let ForeignNode::Inner { feature, split: ForeignSplit::OneOf(values), .. } = node
                && let Some(Column { kind: ColumnKind::Numbered(known), .. }) =
                    self.0.get_mut(*feature)
            {
                known.extend_from_slice(values);
            }
        }
        for column in &mut self.0 {
            if let ColumnKind::Numbered(known) = &mut column.kind {
                known.sort_unstable_by(f64::total_cmp);
                known.dedup();
            }
        }
    }

    /// Makes numbered categories of the columns that splits look up in sets. Gives a column that is
    /// compared as well, if there is one.
    pub(super) fn adopt<'a>(
        &mut self,
        trees: impl Iterator<Item = &'a ForeignTree>,
    ) -> Option<usize> {
        let mut asked = vec![(false, false); self.0.len()];
        for node in trees.flat_map(|tree| &tree.nodes) {
            if let ForeignNode::Inner { feature, split, .. } = node {
                match split {
                    ForeignSplit::Number(_) => asked[*feature].0 = true,
                    ForeignSplit::OneOf(_) => asked[*feature].1 = true,
                }
            }
        }
        for (column, &(compared, looked_up)) in self.0.iter_mut().zip(&asked) {
            if looked_up && !compared && column.kind == ColumnKind::Number {
                column.kind = ColumnKind::Numbered(Vec::new());
            }
        }
        let category = |column: usize| self.0[column].kind != ColumnKind::Number;
        let both = |column: usize, (compared, looked_up): (bool, bool)| {
            compared && (looked_up || category(column))
        };
        asked.iter().enumerate().find(|&(column, &asked)| both(column, asked)).map(|(at, _)| at)
    }

    /// Bytes of a set of the column's categories, which lasts to the largest code in it.
    fn set_bytes(&self, column: usize, ascending: &[f64]) -> usize {
        let last = ascending.iter().rev().find_map(|&value| self.code(column, value));
        last.map_or(0, |code| (code as usize / 64 + 1) * 8)
    }

    /// Bytes of the sets of all splits, in full: a file can ask for far more of them than it is long,
    /// since every set of one large category is as long as its code.
    pub(super) fn bytes_of_sets<'a>(&self, trees: impl Iterator<Item = &'a ForeignTree>) -> usize {
        let sets = trees.flat_map(|tree| &tree.nodes).map(|node| match node {
            ForeignNode::Inner { feature, split: ForeignSplit::OneOf(values), .. } => {
                self.set_bytes(*feature, values)
            }
            _ => 0,
        });
        sets.fold(0, usize::saturating_add)
    }

    /// Code of a category as the file writes it; `None` if it is not one of the column's.
    pub(super) fn code(&self, column: usize, value: f64) -> Option<u32> {
        match &self.0.get(column)?.kind {
            ColumnKind::Number => None,
            ColumnKind::Numbered(known) => {
                known.binary_search_by(|known| known.total_cmp(&value)).ok().map(|at| at as u32)
            }
            ColumnKind::Named(names) => {
                (value >= 0.0 && value < names.len() as f64).then_some(value as u32)
            }
        }
    }

    pub(super) fn schema(self) -> Result<Arc<Schema>, SchemaError> {
        let feature = |column: Column| match column.kind {
            ColumnKind::Number => Feature::number(column.name),
            ColumnKind::Numbered(known) => {
                Feature::category(column.name, known.into_iter().map(number_name).collect())
            }
            ColumnKind::Named(names) => Feature::category(column.name, names),
        };
        Ok(Arc::new(Schema::new(self.0.into_iter().map(feature).collect())?))
    }
}

/// The shortest text of a number; of a single-precision one, its shortest text there.
fn number_name(value: f64) -> String {
    let single = value as f32;
    if f64::from(single) == value { single.to_string() } else { value.to_string() }
}
