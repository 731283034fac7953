//! Columns and their conditions in words.

use std::collections::BTreeSet;

use segue_dataset::{Dataset, UNSEEN_CATEGORY};
use segue_features::{FeatureSet, Measure, Operator, SessionStatistic};
use segue_model::Model;

use super::condition::{Condition, End};

/// Categories that a condition names at most.
const MAX_NAMED: usize = 6;

/// What a number means, for writing it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    Plain,
    /// Only whole numbers occur.
    Whole,
    Seconds,
}

struct Column {
    words: String,
    unit: Unit,
    has_missing: bool,
    /// Whether a category occurs that the vocabulary does not hold.
    has_unseen: bool,
    vocabulary: Option<Vec<String>>,
}

/// Words of every column: the features, then the outputs of the model.
pub(super) struct Words<'a> {
    columns: Vec<Column>,
    classes: &'a [String],
}

impl<'a> Words<'a> {
    pub(super) fn new(rows: &Dataset, model: &'a Model, features: Option<&FeatureSet>) -> Self {
        let features = features.filter(|set| set.specs().len() == rows.schema().len());
        let column = |at: usize| {
            let values = rows.features().column(at);
            let feature = &rows.schema().features()[at];
            let measure = features.map(|set| &set.specs()[at].measure);
            let is_whole = || values.iter().all(|value| value.is_nan() || value.fract() == 0.0);
            let unit = match measure {
                Some(measure) if is_time(measure) => Unit::Seconds,
                _ if is_whole() => Unit::Whole,
                _ => Unit::Plain,
            };
            Column {
                words: features.map_or_else(|| feature.name.clone(), |set| set.words(at)),
                unit,
                has_missing: values.iter().any(|value| value.is_nan()),
                has_unseen: values.contains(&UNSEEN_CATEGORY),
                vocabulary: feature.vocabulary().map(<[String]>::to_vec),
            }
        };
        Self { columns: (0..rows.schema().len()).map(column).collect(), classes: model.classes() }
    }

    /// A condition in words; `None` if it asks nothing.
    pub(super) fn say(&self, column: usize, condition: &Condition) -> Option<String> {
        let Some(known) = self.columns.get(column) else {
            let output = column - self.columns.len();
            let subject = match self.classes.get(output) {
                Some(class) => format!("probability of {class}"),
                None => "score".to_owned(),
            };
            return interval(condition, Unit::Plain).map(|words| format!("{subject} {words}"));
        };
        if condition.low.is_some_and(|end| end.at >= f64::MAX) {
            // above every number there is only what is missing
            return Some(format!("{} not known", known.words));
        }
        let words = match &known.vocabulary {
            Some(vocabulary) => categories(condition, vocabulary, known.has_unseen),
            None => interval(condition, known.unit),
        };
        let or_missing = known.has_missing && condition.missing;
        match words {
            Some(words) if or_missing => Some(format!("{} {words} or not known", known.words)),
            Some(words) => Some(format!("{} {words}", known.words)),
            None if known.has_missing && !condition.missing => {
                Some(format!("{} known", known.words))
            }
            None => None,
        }
    }
}

/// Whether a measure is a length of time in seconds.
fn is_time(measure: &Measure) -> bool {
    let aggregate = match measure {
        Measure::Aggregate(aggregate) | Measure::Delta(aggregate) => aggregate,
        _ => return false,
    };
    matches!(
        &aggregate.operator,
        Operator::TimeSinceFirst
            | Operator::TimeSinceLast
            | Operator::GapMean
            | Operator::GapMax
            | Operator::Sessions {
                statistic: SessionStatistic::MeanLength | SessionStatistic::LastLength,
                ..
            }
    )
}

fn interval(condition: &Condition, unit: Unit) -> Option<String> {
    let (low, high) = (condition.low, condition.high.filter(|end| end.at < f64::MAX));
    let (low, high) = match unit {
        Unit::Whole => (low.map(whole_low), high.map(whole_high)),
        Unit::Plain | Unit::Seconds => (low, high),
    };
    let say = |end: End| number(end.at, unit);
    let least = |end: End| if end.is_in { "at least" } else { "above" };
    let most = |end: End| if end.is_in { "at most" } else { "below" };
    match (low, high) {
        (None, None) => None,
        (Some(low), None) => Some(format!("{} {}", least(low), say(low))),
        (None, Some(high)) if unit == Unit::Whole && high.at == 0.0 => Some("0".to_owned()),
        (None, Some(high)) => Some(format!("{} {}", most(high), say(high))),
        (Some(low), Some(high)) if low.at == high.at => Some(format!("exactly {}", say(low))),
        (Some(low), Some(high)) => {
            Some(format!("{} {} and {} {}", least(low), say(low), most(high), say(high)))
        }
    }
}

/// The least whole number above an end.
fn whole_low(end: End) -> End {
    let at = if end.is_in { end.at.ceil() } else { end.at.floor() + 1.0 };
    End { at, is_in: true }
}

/// The largest whole number below an end.
fn whole_high(end: End) -> End {
    let at = if end.is_in { end.at.floor() } else { end.at.ceil() - 1.0 };
    End { at, is_in: true }
}

fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => duration(value),
        Unit::Whole => format!("{value:.0}"),
        Unit::Plain => plain(value),
    }
}

/// Three digits that mean something, no idle zeros.
fn plain(value: f64) -> String {
    let size = value.abs();
    let n_decimals = if size >= 100.0 {
        0
    } else if size >= 10.0 {
        1
    } else if size >= 1.0 {
        2
    } else if size >= 0.1 || size == 0.0 {
        3
    } else {
        // 0.000123 keeps 123
        (2 - size.log10().floor() as i64).clamp(3, 12) as usize
    };
    let text = format!("{value:.n_decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn duration(seconds: f64) -> String {
    let units = [(86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")];
    match units.iter().find(|(length, _)| seconds.abs() >= 2.0 * length) {
        Some((length, unit)) => {
            format!("{} {unit}", plain((seconds / length * 10.0).round() / 10.0))
        }
        None => format!("{} seconds", plain(seconds)),
    }
}

fn categories(condition: &Condition, vocabulary: &[String], has_unseen: bool) -> Option<String> {
    let all = 0..vocabulary.len() as u32;
    let left: BTreeSet<u32> = all.filter(|code| !condition.none_of.contains(code)).collect();
    match &condition.one_of {
        Some(codes) if codes.is_empty() => Some("is none of the known".to_owned()),
        Some(codes) => Some(format!("is {}", list(codes, vocabulary, "or"))),
        None if condition.none_of.is_empty() => None,
        // what it is says more than what it is not, where that is the shorter list
        None if !has_unseen && !left.is_empty() && left.len() <= condition.none_of.len() => {
            Some(format!("is {}", list(&left, vocabulary, "or")))
        }
        None if condition.none_of.len() == 1 => {
            Some(format!("is not {}", list(&condition.none_of, vocabulary, "or")))
        }
        None => Some(format!("is neither {}", list(&condition.none_of, vocabulary, "nor"))),
    }
}

/// Categories by name, the last one joined by a word, long lists cut.
fn list(codes: &BTreeSet<u32>, vocabulary: &[String], joined: &str) -> String {
    let name = |code: &u32| vocabulary.get(*code as usize).map(String::as_str);
    let names: Vec<&str> = codes.iter().filter_map(name).collect();
    match names.split_last() {
        None => "none of the known".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) if names.len() <= MAX_NAMED => {
            format!("{} {joined} {last}", others.join(", "))
        }
        _ => {
            format!("{} {joined} {} others", names[..MAX_NAMED].join(", "), names.len() - MAX_NAMED)
        }
    }
}
