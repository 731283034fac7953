//! A plotters canvas that becomes an accessible inline SVG.
//!
//! The colours below are names, not paint: the style sheet maps each to a light and a dark tone.

use std::ops::Range;

use maud::{Markup, PreEscaped, html};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(super) const INK: RGBColor = RGBColor(0x1B, 0x24, 0x30);
pub(super) const MUTED: RGBColor = RGBColor(0x5B, 0x66, 0x75);
pub(super) const GRID: RGBColor = RGBColor(0xE3, 0xE7, 0xED);
pub(super) const OURS: RGBColor = RGBColor(0x2F, 0x6F, 0xED);
pub(super) const SECOND: RGBColor = RGBColor(0xE0, 0x7B, 0x2E);
pub(super) const CHANCE: RGBColor = RGBColor(0x98, 0xA2, 0xB3);

/// Text size in plotters' measure, 1.24 times the em that reaches the page.
pub(super) const SMALL: u32 = 17;

/// Size of a plot in a two-column grid, pixels.
pub(super) const HALF: (u32, u32) = (560, 400);

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn =
    Result<(), DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>>;
pub(super) type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Names a figure for those who see it and those who do not.
pub(super) struct Caption<'a> {
    /// Unique in the page.
    pub(super) id: &'a str,
    /// What it is.
    pub(super) title: &'a str,
    /// How to read it: one sentence, shown below and read aloud.
    pub(super) reading: &'a str,
    /// Swatch class and words.
    pub(super) legend: &'a [(&'a str, &'a str)],
}

/// Draws into an SVG and wraps it in a figure.
pub(super) fn figure(
    caption: &Caption<'_>,
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Markup {
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area).and_then(|()| area.present())
    };
    // The opening tag is written anew below, with a title and without a fixed size.
    let shapes = svg.split_once('>').map_or("", |(_, rest)| rest);
    let shapes = shapes.trim_end().trim_end_matches("</svg>");
    let (title_id, text_id) = (format!("{}-title", caption.id), format!("{}-text", caption.id));
    html! {
        figure class="plot" id=(caption.id) {
            h3 { (caption.title) }
            @match drawn {
                Ok(()) => svg viewBox=(format!("0 0 {} {}", size.0, size.1)) role="img"
                    xmlns="http://www.w3.org/2000/svg"
                    aria-labelledby=(format!("{title_id} {text_id}")) {
                    title id=(title_id) { (caption.title) }
                    desc id=(text_id) { (caption.reading) }
                    (PreEscaped(shapes))
                },
                Err(error) => p class="empty" { "This plot could not be drawn: " (error) },
            }
            @if !caption.legend.is_empty() {
                ul class="legend" {
                    @for (swatch, words) in caption.legend {
                        li { span class=(format!("swatch {swatch}")) {} (words) }
                    }
                }
            }
            figcaption { (caption.reading) }
        }
    }
}

/// In place of a figure that has nothing to show.
pub(super) fn empty_figure(caption: &Caption<'_>, why: &str) -> Markup {
    html! {
        figure class="plot" id=(caption.id) {
            h3 { (caption.title) }
            p class="empty" { "not defined: " (why) }
            figcaption { (caption.reading) }
        }
    }
}

/// Ranges, names and number formats of two axes.
pub(super) struct Axes<'a> {
    pub(super) x: Range<f64>,
    pub(super) y: Range<f64>,
    pub(super) x_name: &'a str,
    pub(super) y_name: &'a str,
    pub(super) x_format: &'a dyn Fn(f64) -> String,
    pub(super) y_format: &'a dyn Fn(f64) -> String,
}

/// A chart with a quiet grid.
pub(super) fn chart<'a, 'b>(
    area: &'a Area<'b>,
    axes: &Axes<'_>,
) -> Result<Chart<'a, 'b>, DrawingAreaErrorKind<std::io::Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(30)
        .margin_top(12)
        .x_label_area_size(52)
        .y_label_area_size(76)
        .build_cartesian_2d(axes.x.clone(), axes.y.clone())?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|value| (axes.x_format)(*value))
        .y_label_formatter(&|value| (axes.y_format)(*value))
        .label_style(text(SMALL, MUTED))
        .axis_desc_style(text(SMALL, INK))
        .x_desc(axes.x_name)
        .y_desc(axes.y_name)
        .draw()?;
    Ok(chart)
}

/// Text in the page's own typeface.
pub(super) fn text(size: u32, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour)
}

/// Draws `words` right-aligned and vertically centred at a pixel.
pub(super) fn label_left_of(area: &Area<'_>, words: &str, at: (i32, i32)) -> Drawn {
    let style = text(SMALL, INK).pos(Pos::new(HPos::Right, VPos::Center));
    area.draw(&Text::new(words.to_owned(), at, style))
}

/// Draws `words` left-aligned and vertically centred at a pixel.
pub(super) fn label_right_of(area: &Area<'_>, words: &str, at: (i32, i32)) -> Drawn {
    let style = text(SMALL, MUTED).pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new(words.to_owned(), at, style))
}

/// The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `value`.
pub(super) fn round_up(value: f64) -> f64 {
    if !(value > 0.0 && value.is_finite()) {
        return 1.0;
    }
    let scale = 10f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let fits = |step: &&f64| **step * scale >= value * (1.0 - 1e-9);
    steps.iter().find(fits).map_or(10.0 * scale, |step| step * scale)
}
