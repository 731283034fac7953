//! Columns of scores, batch by batch.

use polars::prelude::Column;
use segue_dataset::TargetKind;

use super::answers::Answers;
use super::{Explain, FileScorer};
use crate::export::column;

/// `NAME`, or `NAME_CLASS` per class; `NAME_segment`; `NAME_reasons`; `NAME_interactions`; `NAME_version`.
pub(super) fn columns_of(
    scorers: &[FileScorer],
    explain: Explain,
    answers: Answers,
) -> Vec<Column> {
    let n_rows = answers.n_rows;
    let mut columns = Vec::new();
    let texts = answers.reasons.into_iter().zip(answers.interactions);
    let models = scorers.iter().zip(answers.outputs).zip(answers.segments).zip(texts);
    for (((scorer, outputs), segments), (reasons, interactions)) in models {
        let name = &scorer.name;
        match scorer.model.target() {
            TargetKind::Multiclass { classes } => {
                for (class, values) in classes.iter().zip(outputs) {
                    columns.push(column(&format!("{name}_{class}"), values));
                }
            }
            TargetKind::Binary | TargetKind::Regression => {
                for values in outputs {
                    columns.push(column(name, values));
                }
            }
        }
        if scorer.segments.is_some() {
            columns.push(column(&format!("{name}_segment"), segments));
        }
        if explain.n_reasons > 0 {
            columns.push(column(&format!("{name}_reasons"), reasons));
        }
        if explain.n_interactions > 0 {
            columns.push(column(&format!("{name}_interactions"), interactions));
        }
        columns.push(column(&format!("{name}_version"), vec![scorer.version; n_rows]));
    }
    columns
}
