//! The page a person reads before promoting: one self-contained HTML file.
//!
//! No script, no font, no image and no request leaves the page: plots are inline SVG drawn by
//! `plotters`, and every text that comes from data passes through the escaping of `maud`. Colours
//! follow the reader's light or dark setting; the page prints.

mod bars;
mod canvas;
mod kinds;
mod numbers;
mod out_of_bag;
mod plots;
mod sections;
mod tables;
mod top;

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::evaluation::{Detail, Evaluation};

/// What a report shows beside the figures.
#[derive(Debug, Clone)]
pub struct ReportInputs<'a> {
    /// Model name.
    pub model: &'a str,
    /// Task name, for example `churn`.
    pub task: &'a str,
    /// What is predicted, as a sentence a product manager understands.
    pub question: &'a str,
    /// Learner, for example `histogram gradient boosting`.
    pub learner: &'a str,
    /// First and last event of the data, microseconds UTC.
    pub span_us: Option<(i64, i64)>,
    /// The parts of the split, in order of time.
    pub parts: Vec<PartSpan>,
    /// The figures.
    pub evaluation: &'a Evaluation,
    /// Words for feature names (`help visits in the last 7 days`); names without words stay names.
    pub words: &'a BTreeMap<String, String>,
    /// Hashes, seeds, parameters and versions, in reading order.
    pub reproducibility: Vec<(String, String)>,
}

/// One part of the split.
#[derive(Debug, Clone, PartialEq)]
pub struct PartSpan {
    /// `train`, `calibrate` or `test`.
    pub name: String,
    /// Rows.
    pub n_rows: usize,
    /// Distinct users, where known.
    pub n_users: Option<usize>,
    /// Mean label, where it means something.
    pub mean_label: Option<f64>,
    /// First and last instant of its rows, microseconds UTC.
    pub span_us: Option<(i64, i64)>,
}

/// The whole page.
#[must_use]
pub fn render(inputs: &ReportInputs<'_>) -> String {
    let evaluation = inputs.evaluation;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (inputs.model) " · evaluation report" }
                style { (PreEscaped(include_str!("report/style.css"))) }
            }
            body {
                (top::header(inputs))
                main {
                    (top::cards(evaluation))
                    (top::verdicts(evaluation))
                    (top::comparison(inputs))
                    (out_of_bag::out_of_bag(evaluation))
                    (by_kind(evaluation))
                    (sections::importance(inputs))
                    (sections::attributions(inputs))
                    (sections::slices(evaluation))
                    (sections::segments(evaluation))
                    (sections::drift(inputs))
                    (sections::quality(inputs))
                }
                (top::footer(inputs))
            }
        }
    };
    page.into_string()
}

fn by_kind(evaluation: &Evaluation) -> Markup {
    match &evaluation.detail {
        Detail::Binary { .. } => kinds::binary(evaluation),
        Detail::Multiclass { .. } => kinds::multiclass(evaluation),
        Detail::Regression { .. } => kinds::regression(evaluation),
    }
}

#[cfg(test)]
mod tests;
