//! Plots with a name on every line: importance, contributions, slices, drift.

use maud::Markup;
use plotters::prelude::*;

use super::canvas::{
    Area, CHANCE, Caption, Chart, Drawn, GRID, INK, MUTED, OURS, SECOND, SMALL, empty_figure,
    figure, label_left_of, label_right_of, round_up, text,
};
use super::numbers::shorten;
use crate::evaluation::AttributionPoint;

/// Pixels of the column of names, of a line, and of what is above and below the lines.
const NAME_WIDTH: i32 = 350;
const LINE_HEIGHT: u32 = 30;
const FRAME_HEIGHT: u32 = 68;
const WIDTH: u32 = 1160;
/// Room right of the bars for their figures.
const FIGURE_WIDTH: i32 = 90;
/// Characters of a name that fit its column.
const NAME_CHARACTERS: usize = 44;

/// One line of a plot.
pub(super) struct Line<T> {
    pub(super) name: String,
    pub(super) value: T,
}

/// A value with its interval and what to write beside it.
pub(super) struct Dot {
    pub(super) value: f64,
    pub(super) interval: Option<(f64, f64)>,
}

fn height(n_lines: usize) -> u32 {
    n_lines as u32 * LINE_HEIGHT + FRAME_HEIGHT
}

/// A chart with one unit of y a line, the first line on top, and the names on the left.
fn named_chart<'a, 'b, T>(
    area: &'a Area<'b>,
    lines: &[Line<T>],
    x: std::ops::Range<f64>,
    x_name: &str,
    x_format: &dyn Fn(f64) -> String,
) -> Result<Chart<'a, 'b>, DrawingAreaErrorKind<std::io::Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin_left(NAME_WIDTH)
        .margin_right(FIGURE_WIDTH)
        .margin_top(8)
        .x_label_area_size(54)
        .build_cartesian_2d(x, 0.0..lines.len() as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .x_labels(7)
        .x_label_formatter(&|value| x_format(*value))
        .label_style(text(SMALL, MUTED))
        .axis_desc_style(text(SMALL, INK))
        .x_desc(x_name)
        .draw()?;
    for (index, line) in lines.iter().enumerate() {
        let (_, y) = chart.backend_coord(&(0.0, middle(lines.len(), index)));
        label_left_of(area, &shorten(&line.name, NAME_CHARACTERS), (NAME_WIDTH - 12, y))?;
    }
    Ok(chart)
}

fn middle(n_lines: usize, index: usize) -> f64 {
    (n_lines - index) as f64 - 0.5
}

/// Horizontal bars from 0 with the figure at their end; `marks` are dashed vertical lines.
pub(super) fn bars(
    caption: &Caption<'_>,
    lines: &[Line<f64>],
    x_name: &str,
    format: &dyn Fn(f64) -> String,
    marks: &[f64],
) -> Markup {
    if lines.is_empty() {
        return empty_figure(caption, "there is nothing to show");
    }
    let longest = lines.iter().map(|line| line.value).chain(marks.iter().copied());
    let top = round_up(longest.fold(0.0_f64, f64::max) * 1.05);
    figure(caption, (WIDTH, height(lines.len())), |area| {
        let mut chart = named_chart(area, lines, 0.0..top, x_name, format)?;
        for &mark in marks {
            let ends = [(mark, 0.0), (mark, lines.len() as f64)];
            chart.draw_series(DashedLineSeries::new(ends, 6, 5, CHANCE.stroke_width(2)))?;
        }
        for (index, line) in lines.iter().enumerate() {
            let y = middle(lines.len(), index);
            let over = marks.last().is_some_and(|&mark| line.value > mark);
            let colour = if over { SECOND } else { OURS };
            let corners = [(0.0, y - 0.3), (line.value.max(0.0), y + 0.3)];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
            let (x, y) = chart.backend_coord(&(line.value.max(0.0), y));
            label_right_of(area, &format(line.value), (x + 8, y))?;
        }
        Ok(())
    })
}

/// Dots with intervals and a dashed line at the value of the whole.
pub(super) fn dots(
    caption: &Caption<'_>,
    lines: &[Line<Dot>],
    x_name: &str,
    format: &dyn Fn(f64) -> String,
    whole: Option<f64>,
) -> Markup {
    if lines.is_empty() {
        return empty_figure(caption, "the metric is not defined in any slice");
    }
    let ends = lines.iter().flat_map(|line| {
        let (low, high) = line.value.interval.unwrap_or((line.value.value, line.value.value));
        [low, high]
    });
    let (low, high) = ends
        .chain(whole)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let room = ((high - low) * 0.08).max(0.01);
    let (low, high) = (low - room, high + room);
    figure(caption, (WIDTH, height(lines.len())), |area| {
        let mut chart = named_chart(area, lines, low..high, x_name, format)?;
        if let Some(whole) = whole {
            let ends = [(whole, 0.0), (whole, lines.len() as f64)];
            chart.draw_series(DashedLineSeries::new(ends, 6, 5, CHANCE.stroke_width(2)))?;
        }
        for (index, line) in lines.iter().enumerate() {
            let (y, dot) = (middle(lines.len(), index), &line.value);
            if let Some((from, to)) = dot.interval {
                let path = PathElement::new(vec![(from, y), (to, y)], OURS.stroke_width(3));
                chart.draw_series([path])?;
            }
            chart.draw_series([Circle::new((dot.value, y), 6, OURS.filled())])?;
            let figure_at = chart.backend_coord(&(high, y));
            label_right_of(area, &format(dot.value), (figure_at.0 + 10, figure_at.1))?;
        }
        Ok(())
    })
}

/// One swarm of points a line, coloured from the lowest value (blue) to the highest (red).
pub(super) fn swarms(caption: &Caption<'_>, lines: &[Line<Vec<AttributionPoint>>]) -> Markup {
    let all = || lines.iter().flat_map(|line| &line.value).map(|point| point.contribution);
    let reach = all().fold(0.0_f64, |reach, value| reach.max(value.abs()));
    if reach <= 0.0 {
        return empty_figure(caption, "no feature contributes");
    }
    let low = all().fold(0.0_f64, f64::min) - reach * 0.04;
    let high = all().fold(0.0_f64, f64::max) + reach * 0.04;
    let format = |value: f64| format!("{value:+.2}");
    figure(caption, (WIDTH, height(lines.len())), |area| {
        let name = "contribution to the prediction (left lowers, right raises)";
        let mut chart = named_chart(area, lines, low..high, name, &format)?;
        let ends = [(0.0, 0.0), (0.0, lines.len() as f64)];
        chart.draw_series(LineSeries::new(ends, CHANCE.stroke_width(2)))?;
        for (index, line) in lines.iter().enumerate() {
            swarm(&mut chart, middle(lines.len(), index), &line.value, high - low)?;
        }
        Ok(())
    })
}

/// Points that would cover each other step aside, up and down in turn.
fn swarm(chart: &mut Chart<'_, '_>, y: f64, points: &[AttributionPoint], width: f64) -> Drawn {
    const COLUMNS: f64 = 190.0;
    const STEP: f64 = 0.055;
    const LIMIT: f64 = 0.42;
    let mut taken = std::collections::BTreeMap::<i64, u32>::new();
    let circles: Vec<_> = points
        .iter()
        .map(|point| {
            let column = (point.contribution / width * COLUMNS).round() as i64;
            let place = taken.entry(column).or_default();
            let side = if place.is_multiple_of(2) { 1.0 } else { -1.0 };
            let aside = f64::from(place.div_ceil(2)) * STEP * side;
            *place += 1;
            let at = (point.contribution, y + aside.clamp(-LIMIT, LIMIT));
            Circle::new(at, 3, colour_of(point.rank).mix(0.85).filled())
        })
        .collect();
    chart.draw_series(circles).map(|_| ())
}

fn colour_of(rank: Option<f64>) -> RGBColor {
    let Some(rank) = rank else { return CHANCE };
    let (cold, warm) = ((0x2F, 0x6F, 0xED), (0xE2, 0x3D, 0x5B));
    let mix = |cold: i32, warm: i32| {
        (f64::from(cold) + f64::from(warm - cold) * rank.clamp(0.0, 1.0)).round() as u8
    };
    RGBColor(mix(cold.0, warm.0), mix(cold.1, warm.1), mix(cold.2, warm.2))
}
