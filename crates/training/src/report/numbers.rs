//! Numbers as people read them.

use crate::evaluation::{Estimate, Metric};

/// Shown where a figure has no meaning on the rows at hand.
pub(super) const NOT_DEFINED: &str = "not defined";

/// `12 345`, with thin spaces that do not break.
pub(super) fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A share as `12.3 %`; small ones keep a digit that says something.
pub(super) fn percent(share: f64) -> String {
    let value = share * 100.0;
    let digits = if value != 0.0 && value.abs() < 0.1 { 2 } else { 1 };
    format!("{value:.digits$}\u{202f}%")
}

/// A share without decimals, for axes: `10 %`.
pub(super) fn whole_percent(share: f64) -> String {
    format!("{:.0}\u{202f}%", share * 100.0)
}

/// Three significant digits for small numbers, thousands grouped for large ones.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1000.0 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(size.round() as usize));
    }
    // Rounding must not leave a sign on nothing.
    let value = if size < 0.0005 { 0.0 } else { value };
    let digits = match size {
        s if s >= 100.0 => 0,
        s if s >= 10.0 => 1,
        s if s >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// A number on an axis: no zeros that say nothing.
pub(super) fn tick(value: f64) -> String {
    let text = number(value);
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A metric in its own unit.
pub(super) fn metric(metric: Metric, value: f64) -> String {
    use Metric::{
        Accuracy, LiftAt1, LiftAt5, LiftAt10, LiftAt20, Mae, PrecisionAt1, PrecisionAt5,
        PrecisionAt10, PrecisionAt20, Rmse, TopDecileShare,
    };
    match metric {
        LiftAt1 | LiftAt5 | LiftAt10 | LiftAt20 => format!("{value:.2}×"),
        PrecisionAt1 | PrecisionAt5 | PrecisionAt10 | PrecisionAt20 | Accuracy | TopDecileShare => {
            percent(value)
        }
        Rmse | Mae => number(value),
        // `+ 0.0` after rounding: no sign on nothing.
        _ => format!("{:.3}", (value * 1000.0).round() / 1000.0 + 0.0),
    }
}

/// The value of an estimate, or [`NOT_DEFINED`].
pub(super) fn value(which: Metric, estimate: &Estimate) -> String {
    estimate.value.map_or_else(|| NOT_DEFINED.to_owned(), |value| metric(which, value))
}

/// `0.801 to 0.823`, or nothing.
pub(super) fn interval(which: Metric, estimate: &Estimate) -> Option<String> {
    let (low, high) = estimate.interval?;
    Some(format!("{} to {}", metric(which, low), metric(which, high)))
}

/// An optional figure, or [`NOT_DEFINED`].
pub(super) fn or_not_defined(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| NOT_DEFINED.to_owned(), show)
}

/// `2026-03-01`, UTC.
pub(super) fn date(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us)
        .map_or_else(|_| format!("{us} µs"), |instant| instant.strftime("%Y-%m-%d").to_string())
}

/// At most `limit` characters, cut in the middle: features that share a prefix stay apart.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= limit {
        return text.to_owned();
    }
    let tail = (limit - 1) / 2;
    let head = limit - 1 - tail;
    let start: String = characters[..head].iter().collect();
    let end: String = characters[characters.len() - tail..].iter().collect();
    format!("{}…{}", start.trim_end(), end.trim_start())
}
