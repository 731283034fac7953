//! The top of the page: what this is, the four figures, the verdicts, the comparison; and the foot.

use maud::{Markup, html};

use super::numbers::{self, NOT_DEFINED, count, date, percent};
use super::tables::{Column, cell, figures, section, table, with_interval, words};
use super::{PartSpan, ReportInputs};
use crate::evaluation::{
    Comparison, Contender, Estimate, Evaluation, Level, Metric, Recommendation, Scorecard,
    TargetSummary,
};

pub(super) fn header(inputs: &ReportInputs<'_>) -> Markup {
    let is_rate = matches!(inputs.evaluation.target, TargetSummary::Binary);
    html! {
        header {
            p class="eyebrow" { "Evaluation report · " (inputs.task) }
            h1 { (inputs.model) }
            p class="question" { (inputs.question) }
            dl class="facts" {
                div { dt { "Learner" } dd { (inputs.learner) } }
                @if let Some((first, last)) = inputs.span_us {
                    div { dt { "Data" } dd { (date(first)) " to " (date(last)) } }
                }
                @for part in &inputs.parts { (part_fact(part, is_rate)) }
            }
        }
    }
}

fn part_fact(part: &PartSpan, is_rate: bool) -> Markup {
    html! {
        div {
            dt { (part.name) }
            dd {
                (count(part.n_rows)) " rows"
                @if let Some(n_users) = part.n_users { ", " (count(n_users)) " users" }
                @if let (Some(rate), true) = (part.mean_label, is_rate) { ", " (percent(rate)) " positive" }
                @if let Some((first, last)) = part.span_us {
                    small { (date(first)) " to " (date(last)) }
                }
            }
        }
    }
}

/// The four figures that decide first.
pub(super) fn cards(evaluation: &Evaluation) -> Markup {
    let shown: &[Metric] = match evaluation.target {
        TargetSummary::Binary => &[Metric::Auc, Metric::CalibrationError, Metric::LiftAt10],
        TargetSummary::Multiclass { .. } => {
            &[Metric::Auc, Metric::LogLoss, Metric::Accuracy, Metric::CalibrationError]
        }
        TargetSummary::Regression => {
            &[Metric::Rmse, Metric::RSquared, Metric::Spearman, Metric::TopDecileShare]
        }
    };
    html! {
        section id="summary" class="cards" aria-label="Summary" {
            @for &metric in shown { (card(metric, &evaluation.scorecard)) }
            @if evaluation.target == TargetSummary::Binary {
                div class="card" {
                    h3 { "Base rate" }
                    p class="big" {
                        (numbers::or_not_defined(evaluation.test.mean_label, percent))
                    }
                    p class="small" {
                        (count(evaluation.test.n_positives)) " of "
                        (count(evaluation.test.n_rows)) " test rows are positive"
                    }
                }
            }
        }
    }
}

fn card(metric: Metric, scorecard: &Scorecard) -> Markup {
    let estimate = scorecard.get(&metric).copied().unwrap_or_default();
    html! {
        div class="card" title=(metric.meaning()) {
            h3 { (metric.title()) }
            p class="big" { (numbers::value(metric, &estimate)) }
            @if let Some(interval) = numbers::interval(metric, &estimate) {
                p class="small" { "95 % CI " (interval) }
            }
        }
    }
}

pub(super) fn verdicts(evaluation: &Evaluation) -> Markup {
    let (class, answer) = match evaluation.recommendation {
        Recommendation::Promote => ("good", "Yes: nothing here speaks against it."),
        Recommendation::LookFirst => ("warning", "Look at the warnings first."),
        Recommendation::DoNotPromote => ("bad", "Not as it is."),
    };
    let plan = &evaluation.bootstrap;
    let reading = format!(
        "Measured on {} held-out rows of {} users that neither fitting nor calibration has seen; intervals are 95 %, from {} resamples {}.",
        count(evaluation.test.n_rows),
        count(evaluation.test.n_users),
        plan.n_resamples,
        if plan.by_user { "of whole users" } else { "of rows" },
    );
    let content = html! {
        p class=(format!("answer {class}")) { (answer) }
        ul class="verdicts" {
            @for verdict in &evaluation.verdicts {
                @let (class, mark, name) = level(verdict.level);
                li class=(class) {
                    span class="mark" aria-hidden="true" { (mark) }
                    span { span class="hidden" { (name) ": " } (sentence(&verdict.text)) }
                }
            }
        }
    };
    section("verdicts", "Should I promote this?", &reading, &content)
}

/// With a capital at its head.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn level(level: Level) -> (&'static str, &'static str, &'static str) {
    match level {
        Level::Good => ("good", "✓", "good"),
        Level::Note => ("note", "·", "note"),
        Level::Warning => ("warning", "!", "warning"),
        Level::Bad => ("bad", "✕", "against"),
    }
}

pub(super) fn comparison(inputs: &ReportInputs<'_>) -> Markup {
    let evaluation = inputs.evaluation;
    let (shown, columns, headline): (&[Metric], &[Column], Metric) = match evaluation.target {
        TargetSummary::Binary => (
            &[
                Metric::Auc,
                Metric::AveragePrecision,
                Metric::LogLoss,
                Metric::CalibrationError,
                Metric::LiftAt10,
            ],
            &[
                words("Model"),
                figures("AUC"),
                figures("Average precision"),
                figures("Log loss"),
                figures("Calibration error"),
                figures("Lift, top 10 %"),
                figures("Our advantage in AUC"),
            ],
            Metric::Auc,
        ),
        TargetSummary::Multiclass { .. } => (
            &[Metric::LogLoss, Metric::Accuracy, Metric::Auc],
            &[
                words("Model"),
                figures("Log loss"),
                figures("Accuracy"),
                figures("AUC, mean over classes"),
                figures("Our advantage in log loss"),
            ],
            Metric::LogLoss,
        ),
        TargetSummary::Regression => (
            &[Metric::Rmse, Metric::Mae, Metric::RSquared, Metric::Spearman, Metric::Gini],
            &[
                words("Model"),
                figures("RMSE"),
                figures("MAE"),
                figures("R²"),
                figures("Spearman"),
                figures("Normalised Gini"),
                figures("Our advantage in Spearman"),
            ],
            Metric::Spearman,
        ),
    };
    let mut rows = vec![ours(inputs, shown)];
    rows.extend(evaluation.comparisons.iter().map(|other| theirs(inputs, other, shown, headline)));
    let reading = "All on the same test rows and the same resamples; an advantage whose interval stays above 0 is not luck.";
    let content = table("Comparison", columns, &rows);
    section("comparison", "Against what it must beat", reading, &content)
}

fn ours(inputs: &ReportInputs<'_>, shown: &[Metric]) -> Vec<Markup> {
    let scorecard = &inputs.evaluation.scorecard;
    let name = html! { strong { "this model" } small { (inputs.learner) } };
    let figures = shown.iter().map(|&metric| figure(metric, scorecard.get(&metric)));
    std::iter::once(name).chain(figures).chain([cell("")]).collect()
}

fn theirs(
    inputs: &ReportInputs<'_>,
    other: &Comparison,
    shown: &[Metric],
    headline: Metric,
) -> Vec<Markup> {
    let name = match other.contender {
        Contender::SingleFeature => inputs.words.get(&other.name).unwrap_or(&other.name),
        _ => &other.name,
    };
    let name = html! {
        (name)
        @if !other.note.is_empty() { small { (other.note) } }
    };
    let figures = shown.iter().map(|&metric| figure(metric, other.scorecard.get(&metric)));
    let advantage = other.advantage.get(&headline).copied().unwrap_or_default();
    let signed = |value: f64| format!("{value:+.3}");
    let interval =
        advantage.interval.map(|(low, high)| format!("{} to {}", signed(low), signed(high)));
    let value = advantage.value.map_or_else(|| NOT_DEFINED.to_owned(), signed);
    let advantage = with_interval(&value, interval.as_deref());
    std::iter::once(name).chain(figures).chain([advantage]).collect()
}

/// A metric that a contender does not have at all is a dash; one without a value is not defined.
fn figure(metric: Metric, estimate: Option<&Estimate>) -> Markup {
    match estimate {
        None => cell("–"),
        Some(estimate) => with_interval(
            &numbers::value(metric, estimate),
            numbers::interval(metric, estimate).as_deref(),
        ),
    }
}

pub(super) fn footer(inputs: &ReportInputs<'_>) -> Markup {
    let plan = &inputs.evaluation.bootstrap;
    html! {
        footer id="reproducibility" {
            h2 { "Reproducibility" }
            p class="reading" {
                "The same data, parameters and seeds give the same model and this page, on any number of threads."
            }
            dl class="facts" {
                @for (name, value) in &inputs.reproducibility {
                    div { dt { (name) } dd class="code" { (value) } }
                }
                div {
                    dt { "Bootstrap" }
                    dd class="code" {
                        "seed " (plan.seed) ", " (plan.n_resamples) " resamples of "
                        (count(plan.n_drawn)) " out of " (count(plan.n_users))
                        @if plan.by_user { " users" } @else { " rows" }
                    }
                }
            }
        }
    }
}
