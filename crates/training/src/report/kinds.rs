//! The sections that only one kind of target has: curves and audience, classes, deciles.

use maud::{Markup, html};

use super::canvas::Caption;
use super::numbers::{self, count, number, or_not_defined, percent};
use super::plots;
use super::tables::{cell, figures, section, table, with_interval, words};
use crate::evaluation::{AudienceRow, ClassDetail, Detail, Evaluation, Metric};

/// Classes with a reliability plot.
const SHOWN_CLASSES: usize = 8;

pub(super) fn binary(evaluation: &Evaluation) -> Markup {
    let Detail::Binary { curve, gain, reliability, line, audience, histogram } = &evaluation.detail
    else {
        return html! {};
    };
    let base_rate = evaluation.test.mean_label;
    let ranking = html! { div class="pair" {
        (plots::roc(curve.as_ref())) (plots::precision_recall(curve.as_ref(), base_rate))
    } };
    let line_words = line.map_or_else(
        || "slope and intercept are not defined on these rows".to_owned(),
        |line| {
            format!(
                "slope {:.2} (1 is right, below 1 too extreme), intercept {:+.2} (0 is right, above 0 too low)",
                line.slope, line.intercept
            )
        },
    );
    let caption = Caption {
        id: "plot-reliability",
        title: "Reliability",
        reading: "Of the users given a probability (right), how many had the outcome (up), in bins of equal size with 95 % Wilson intervals; points on the diagonal can be read as probabilities.",
        legend: &[("ours", "model"), ("chance", "perfect")],
    };
    let calibration = html! { div class="pair" {
        (plots::reliability(&caption, reliability, true))
        div { (calibration_table(evaluation)) p class="reading" { "Logistic recalibration: " (line_words) "." } }
    } };
    let lift = html! { div class="pair" {
        (plots::gain(gain, "positives")) (plots::lift(gain, "positives"))
    } };
    let who = html! {
    (plots::audience(audience, base_rate)) (audience_table(audience)) };
    html! {
        (section("ranking", "Does it rank the right people first?", "Both curves walk down the ranking from the highest score to the lowest.", &ranking))
        (section("calibration", "Can a score be read as a probability?", "A score of 30 % should come true three times in ten.", &calibration))
        (section("lift", "What does targeting gain?", "The first steps matter most: that is where a campaign spends its budget.", &lift))
        (section("audience", "How many users should I target?", "Each row targets everyone at or above a score; counts are those of the test rows.", &who))
        (section("scores", "How are the scores distributed?", "A model that gives everyone the same score cannot separate anyone.", &plots::scores(histogram)))
    }
}

fn calibration_table(evaluation: &Evaluation) -> Markup {
    let shown = [Metric::CalibrationError, Metric::LogLoss, Metric::Brier];
    let rows: Vec<Vec<Markup>> = shown
        .iter()
        .map(|&metric| {
            let after = evaluation.scorecard.get(&metric).copied().unwrap_or_default();
            let before = evaluation
                .uncalibrated
                .get(&metric)
                .map_or_else(|| "–".to_owned(), |&value| numbers::metric(metric, value));
            let interval = numbers::interval(metric, &after);
            vec![
                cell(metric.title()),
                cell(before),
                with_interval(&numbers::value(metric, &after), interval.as_deref()),
            ]
        })
        .collect();
    let columns = [words("Lower is better"), figures("Before"), figures("Calibrated")];
    table("Calibration before and after", &columns, &rows)
}

fn audience_table(audience: &[AudienceRow]) -> Markup {
    if audience.is_empty() {
        return html! { p class="empty" { "not defined: there are no test rows" } };
    }
    let columns = [
        figures("Share targeted"),
        figures("Score at least"),
        figures("Users"),
        figures("Expected true positives"),
        figures("Expected false positives"),
        figures("Precision"),
        figures("Positives reached"),
    ];
    let rows: Vec<Vec<Markup>> = audience
        .iter()
        .map(|row| {
            let (low, high) = row.precision_interval;
            let interval = format!("{} to {}", percent(low), percent(high));
            vec![
                cell(numbers::whole_percent(row.share)),
                cell(format!("{:.3}", row.threshold)),
                cell(count(row.n_users)),
                cell(count(row.true_positives.round() as usize)),
                cell(count(row.false_positives.round() as usize)),
                with_interval(&percent(row.precision), Some(&interval)),
                cell(or_not_defined(row.recall, percent)),
            ]
        })
        .collect();
    table("Audience", &columns, &rows)
}

pub(super) fn multiclass(evaluation: &Evaluation) -> Markup {
    let Detail::Multiclass { classes, confusion } = &evaluation.detail else { return html! {} };
    let columns = [
        words("Class"),
        figures("Rows"),
        figures("Share"),
        figures("AUC against the rest"),
        figures("Calibration error"),
        figures("Precision"),
        figures("Recall"),
    ];
    let rows: Vec<Vec<Markup>> = classes.iter().map(class_row).collect();
    let plots = html! { div class="pair" {
        @for (index, class) in classes.iter().take(SHOWN_CLASSES).enumerate() {
            @let id = format!("plot-reliability-{index}");
            @let caption = Caption { id: &id, title: &class.name, reading: "Predicted probability of this class against how often it came, with 95 % Wilson intervals.", legend: &[] };
            (plots::reliability(&caption, &class.reliability, true))
        }
    } };
    html! {
        (section("classes", "How well is each class told apart?", "Each class against all others; recall is the share of its rows called by its name.", &table("Classes", &columns, &rows)))
        (section("confusion", "Which classes are mistaken for which?", "Rows are what was, columns the most probable class; shares of each row, the diagonal is right.", &confusion_table(classes, confusion)))
        (section("calibration", "Can a score be read as a probability?", "A probability of 30 % should come true three times in ten, class by class.", &plots))
    }
}

fn class_row(class: &ClassDetail) -> Vec<Markup> {
    vec![
        cell(&class.name),
        cell(count(class.n_rows)),
        cell(or_not_defined(class.share, percent)),
        with_interval(
            &numbers::value(Metric::Auc, &class.auc),
            numbers::interval(Metric::Auc, &class.auc).as_deref(),
        ),
        cell(or_not_defined(class.calibration_error, |v| format!("{v:.3}"))),
        cell(or_not_defined(class.precision, percent)),
        cell(or_not_defined(class.recall, percent)),
    ]
}

fn confusion_table(classes: &[ClassDetail], confusion: &[Vec<f64>]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix" {
            table class="confusion" {
                caption class="hidden" { "Confusion matrix" }
                thead { tr { th scope="col" { "actual \\ called" } @for class in classes { th scope="col" class="figure" { (class.name) } } } }
                tbody {
                    @for (class, row) in classes.iter().zip(confusion) {
                        @let total: f64 = row.iter().sum();
                        tr {
                            th scope="row" { (class.name) }
                            @for weight in row {
                                @let share = if total > 0.0 { weight / total } else { 0.0 };
                                td class="figure heat" style=(format!("--heat:{:.0}%", share * 70.0)) { (percent(share)) small { (count(weight.round() as usize)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn regression(evaluation: &Evaluation) -> Markup {
    let Detail::Regression { deciles, gain } = &evaluation.detail else { return html! {} };
    let caption = Caption {
        id: "plot-deciles",
        title: "Predicted against actual, by decile",
        reading: "Mean predicted value (right) against the mean that came (up) in ten groups of equal size, with 95 % intervals; the diagonal is right.",
        legend: &[("ours", "model"), ("chance", "perfect")],
    };
    let columns =
        [words("Decile"), figures("Mean predicted"), figures("Mean actual"), figures("95 % CI")];
    let rows: Vec<Vec<Markup>> = deciles
        .iter()
        .enumerate()
        .map(|(index, bin)| {
            let interval = format!("{} to {}", number(bin.interval.0), number(bin.interval.1));
            vec![
                cell((index + 1).to_string()),
                cell(number(bin.predicted)),
                cell(number(bin.observed)),
                cell(interval),
            ]
        })
        .collect();
    let calibration = html! { div class="pair" {
        (plots::reliability(&caption, deciles, false)) (table("Deciles", &columns, &rows))
    } };
    let lift = html! { div class="pair" {
        (plots::gain(gain, "value")) (plots::lift(gain, "value"))
    } };
    html! {
        (section("calibration", "Are the predicted values right?", "Group by group, the mean prediction should be the mean that came.", &calibration))
        (section("lift", "What does targeting gain?", "How much of all value the top of the ranking holds.", &lift))
    }
}
