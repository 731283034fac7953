//! Why a source record did not become an event.

use std::fmt;

/// What is wrong with a record. Every reason has a stable code for tables and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// The line is not JSON.
    InvalidJson,
    /// The line is JSON, but not an object.
    NotAnObject,
    /// The record's type is none that the format knows.
    UnknownType,
    /// No name says what happened.
    MissingEventName,
    /// No field says when it happened.
    MissingTime,
    /// A time that cannot be read.
    InvalidTime,
    /// A time before 1980 or after 2200, most often a wrong unit.
    TimeOutOfRange,
    /// Neither a user nor an anonymous id.
    MissingId,
    /// The only ids are placeholders such as `null`, `-1` or `anonymous`.
    BlockedId,
    /// A sequence number that is not a whole number.
    InvalidSequence,
}

impl RejectReason {
    /// Every reason, in the order of the table shown at the end of a job.
    pub const ALL: [Self; 10] = [
        Self::InvalidJson,
        Self::NotAnObject,
        Self::UnknownType,
        Self::MissingEventName,
        Self::MissingTime,
        Self::InvalidTime,
        Self::TimeOutOfRange,
        Self::MissingId,
        Self::BlockedId,
        Self::InvalidSequence,
    ];

    /// Stable code, snake case.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::UnknownType => "unknown_type",
            Self::MissingEventName => "missing_event_name",
            Self::MissingTime => "missing_time",
            Self::InvalidTime => "invalid_time",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::MissingId => "missing_id",
            Self::BlockedId => "blocked_id",
            Self::InvalidSequence => "invalid_sequence",
        }
    }

    /// One line for a reader who has never seen the code.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::InvalidJson => "the line is not JSON",
            Self::NotAnObject => "the line is JSON but not an object",
            Self::UnknownType => "the record's type is none that the format knows",
            Self::MissingEventName => "no event name",
            Self::MissingTime => "no time",
            Self::InvalidTime => "the time cannot be read",
            Self::TimeOutOfRange => "the time is before 1980 or after 2200; check the time unit",
            Self::MissingId => "neither a user id nor an anonymous id",
            Self::BlockedId => "the only ids are placeholders such as null, -1 or anonymous",
            Self::InvalidSequence => "the sequence is not a whole number",
        }
    }
}

/// A refused record: why, at which field, and what was found there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Reject {
    /// Why.
    pub reason: RejectReason,
    /// The field that decides, as the source names it.
    pub field: String,
    /// What was found, and what would do.
    pub detail: String,
}

impl Reject {
    /// A refusal.
    pub fn new(reason: RejectReason, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason, field: field.into(), detail: detail.into() }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at `{}`: {}", self.reason.code(), self.field, self.detail)
    }
}
