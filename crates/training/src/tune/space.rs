//! What is searched: the parameters of a learner, their ranges, and the unit cube that stands for them.

use std::collections::BTreeMap;

use crate::job::{LearnerKind, LearnerSection, OrAuto};

/// Rounds that a tuned boosting may take at least; early stopping ends before.
const LEAST_ROUNDS: u32 = 2_000;

/// Values of the parameters by key of `[learner]`, ordered by key.
pub type Params = BTreeMap<String, f64>;

/// How a range is walked.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Log,
}

/// One parameter and its range, both ends included.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dimension {
    key: &'static str,
    low: f64,
    high: f64,
    scale: Scale,
    whole: bool,
}

impl Dimension {
    fn real(key: &'static str, low: f64, high: f64, scale: Scale) -> Self {
        Self { key, low, high, scale, whole: false }
    }

    fn whole(key: &'static str, low: f64, high: f64) -> Self {
        Self { key, low, high: high.max(low).floor(), scale: Scale::Log, whole: true }
    }

    /// The value at a place from 0 to 1; three digits at most, so that a job file stays readable.
    fn value(&self, unit: f64) -> f64 {
        let unit = unit.clamp(0.0, 1.0);
        let value = match self.scale {
            Scale::Linear => self.low + unit * (self.high - self.low),
            Scale::Log => (self.low.ln() + unit * (self.high.ln() - self.low.ln())).exp(),
        };
        let value = if self.whole {
            value.round()
        } else {
            let digits = 10f64.powi(2 - value.log10().floor() as i32);
            (value * digits).round() / digits
        };
        value.clamp(self.low, self.high)
    }

    /// The place of a value, its own nearest end if it lies outside.
    fn unit(&self, value: f64) -> f64 {
        let (low, high, at) = match self.scale {
            Scale::Linear => (self.low, self.high, value),
            Scale::Log => (self.low.ln(), self.high.ln(), value.max(f64::MIN_POSITIVE).ln()),
        };
        if high > low { ((at - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 }
    }
}

/// The parameters of one learner.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Space {
    dimensions: Vec<Dimension>,
}

impl Space {
    /// The space of a learner on so many rows; `None` for learners that are not tuned.
    ///
    /// | learner | key | range |
    /// |---|---|---|
    /// | boosting | `learning_rate` | 0.01 to 0.3, logarithmic |
    /// | | `leaves` | 2 to 256, at most a twentieth of the rows, logarithmic |
    /// | | `min_rows_per_leaf` | 5 to 1,000, at most a twentieth of the rows, logarithmic |
    /// | | `l2` | 0.01 to 100, logarithmic |
    /// | | `column_share` | 0.3 to 1 |
    /// | | `row_share` | 0.5 to 1 |
    /// | forest | `min_rows_per_leaf` | 1 to 500, at most a twentieth of the rows, logarithmic |
    /// | | `max_depth` | 3 to 32, logarithmic |
    /// | | `column_share` | 0.05 to 1, logarithmic |
    ///
    /// With `goss`, which draws rows by itself, `row_share` is not searched.
    pub(super) fn of(section: &LearnerSection, n_rows: usize) -> Option<Self> {
        let some_rows = n_rows as f64 / 20.0;
        let mut dimensions = match section.kind {
            LearnerKind::Boosting => vec![
                Dimension::real("learning_rate", 0.01, 0.3, Scale::Log),
                Dimension::whole("leaves", 2.0, some_rows.clamp(4.0, 256.0)),
                Dimension::whole("min_rows_per_leaf", 5.0, some_rows.clamp(10.0, 1_000.0)),
                Dimension::real("l2", 0.01, 100.0, Scale::Log),
                Dimension::real("column_share", 0.3, 1.0, Scale::Linear),
                Dimension::real("row_share", 0.5, 1.0, Scale::Linear),
            ],
            LearnerKind::Forest => vec![
                Dimension::whole("min_rows_per_leaf", 1.0, some_rows.clamp(10.0, 500.0)),
                Dimension::whole("max_depth", 3.0, 32.0),
                Dimension::real("column_share", 0.05, 1.0, Scale::Log),
            ],
            LearnerKind::LinfaTree | LearnerKind::SmartcoreForest => return None,
        };
        if section.goss.is_some() {
            dimensions.retain(|of| of.key != "row_share");
        }
        Some(Self { dimensions })
    }

    /// Number of parameters.
    pub(super) fn len(&self) -> usize {
        self.dimensions.len()
    }

    /// Values at a point of the unit cube.
    pub(super) fn params(&self, point: &[f64]) -> Params {
        let values = self.dimensions.iter().zip(point);
        values.map(|(of, &unit)| (of.key.to_owned(), of.value(unit))).collect()
    }

    /// The point of the unit cube where values are; a value that is not given lies in the middle.
    pub(super) fn point(&self, params: &Params) -> Vec<f64> {
        let unit = |of: &Dimension| params.get(of.key).map_or(0.5, |&value| of.unit(value));
        self.dimensions.iter().map(unit).collect()
    }

    /// What a section already says of the parameters.
    pub(super) fn params_of(&self, section: &LearnerSection) -> Params {
        fn fixed<T: Into<f64>>(value: Option<OrAuto<T>>) -> Option<f64> {
            match value {
                Some(OrAuto::Fixed(value)) => Some(value.into()),
                Some(OrAuto::Auto) | None => None,
            }
        }
        let whole = |value: Option<u32>| value.map(f64::from);
        let value = |key: &str| match key {
            "learning_rate" => fixed(section.learning_rate),
            "leaves" => fixed(section.leaves),
            "min_rows_per_leaf" => whole(section.min_rows_per_leaf),
            "max_depth" => whole(section.max_depth),
            "l2" => section.l2,
            "column_share" => section.column_share,
            "row_share" => section.row_share,
            _ => None,
        };
        let known =
            self.dimensions.iter().filter_map(|of| Some((of.key.to_owned(), value(of.key)?)));
        known.collect()
    }
}

/// A section with tuned parameters in place, and rounds enough for small steps.
#[must_use]
pub fn with_params(section: &LearnerSection, params: &Params) -> LearnerSection {
    let mut section = section.clone();
    for (key, &value) in params {
        let whole = Some(value as u32);
        match key.as_str() {
            "learning_rate" => section.learning_rate = Some(OrAuto::Fixed(value)),
            "leaves" => section.leaves = whole.map(OrAuto::Fixed),
            "min_rows_per_leaf" => section.min_rows_per_leaf = whole,
            "max_depth" => section.max_depth = whole,
            "l2" => section.l2 = Some(value),
            "column_share" => section.column_share = Some(value),
            "row_share" => section.row_share = Some(value),
            _ => {}
        }
    }
    if section.kind == LearnerKind::Boosting && section.stops_early() {
        section.rounds = Some(section.rounds.unwrap_or(0).max(LEAST_ROUNDS));
    }
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(kind: LearnerKind) -> LearnerSection {
        LearnerSection { kind, ..LearnerSection::default() }
    }

    #[test]
    fn a_value_lies_where_its_point_does() {
        for kind in [LearnerKind::Boosting, LearnerKind::Forest] {
            let space = Space::of(&section(kind), 100_000).unwrap();
            let ends = [0.0, 1.0].map(|unit| space.params(&vec![unit; space.len()]));
            for (at, of) in space.dimensions.iter().enumerate() {
                assert_eq!((ends[0][of.key], ends[1][of.key]), (of.low, of.high), "{}", of.key);
                for step in 0..=10 {
                    let unit = f64::from(step) / 10.0;
                    let params = space.params(&vec![unit; space.len()]);
                    let back = space.point(&params)[at];
                    // three digits, or a whole number
                    assert!((back - unit).abs() < 0.1, "{} {unit} {back}", of.key);
                    assert_eq!(of.value(back), params[of.key], "{} {unit}", of.key);
                }
            }
            let outside: Params = [("column_share".to_owned(), 7.0)].into();
            assert!(space.point(&outside).iter().all(|unit| (0.0..=1.0).contains(unit)));
        }
    }

    #[test]
    fn small_steps_get_rounds_enough() {
        let params: Params = [("learning_rate".to_owned(), 0.02)].into();
        let rounds = |section: LearnerSection| with_params(&section, &params).rounds;
        let boosting = section(LearnerKind::Boosting);
        assert_eq!(rounds(boosting.clone()), Some(LEAST_ROUNDS));
        let more = LearnerSection { rounds: Some(5_000), ..boosting.clone() };
        assert_eq!(rounds(more), Some(5_000));
        let never = LearnerSection { early_stopping_rounds: Some(0), ..boosting };
        assert_eq!(rounds(never), None, "all rounds are kept");
        assert_eq!(rounds(section(LearnerKind::Forest)), None);
    }
}
