//! What can be measured: the operators, their parameters, and their exact meaning.
//!
//! `E` is the list of visible events that a selector lets through inside a window, in the total
//! order; `x` are the values of a property over `E` that are there (numbers for numeric operators:
//! true is 1, false is 0, text is skipped). "Missing" is NaN in the row.

use crate::selector::{EventPattern, Selector};
use crate::window::Window;

/// Property that stands for the event's name.
pub const EVENT_NAME: &str = "$event";

/// An operator over events in a window.
#[derive(Debug, Clone, PartialEq)]
pub enum Operator {
    /// Number of events; 0 if none.
    Count,
    /// Sum of x; missing if none.
    Sum(String),
    /// Mean of x; missing if none.
    Mean(String),
    /// Least x; missing if none.
    Min(String),
    /// Greatest x; missing if none.
    Max(String),
    /// Standard deviation of x with n - 1 below; missing under two values.
    Std(String),
    /// First x in the total order, of any type; missing if none.
    First(String),
    /// Last x in the total order, of any type; missing if none.
    Last(String),
    /// The k-th last x (1 is the last); missing if there are fewer.
    LastK {
        /// Property, or [`EVENT_NAME`].
        property: String,
        /// From 1.
        k: usize,
    },
    /// Exact number of distinct x by type and value; 0 if none.
    Distinct(String),
    /// Shannon entropy of the counts of distinct x, in nats; missing if none.
    Entropy(String),
    /// Most frequent x, ties to the smaller text by bytes; missing if none.
    Top(String),
    /// Nearest-rank percentile: the `ceil(n p / 100)`-th smallest x; missing if none.
    Percentile {
        /// Property.
        property: String,
        /// Above 0, at most 100.
        percentile: f64,
    },
    /// Seconds from the first event to `t`; missing if none.
    TimeSinceFirst,
    /// Seconds from the last event to `t`; missing if none.
    TimeSinceLast,
    /// Mean seconds between consecutive events; missing under two events.
    GapMean,
    /// Longest gap between consecutive events, seconds; missing under two events.
    GapMax,
    /// Standard deviation (n - 1) over mean of the gaps; missing under three events or if all
    /// gaps are zero.
    GapCv,
    /// Number of distinct local dates with an event; 0 if none.
    ActiveDays {
        /// IANA time zone of the dates.
        time_zone: String,
    },
    /// Number of consecutive local dates with an event, counted back from the date of `t`; 0 if
    /// that date has none.
    StreakDays {
        /// IANA time zone of the dates.
        time_zone: String,
    },
    /// Sessions among E: a new one starts where both events have a supplied session id and the ids
    /// differ, or where one has none and the gap is at least the timeout.
    Sessions {
        /// What about them.
        statistic: SessionStatistic,
        /// Gap that ends a session, microseconds.
        timeout_us: i64,
    },
    /// How often consecutive events of E match `steps` one after the other, within one session and
    /// with no gap above `max_gap_us`; overlaps count.
    Ngram {
        /// One pattern per event, 1 to 16.
        steps: Vec<EventPattern>,
        /// Longest gap between two of them, microseconds.
        max_gap_us: i64,
        /// Gap that ends a session, microseconds.
        timeout_us: i64,
    },
    /// Least-squares slope, per bin, over `bins` equal bins of the window. Without property: of the
    /// number of events, 0 in an empty bin. With: of the mean of x, empty bins left out, missing
    /// under two bins.
    Trend {
        /// Property, or none to count.
        property: Option<String>,
        /// 2 to 64.
        bins: usize,
    },
    /// Ordered steps, told apart by the event's name or by a text property.
    Funnel {
        /// What about them.
        statistic: FunnelStatistic,
        /// Property, or [`EVENT_NAME`].
        property: String,
        /// One pattern per step, in order.
        steps: Vec<EventPattern>,
    },
}

/// What of the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatistic {
    /// How many; 0 if none.
    Count,
    /// Mean seconds from first to last event; missing if none.
    MeanLength,
    /// Share of sessions with exactly one event; missing if none.
    BounceRate,
    /// Seconds from first to last event of the last one; missing if none.
    LastLength,
    /// 1 if the last event is less than the timeout before `t`, else 0.
    Open,
}

/// What of the funnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunnelStatistic {
    /// The furthest step done, from 1; 0 if none.
    Step,
    /// Seconds since that step was first done; missing if none.
    TimeInStep,
    /// How often that step was done again; 0 if none.
    Retries,
}

/// A part of the local date and time of `t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalendarPart {
    /// 0 to 23.
    Hour,
    /// Monday 1 to Sunday 7.
    DayOfWeek,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12.
    Month,
    /// 1 on Saturday and Sunday, else 0.
    IsWeekend,
}

/// An operator over selected events in a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// What.
    pub operator: Operator,
    /// Over which events.
    pub events: Selector,
    /// When.
    pub window: Window,
}

/// What a feature measures.
#[derive(Debug, Clone, PartialEq)]
pub enum Measure {
    /// An aggregate.
    Aggregate(Aggregate),
    /// The aggregate in its window less the same in the window of equal length before it; missing
    /// if either is.
    Delta(Aggregate),
    /// One aggregate over another; missing if either is, or over zero.
    Ratio {
        /// Above.
        numerator: Aggregate,
        /// Below.
        denominator: Aggregate,
    },
    /// The latest value of a trait in `[t - ttl, t)` on an event of any kind.
    Trait {
        /// Key; the property is `traits.` and this.
        key: String,
        /// How long a value holds, microseconds; `None` is forever.
        ttl_us: Option<i64>,
    },
    /// A field of the scoring request; missing if it has none.
    Request {
        /// Name of the field.
        field: String,
        /// Whether a request without it is refused.
        required: bool,
    },
    /// Local date and time of `t`.
    Calendar {
        /// Which part.
        part: CalendarPart,
        /// IANA time zone.
        time_zone: String,
    },
    /// Days of 24 hours from the first visible event of any kind to `t`; missing if none.
    HistoryDays,
}

/// Every name that `op` takes.
pub const OPERATOR_NAMES: [&str; 41] = [
    "active_days",
    "count",
    "day_of_month",
    "day_of_week",
    "delta",
    "distinct",
    "entropy",
    "first",
    "funnel_retries",
    "funnel_step",
    "funnel_time_in_step",
    "gap_cv",
    "gap_max",
    "gap_mean",
    "history_days",
    "hour",
    "is_weekend",
    "last",
    "last_k",
    "max",
    "mean",
    "min",
    "month",
    "ngram",
    "percentile",
    "ratio",
    "request",
    "session_bounce_rate",
    "session_last_length",
    "session_mean_length",
    "session_open",
    "sessions",
    "std",
    "streak_days",
    "sum",
    "time_since_first",
    "time_since_last",
    "top",
    "trait",
    "transition",
    "trend",
];

impl Operator {
    /// Its `op`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum(_) => "sum",
            Self::Mean(_) => "mean",
            Self::Min(_) => "min",
            Self::Max(_) => "max",
            Self::Std(_) => "std",
            Self::First(_) => "first",
            Self::Last(_) => "last",
            Self::LastK { .. } => "last_k",
            Self::Distinct(_) => "distinct",
            Self::Entropy(_) => "entropy",
            Self::Top(_) => "top",
            Self::Percentile { .. } => "percentile",
            Self::TimeSinceFirst => "time_since_first",
            Self::TimeSinceLast => "time_since_last",
            Self::GapMean => "gap_mean",
            Self::GapMax => "gap_max",
            Self::GapCv => "gap_cv",
            Self::ActiveDays { .. } => "active_days",
            Self::StreakDays { .. } => "streak_days",
            Self::Sessions { statistic, .. } => match statistic {
                SessionStatistic::Count => "sessions",
                SessionStatistic::MeanLength => "session_mean_length",
                SessionStatistic::BounceRate => "session_bounce_rate",
                SessionStatistic::LastLength => "session_last_length",
                SessionStatistic::Open => "session_open",
            },
            Self::Ngram { .. } => "ngram",
            Self::Trend { .. } => "trend",
            Self::Funnel { statistic, .. } => match statistic {
                FunnelStatistic::Step => "funnel_step",
                FunnelStatistic::TimeInStep => "funnel_time_in_step",
                FunnelStatistic::Retries => "funnel_retries",
            },
        }
    }

    /// The property it reads, if it reads one.
    #[must_use]
    pub fn property(&self) -> Option<&str> {
        match self {
            Self::Sum(property)
            | Self::Mean(property)
            | Self::Min(property)
            | Self::Max(property)
            | Self::Std(property)
            | Self::First(property)
            | Self::Last(property)
            | Self::Distinct(property)
            | Self::Entropy(property)
            | Self::Top(property)
            | Self::LastK { property, .. }
            | Self::Percentile { property, .. }
            | Self::Funnel { property, .. } => Some(property),
            Self::Trend { property, .. } => property.as_deref(),
            _ => None,
        }
    }

    /// Whether it yields a value of any type rather than a number.
    pub(crate) fn yields_value(&self) -> bool {
        matches!(self, Self::First(_) | Self::Last(_) | Self::LastK { .. } | Self::Top(_))
    }
}

impl CalendarPart {
    /// Every part with its `op`.
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("hour", Self::Hour),
        ("day_of_week", Self::DayOfWeek),
        ("day_of_month", Self::DayOfMonth),
        ("month", Self::Month),
        ("is_weekend", Self::IsWeekend),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, part)| *part == self).map_or("", |(name, _)| name)
    }
}

impl Measure {
    /// Its `op`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Aggregate(aggregate) => aggregate.operator.name(),
            Self::Delta(_) => "delta",
            Self::Ratio { .. } => "ratio",
            Self::Trait { .. } => "trait",
            Self::Request { .. } => "request",
            Self::Calendar { part, .. } => part.name(),
            Self::HistoryDays => "history_days",
        }
    }

    /// Whether it yields a value of any type rather than a number.
    pub(crate) fn yields_value(&self) -> bool {
        match self {
            Self::Aggregate(aggregate) => aggregate.operator.yields_value(),
            Self::Trait { .. } | Self::Request { .. } => true,
            _ => false,
        }
    }

    /// The aggregates inside.
    pub(crate) fn aggregates_mut(&mut self) -> Vec<&mut Aggregate> {
        match self {
            Self::Aggregate(aggregate) | Self::Delta(aggregate) => vec![aggregate],
            Self::Ratio { numerator, denominator } => vec![numerator, denominator],
            _ => Vec::new(),
        }
    }
}
