//! Neighbouring rows of a request: read and answered one by one, but scored together.
//!
//! A block of rows goes through the trees of a version several times faster than its rows do one by one.

use std::slice;

use segue_api::v1 as pb;
use segue_dataset::Matrix;
use segue_model::{Scores, Traits};

use super::{CountedPanic, Job};
use crate::ServingError;
use crate::from_proto::{RowInput, RowPath};
use crate::live::Selected;
use crate::prediction_log::About;
use crate::scratch::{with_each_score, with_scores};
use crate::segment::{Answer, traits};

/// Bad fields after which the rows of a failed request are not looked at.
const MAX_BAD_FIELDS: usize = 64;

/// Rows below which a table, a piece of memory a column, costs more than it saves.
const MIN_TABLE_ROWS: usize = 8;

/// The versions that are to answer a row, and what it says to each.
type Asked<'a> = (&'a [Selected], &'a RowInput);

impl Job {
    /// Answers rows, of which the first is the request's row `first`, in order. Unless the request is
    /// `partial`, rows after too many bad fields are left out: it has failed, and an answer would not carry
    /// more.
    pub(crate) fn score_rows(
        &self,
        rows: &[pb::FeatureRow],
        first: usize,
        partial: bool,
    ) -> Vec<Result<pb::ScoredRow, ServingError>> {
        let mut n_bad = 0;
        let mut read = Vec::with_capacity(rows.len());
        for (index, row) in (first..).zip(rows) {
            let one = self.read(Some(row), RowPath::Rows(index));
            n_bad += one.as_ref().err().map_or(0, n_fields);
            read.push(one);
            if n_bad > MAX_BAD_FIELDS && !partial {
                break;
            }
        }
        let asked = read.iter().map(|one| {
            let (versions, input) = one.as_ref().ok()?;
            Some((&**versions, input))
        });
        let answers = self.answers_of_rows(&asked.collect::<Vec<_>>());
        let answered = read.into_iter().zip(answers).zip(rows).map(|((one, answers), row)| {
            let (versions, input) = one?;
            let traits = traits(&row.traits);
            Ok(self.answer(&versions, input, answers, &traits, About::of(Some(row))))
        });
        answered.collect()
    }

    /// Answers rows that have all been read for these versions.
    pub(crate) fn answer_rows(
        &self,
        versions: &[Selected],
        rows: Vec<RowInput>,
        traits: &Traits,
        about: About<'_>,
    ) -> Vec<pb::ScoredRow> {
        let asked: Vec<_> = rows.iter().map(|input| Some((versions, input))).collect();
        let answers = self.answers_of_rows(&asked);
        let rows = rows.into_iter().zip(answers);
        rows.map(|(input, answers)| self.answer(versions, input, answers, traits, about)).collect()
    }

    /// The answers to each row, one a version; none to a row that could not be read.
    fn answers_of_rows(&self, rows: &[Option<Asked<'_>>]) -> Vec<Vec<Answer>> {
        let (n_models, n_slots) = (self.selection.unsplit().len(), self.selection.versions().len());
        let mut answers: Vec<Vec<Answer>> =
            rows.iter().map(|row| Vec::with_capacity(row.map_or(0, |_| n_models))).collect();
        for model in 0..n_models {
            // The champion's rows and those of a canary.
            let mut by_slot = vec![Vec::new(); n_slots];
            for (index, (versions, input)) in
                (0..).zip(rows).filter_map(|(i, row)| Some((i, (*row)?)))
            {
                let selected = &versions[model];
                by_slot[selected.slot as usize].push((index, selected, &input.rows[model]));
            }
            for of_slot in by_slot {
                let Some(&(_, selected, _)) = of_slot.first() else { continue };
                let _counted = CountedPanic(slice::from_ref(selected));
                let version = &selected.served.model;
                let mut answer = |at: usize, scores: Scores<'_>| {
                    let row: usize = of_slot[at].0;
                    answers[row].push(self.answer_of(selected, scores));
                };
                if of_slot.len() < MIN_TABLE_ROWS {
                    for (at, (.., row)) in of_slot.iter().enumerate() {
                        with_scores(version, row, |scores| answer(at, scores));
                    }
                } else {
                    let table = table_of(of_slot.iter().map(|(.., row)| row.as_slice()));
                    with_each_score(version, &table, answer);
                }
            }
        }
        answers
    }
}

/// Rows of equal width as a table.
fn table_of<'a>(rows: impl ExactSizeIterator<Item = &'a [f64]> + Clone) -> Matrix {
    let n_columns = rows.clone().next().map_or(0, <[f64]>::len);
    let column = |column: usize| rows.clone().map(|row| row[column]).collect();
    Matrix::from_columns(rows.len(), (0..n_columns).map(column).collect())
}

fn n_fields(error: &ServingError) -> usize {
    if let ServingError::Invalid(violations) = error { violations.len() } else { 1 }
}
