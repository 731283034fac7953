//! Plots of curves: ROC, precision-recall, reliability, gain, lift, audience, scores.

use maud::Markup;
use plotters::prelude::*;

use super::canvas::{
    Axes, CHANCE, Caption, Drawn, HALF, OURS, SECOND, chart, empty_figure, figure, round_up,
};
use super::numbers::{tick, whole_percent};
use crate::evaluation::{AudienceRow, Curve, GainPoint, HistogramBin, ReliabilityBin};

const ONE_CLASS: &str = "the test rows hold one outcome only";

fn dashed(points: [(f64, f64); 2]) -> DashedLineSeries<std::array::IntoIter<(f64, f64), 2>, i32> {
    DashedLineSeries::new(points, 6, 5, CHANCE.stroke_width(2))
}

fn unit_axes<'a>(x_name: &'a str, y_name: &'a str) -> Axes<'a> {
    Axes {
        x: 0.0..1.0,
        y: 0.0..1.0,
        x_name,
        y_name,
        x_format: &whole_percent,
        y_format: &whole_percent,
    }
}

pub(super) fn roc(curve: Option<&Curve>) -> Markup {
    let caption = Caption {
        id: "plot-roc",
        title: "ROC",
        reading: "How many positives are found (up) for how many negatives are bothered (right); the further above the diagonal, the better.",
        legend: &[("ours", "model"), ("chance", "chance")],
    };
    let Some(curve) = curve else { return empty_figure(&caption, ONE_CLASS) };
    figure(&caption, HALF, |area| {
        let mut chart = chart(area, &unit_axes("negatives targeted", "positives found"))?;
        chart.draw_series(dashed([(0.0, 0.0), (1.0, 1.0)]))?;
        chart.draw_series(AreaSeries::new(curve.roc.iter().copied(), 0.0, OURS.mix(0.10)))?;
        let line = LineSeries::new(curve.roc.iter().copied(), OURS.stroke_width(3));
        chart.draw_series(line).map(|_| ())
    })
}

pub(super) fn precision_recall(curve: Option<&Curve>, base_rate: Option<f64>) -> Markup {
    let caption = Caption {
        id: "plot-pr",
        title: "Precision and recall",
        reading: "How pure the target group is (up) when so many of all positives are to be reached (right); chance stays at the base rate.",
        legend: &[("ours", "model"), ("chance", "base rate")],
    };
    let Some(curve) = curve else { return empty_figure(&caption, ONE_CLASS) };
    figure(&caption, HALF, |area| {
        let mut chart = chart(area, &unit_axes("recall", "precision"))?;
        if let Some(rate) = base_rate {
            chart.draw_series(dashed([(0.0, rate), (1.0, rate)]))?;
        }
        let points = curve.precision_recall.iter().copied();
        chart.draw_series(LineSeries::new(points, OURS.stroke_width(3))).map(|_| ())
    })
}

/// Predicted against observed, on both axes the same range.
pub(super) fn reliability(caption: &Caption<'_>, bins: &[ReliabilityBin], rates: bool) -> Markup {
    if bins.is_empty() {
        return empty_figure(caption, "there are no rows of positive weight");
    }
    let highest = bins.iter().fold(0.0_f64, |top, bin| top.max(bin.predicted).max(bin.interval.1));
    let lowest = bins.iter().fold(0.0_f64, |low, bin| low.min(bin.predicted).min(bin.interval.0));
    let top = if rates { round_up(highest).min(1.0) } else { round_up(highest) };
    let low = if lowest < 0.0 { -round_up(-lowest) } else { 0.0 };
    let show = move |value: f64| {
        if !rates {
            tick(value)
        } else if top <= 0.05 {
            format!("{:.1}\u{202f}%", value * 100.0)
        } else {
            whole_percent(value)
        }
    };
    figure(caption, HALF, |area| {
        let axes = Axes {
            x: low..top,
            y: low..top,
            x_name: "predicted",
            y_name: "observed",
            x_format: &show,
            y_format: &show,
        };
        let mut chart = chart(area, &axes)?;
        chart.draw_series(dashed([(low, low), (top, top)]))?;
        chart.draw_series(bins.iter().map(|bin| {
            let (from, to) = bin.interval;
            PathElement::new(
                vec![(bin.predicted, from), (bin.predicted, to.min(top))],
                OURS.mix(0.45).stroke_width(2),
            )
        }))?;
        let points = || bins.iter().map(|bin| (bin.predicted, bin.observed));
        chart.draw_series(LineSeries::new(points(), OURS.stroke_width(2)))?;
        chart.draw_series(points().map(|at| Circle::new(at, 4, OURS.filled()))).map(|_| ())
    })
}

pub(super) fn gain(points: &[GainPoint], what: &str) -> Markup {
    let reading = format!(
        "Share of all {what} (up) among the top share of the ranking (right); the diagonal is a random choice."
    );
    let y_name = format!("{what} found");
    let caption = Caption {
        id: "plot-gain",
        title: "Cumulative gain",
        reading: &reading,
        legend: &[("ours", "model"), ("chance", "random choice")],
    };
    if points.is_empty() {
        return empty_figure(&caption, "there is nothing to gain in the test rows");
    }
    figure(&caption, HALF, |area| {
        let mut chart = chart(area, &unit_axes("share targeted", &y_name))?;
        chart.draw_series(dashed([(0.0, 0.0), (1.0, 1.0)]))?;
        let points = || points.iter().map(|point| (point.share, point.gain));
        chart.draw_series(AreaSeries::new(points(), 0.0, OURS.mix(0.10)))?;
        chart.draw_series(LineSeries::new(points(), OURS.stroke_width(3))).map(|_| ())
    })
}

pub(super) fn lift(points: &[GainPoint], what: &str) -> Markup {
    let reading = format!(
        "How many times more {what} the top of the ranking holds than a random choice of the same size."
    );
    let caption = Caption {
        id: "plot-lift",
        title: "Lift",
        reading: &reading,
        legend: &[("ours", "model"), ("chance", "random choice")],
    };
    // Below one hundredth the ratio is the luck of a few rows.
    let lift: Vec<(f64, f64)> = points
        .iter()
        .filter(|point| point.share >= 0.01)
        .map(|point| (point.share, point.gain / point.share))
        .collect();
    if lift.is_empty() {
        return empty_figure(&caption, "there is nothing to gain in the test rows");
    }
    let top = round_up(lift.iter().fold(1.0_f64, |top, point| top.max(point.1)) * 1.02);
    figure(&caption, HALF, |area| {
        let axes = Axes {
            x: 0.0..1.0,
            y: 0.0..top,
            x_name: "share targeted",
            y_name: "lift",
            x_format: &whole_percent,
            y_format: &|value| format!("{value:.1}×"),
        };
        let mut chart = chart(area, &axes)?;
        chart.draw_series(dashed([(0.0, 1.0), (1.0, 1.0)]))?;
        let line = LineSeries::new(lift.iter().copied(), OURS.stroke_width(3));
        chart.draw_series(line).map(|_| ())
    })
}

pub(super) fn audience(rows: &[AudienceRow], base_rate: Option<f64>) -> Markup {
    let caption = Caption {
        id: "plot-audience",
        title: "Audience size against precision",
        reading: "Target more and each contact is worth less: precision with its 95 % interval (blue) falls as the share of positives reached (orange) grows.",
        legend: &[("ours", "precision"), ("second", "positives reached"), ("chance", "base rate")],
    };
    if rows.is_empty() || rows.iter().all(|row| row.recall.is_none()) {
        return empty_figure(&caption, ONE_CLASS);
    }
    let share = |row: &AudienceRow, all: usize| row.n_rows as f64 / all.max(1) as f64;
    let all = rows.last().map_or(1, |row| row.n_rows);
    figure(&caption, (1160, 400), |area| {
        let mut chart = chart(area, &unit_axes("share targeted", "share"))?;
        if let Some(rate) = base_rate {
            chart.draw_series(dashed([(0.0, rate), (1.0, rate)]))?;
        }
        let upper = rows.iter().map(|row| (share(row, all), row.precision_interval.1));
        let lower = rows.iter().rev().map(|row| (share(row, all), row.precision_interval.0));
        let band = Polygon::new(upper.chain(lower).collect::<Vec<_>>(), OURS.mix(0.14));
        chart.draw_series([band])?;
        let precision = || rows.iter().map(|row| (share(row, all), row.precision));
        let recall = || rows.iter().map(|row| (share(row, all), row.recall.unwrap_or_default()));
        chart.draw_series(LineSeries::new(recall(), SECOND.stroke_width(3)))?;
        chart.draw_series(recall().map(|at| Circle::new(at, 3, SECOND.filled())))?;
        chart.draw_series(LineSeries::new(precision(), OURS.stroke_width(3)))?;
        chart.draw_series(precision().map(|at| Circle::new(at, 3, OURS.filled()))).map(|_| ())
    })
}

pub(super) fn scores(bins: &[HistogramBin]) -> Markup {
    let caption = Caption {
        id: "plot-scores",
        title: "Score distribution",
        reading: "Where positives and negatives lie on the score, each class summing to 100 %; the less they overlap, the better the model separates them.",
        legend: &[("second", "positives"), ("ours", "negatives")],
    };
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else {
        return empty_figure(&caption, "all scores are equal");
    };
    let top = bins.iter().fold(0.0_f64, |top, bin| top.max(bin.positives).max(bin.negatives));
    figure(&caption, (1160, 360), |area| {
        let axes = Axes {
            x: first.from..last.to,
            y: 0.0..round_up(top * 1.02),
            x_name: "score",
            y_name: "share of the class",
            x_format: &|value| format!("{value:.2}"),
            y_format: &whole_percent,
        };
        let mut chart = chart(area, &axes)?;
        let mut draw = |share: fn(&HistogramBin) -> f64, colour: RGBColor| -> Drawn {
            chart.draw_series(bins.iter().map(|bin| {
                Rectangle::new([(bin.from, 0.0), (bin.to, share(bin))], colour.mix(0.35).filled())
            }))?;
            let outline =
                bins.iter().flat_map(|bin| [(bin.from, share(bin)), (bin.to, share(bin))]);
            chart.draw_series(LineSeries::new(outline, colour.stroke_width(2))).map(|_| ())
        };
        draw(|bin| bin.negatives, OURS)?;
        draw(|bin| bin.positives, SECOND)
    })
}
