//! What a forest says of its own training rows, beside the test rows.

use maud::{Markup, html};

use super::numbers::{self, NOT_DEFINED, count};
use super::tables::{Column, cell, figures, section, table, words};
use crate::evaluation::{Evaluation, Metric, OutOfBagFigures};

/// Nothing for learners without such an estimate.
pub(super) fn out_of_bag(evaluation: &Evaluation) -> Markup {
    match &evaluation.out_of_bag {
        Some(estimate) => beside_test(evaluation, estimate),
        None => html! {},
    }
}

fn beside_test(evaluation: &Evaluation, estimate: &OutOfBagFigures) -> Markup {
    let shown: Vec<Metric> = estimate.metrics.keys().copied().collect();
    let row = |name: &str, n_rows: usize, value: &dyn Fn(Metric) -> Option<f64>| -> Vec<Markup> {
        let figure = |&metric: &Metric| match value(metric) {
            Some(value) => cell(numbers::metric(metric, value)),
            None => cell(NOT_DEFINED),
        };
        let head = [cell(name), cell(count(n_rows))];
        head.into_iter().chain(shown.iter().map(figure)).collect()
    };
    let n_test = evaluation.test.n_rows;
    let mut rows = vec![row("training rows, out of bag", estimate.n_rows, &|metric| {
        estimate.metrics.get(&metric).copied()
    })];
    if !evaluation.uncalibrated.is_empty() {
        rows.push(row("test rows, before calibration", n_test, &|metric| {
            evaluation.uncalibrated.get(&metric).copied()
        }));
    }
    rows.push(row("test rows", n_test, &|metric| evaluation.scorecard.get(&metric)?.value));
    let columns: Vec<Column> = [words("Measured on"), figures("Rows")]
        .into_iter()
        .chain(shown.iter().map(|metric| figures(metric.title())))
        .collect();
    section(
        "out-of-bag",
        "What do its own training rows say?",
        "Each training row is predicted by the trees that did not draw it, before calibration. Figures far better than those of the test rows say that the test rows are different, or that rows of one user know of each other.",
        &table("Out of bag and test", &columns, &rows),
    )
}
