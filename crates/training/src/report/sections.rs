//! The sections that every kind of target has, each with one sentence on how to read it.

use maud::{Markup, html};

use super::ReportInputs;
use super::bars::{Dot, Line, bars, dots, swarms};
use super::canvas::{Caption, empty_figure};
use super::numbers::{self, count, number, or_not_defined, percent};
use super::tables::{cell, figures, section, table, with_interval, words};
use crate::evaluation::{
    Evaluation, FeatureQuality, Metric, SegmentRow, SliceRow, SliceTable, TargetSummary,
};

/// Features in a plot; the rest would be lines nobody reads.
const SHOWN_FEATURES: usize = 15;
/// Rows of the data-quality table.
const SHOWN_QUALITY: usize = 25;

fn word<'a>(inputs: &'a ReportInputs<'_>, feature: &'a str) -> &'a str {
    inputs.words.get(feature).map_or(feature, String::as_str)
}

pub(super) fn importance(inputs: &ReportInputs<'_>) -> Markup {
    let shares = &inputs.evaluation.importance;
    let lines: Vec<Line<f64>> = shares
        .iter()
        .take(SHOWN_FEATURES)
        .map(|share| Line { name: word(inputs, &share.feature).to_owned(), value: share.share })
        .collect();
    let caption = Caption {
        id: "plot-importance",
        title: "Share of the split gain",
        reading: "How much of the loss reduction in fitting came from splits on each feature; related features share their credit.",
        legend: &[],
    };
    let content = bars(&caption, &lines, "share of gain", &percent, &[]);
    let reading = format!(
        "{} of {} features are used by the model; the {} strongest are shown.",
        shares.len(),
        inputs.evaluation.quality.len(),
        lines.len()
    );
    section("importance", "What does the model look at?", &reading, &content)
}

pub(super) fn attributions(inputs: &ReportInputs<'_>) -> Markup {
    let all = &inputs.evaluation.attributions;
    let caption = Caption {
        id: "plot-shap",
        title: "Contributions (SHAP)",
        reading: "Each point is one row: how far this feature moved its prediction, from low values (blue) to high ones (red); grey is a missing value or a category.",
        legend: &[("ours", "low value"), ("high", "high value"), ("chance", "missing, category")],
    };
    let reading = format!(
        "Exact contributions of {} test rows: a feature that is blue on the left and red on the right raises the prediction as it grows.",
        count(inputs.evaluation.n_explained)
    );
    let shown = all.iter().filter(|feature| !feature.points.is_empty());
    let lines: Vec<Line<_>> = shown
        .map(|feature| Line {
            name: word(inputs, &feature.feature).to_owned(),
            value: feature.points.clone(),
        })
        .collect();
    let rows: Vec<Vec<Markup>> = all
        .iter()
        .take(SHOWN_FEATURES)
        .map(|feature| {
            let direction = match feature.direction {
                None => "–",
                Some(value) if value >= 0.3 => "↑ raises as it grows",
                Some(value) if value <= -0.3 => "↓ lowers as it grows",
                Some(_) => "↕ depends",
            };
            vec![
                cell(word(inputs, &feature.feature)),
                cell(format!("{:.3}", feature.mean_absolute)),
                cell(direction),
            ]
        })
        .collect();
    let columns = [words("Feature"), figures("Mean |contribution|"), words("Direction")];
    let content = if lines.is_empty() {
        empty_figure(&caption, "no rows were explained")
    } else {
        html! { (swarms(&caption, &lines)) (table("Contributions", &columns, &rows)) }
    };
    section("shap", "In which direction?", &reading, &content)
}

pub(super) fn slices(evaluation: &Evaluation) -> Markup {
    let (metric, reading) = match evaluation.target {
        TargetSummary::Regression => (
            Metric::Spearman,
            "Rank correlation within each slice with its 95 % interval; the dashed line is all rows together.",
        ),
        _ => (
            Metric::Auc,
            "AUC within each slice with its 95 % interval; the dashed line is all rows together.",
        ),
    };
    let content = html! {
        @if evaluation.slices.is_empty() {
            p class="empty" { "No slice columns were given." }
        }
        @for (index, slice) in evaluation.slices.iter().enumerate() {
            @let id = format!("plot-slice-{index}");
            @let caption = Caption { id: &id, title: &slice.column, reading, legend: &[] };
            (slice_plot(evaluation, slice, metric, &caption))
            (slice_table(evaluation, slice, metric))
        }
    };
    section(
        "slices",
        "Does it hold for everyone?",
        "A model that is good on average may fail a group; wide intervals mean few rows, not bad ones.",
        &content,
    )
}

fn slice_plot(
    evaluation: &Evaluation,
    slice: &SliceTable,
    metric: Metric,
    caption: &Caption<'_>,
) -> Markup {
    let dot = |row: &SliceRow| {
        let estimate = row.scorecard.get(&metric)?;
        Some(Dot { value: estimate.value?, interval: estimate.interval })
    };
    let lines: Vec<Line<Dot>> = slice
        .rows
        .iter()
        .filter_map(|row| Some(Line { name: row.label.clone(), value: dot(row)? }))
        .collect();
    let whole = evaluation.scorecard.get(&metric).and_then(|estimate| estimate.value);
    dots(caption, &lines, metric.title(), &|value| format!("{value:.3}"), whole)
}

fn slice_table(evaluation: &Evaluation, slice: &SliceTable, metric: Metric) -> Markup {
    let show = |value: f64| match evaluation.target {
        TargetSummary::Binary => percent(value),
        _ => number(value),
    };
    let loss = match evaluation.target {
        TargetSummary::Regression => Metric::Mae,
        _ => Metric::LogLoss,
    };
    let columns = [
        words("Slice"),
        figures("Rows"),
        figures("Observed mean"),
        figures("Predicted mean"),
        figures(metric.title()),
        figures("Calibration error"),
        figures(loss.title()),
    ];
    let rows: Vec<Vec<Markup>> = slice
        .rows
        .iter()
        .map(|row| {
            let figure = |metric: Metric| match row.scorecard.get(&metric) {
                None => cell("–"),
                Some(estimate) => with_interval(
                    &numbers::value(metric, estimate),
                    numbers::interval(metric, estimate).as_deref(),
                ),
            };
            vec![
                cell(&row.label),
                cell(count(row.n_rows)),
                cell(or_not_defined(row.mean_label, show)),
                cell(or_not_defined(row.mean_prediction, show)),
                figure(metric),
                figure(Metric::CalibrationError),
                figure(loss),
            ]
        })
        .collect();
    table(&format!("Slices by {}", slice.column), &columns, &rows)
}

pub(super) fn segments(evaluation: &Evaluation) -> Markup {
    let is_rate = evaluation.target == TargetSummary::Binary;
    let show = |value: f64| if is_rate { percent(value) } else { number(value) };
    let columns = [
        words("Segment"),
        figures("Users"),
        figures("Share of rows"),
        figures("Observed"),
        figures("Mean prediction"),
        words("To know"),
    ];
    let row = |segment: &SegmentRow| {
        let interval =
            segment.interval.map(|(low, high)| format!("{} to {}", percent(low), percent(high)));
        vec![
            html! { @if let Some(name) = &segment.name { (name) } @else { em { "in no segment" } } },
            cell(count(segment.n_users)),
            cell(percent(segment.share)),
            with_interval(&or_not_defined(segment.outcome, show), interval.as_deref()),
            cell(or_not_defined(segment.mean_prediction, show)),
            html! { @if let Some(why) = &segment.too_small { span class="tag" { (why) } } },
        ]
    };
    let rows: Vec<Vec<Markup>> = evaluation.segments.iter().map(row).collect();
    let content = if rows.is_empty() {
        html! { p class="empty" { "The model has no segments." } }
    } else {
        table("Segments", &columns, &rows)
    };
    section(
        "segments",
        "Who is in each segment?",
        "The first condition that matches decides; a segment is useful when its outcome differs from its neighbours' beyond the interval.",
        &content,
    )
}

pub(super) fn drift(inputs: &ReportInputs<'_>) -> Markup {
    let lines: Vec<Line<f64>> = inputs
        .evaluation
        .drift
        .iter()
        .take(SHOWN_FEATURES)
        .map(|drift| Line { name: word(inputs, &drift.feature).to_owned(), value: drift.psi })
        .collect();
    let caption = Caption {
        id: "plot-drift",
        title: "Population stability index, train to test",
        reading: "How far each feature's distribution moved; the dashed lines are the customary bounds of 0.10 (notable) and 0.25 (strong).",
        legend: &[],
    };
    let content = bars(&caption, &lines, "PSI", &|value| format!("{value:.2}"), &[0.10, 0.25]);
    section(
        "drift",
        "Has the world moved since training?",
        "A model is only as good as the past is like the present; strong drift asks for newer data.",
        &content,
    )
}

pub(super) fn quality(inputs: &ReportInputs<'_>) -> Markup {
    let evaluation = inputs.evaluation;
    let mut notable: Vec<&FeatureQuality> = evaluation
        .quality
        .iter()
        .filter(|q| {
            q.constant || q.missing_train > 0.0 || q.missing_test > 0.0 || q.unseen_test > 0.0
        })
        .collect();
    notable.sort_by(|a, b| {
        b.constant
            .cmp(&a.constant)
            .then(b.missing_test.total_cmp(&a.missing_test))
            .then(b.unseen_test.total_cmp(&a.unseen_test))
    });
    let n_notable = notable.len();
    let rows: Vec<Vec<Markup>> = notable
        .into_iter()
        .take(SHOWN_QUALITY)
        .map(|quality| {
            vec![
                cell(word(inputs, &quality.feature)),
                cell(percent(quality.missing_train)),
                cell(percent(quality.missing_test)),
                cell(percent(quality.unseen_test)),
                cell(count(quality.n_distinct)),
                html! { @if quality.constant { span class="tag" { "never varies" } } },
            ]
        })
        .collect();
    let columns = [
        words("Feature"),
        figures("Missing in train"),
        figures("Missing in test"),
        figures("Unseen category in test"),
        figures("Distinct values"),
        words("To know"),
    ];
    let content = html! {
        @if rows.is_empty() {
            p { "No feature is missing, constant or unseen anywhere." }
        } @else {
            p class="small" {
                (count(n_notable)) " of " (count(evaluation.quality.len()))
                " features have something to know"
                @if n_notable > SHOWN_QUALITY { "; the first " (SHOWN_QUALITY) " are shown" } "."
            }
            (table("Features", &columns, &rows))
        }
        h3 { "Source rows left out" }
        (rejects(evaluation))
    };
    section(
        "quality",
        "Is the data sound?",
        "Missing values are information to a tree, but a column that empties after training is a broken feed.",
        &content,
    )
}

fn rejects(evaluation: &Evaluation) -> Markup {
    if evaluation.rejects.iter().all(|(_, n)| *n == 0) {
        return html! { p { "None: every source row was used." } };
    }
    let rows: Vec<Vec<Markup>> = evaluation
        .rejects
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(reason, n)| vec![cell(reason), cell(count(*n as usize))])
        .collect();
    table("Rejected rows", &[words("Reason"), figures("Rows")], &rows)
}
