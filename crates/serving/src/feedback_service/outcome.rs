//! Outcomes: what they are, which of two counts, and how they stand in a file.

use std::hash::{BuildHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::prediction_log::{HOUR_US, PredictionId};

/// Lines that an outcome may take in the files. One that changes more often is no outcome, and what it
/// takes is somebody's memory and disk.
pub(crate) const MAX_LINES: u8 = 32;

/// Request ids of one prediction up to which those of mere repetitions are remembered. Who sends
/// everything again each night under a new id must not be refused, nor fill the memory.
const MAX_REPEATED: usize = 8;

/// An outcome may have happened so long before its prediction, by another clock.
const MAX_CLOCK_DIFFERENCE_US: i64 = HOUR_US;

/// What became of a prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Label {
    Binary(bool),
    Class(Box<str>),
    Value(f64),
}

/// An outcome as it was given, its fields checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewOutcome {
    pub(crate) id: PredictionId,
    pub(crate) label: Label,
    /// Absent: when it was received.
    pub(crate) event_us: Option<i64>,
    pub(crate) weight: f64,
    /// Empty for none.
    pub(crate) request_id: String,
}

/// A line of an outcome file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    id: String,
    label: Label,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_us: Option<i64>,
    weight: f64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    request_id: String,
    pub(crate) received_us: i64,
}

/// What is known of a prediction's outcome: the one that counts, and which requests there were.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) label: Label,
    pub(crate) weight: f64,
    pub(crate) event_us: i64,
    /// Hash of the request's id, and of what it said.
    requests: Vec<(u64, u64)>,
    /// Lines that it has in the files.
    n_lines: u8,
}

impl Held {
    /// Whether it happened before the prediction was made, by more than clocks may differ: then it was
    /// no prediction, and a model that learns from it learns from what it will not have.
    pub(crate) fn is_early(&self, id: PredictionId) -> bool {
        self.event_us < id.time_us().saturating_sub(MAX_CLOCK_DIFFERENCE_US)
    }
}

/// What an outcome is beside what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The first of its prediction.
    First,
    /// Said before, by the same request or one that is not remembered.
    Duplicate,
    /// Said before, by another request: that one is remembered, so that its retry changes nothing even
    /// after a correction.
    Repeated,
    /// The same label at another time.
    Confirmed,
    /// Another label or weight than before.
    Correction,
    /// Its request id said something else of this prediction before.
    RequestIdReused,
    /// It has changed as often as it may.
    TooManyChanges,
}

impl Verdict {
    /// Whether there is something to keep.
    pub(crate) fn is_new(self) -> bool {
        matches!(self, Self::First | Self::Repeated | Self::Confirmed | Self::Correction)
    }
}

impl NewOutcome {
    /// As a line of a file: CRC-32 in hexadecimal, a space, JSON, and the line's end.
    pub(crate) fn put_line(&self, received_us: i64, text: &mut Vec<u8>) {
        let line = Line {
            id: self.id.text(),
            label: self.label.clone(),
            event_us: self.event_us,
            weight: self.weight,
            request_id: self.request_id.clone(),
            received_us,
        };
        // Finite numbers and texts always serialise.
        let json = serde_json::to_vec(&line).unwrap_or_default();
        text.extend_from_slice(format!("{:08x} ", crc32fast::hash(&json)).as_bytes());
        text.extend_from_slice(&json);
        text.push(b'\n');
    }

    /// Reads a line without its end; the outcome, and when it was received.
    pub(crate) fn of_line(line: &[u8]) -> Option<(Self, i64)> {
        let (checksum, rest) = line.split_at_checked(8)?;
        let json = rest.strip_prefix(b" ")?;
        let checksum = u32::from_str_radix(std::str::from_utf8(checksum).ok()?, 16).ok()?;
        if crc32fast::hash(json) != checksum {
            return None;
        }
        let line: Line = serde_json::from_slice(json).ok()?;
        let outcome = Self {
            id: PredictionId::parse(&line.id)?,
            label: line.label,
            event_us: line.event_us,
            weight: line.weight,
            request_id: line.request_id,
        };
        Some((outcome, line.received_us))
    }

    /// Everything but the request's id.
    fn content(&self) -> u64 {
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        match &self.label {
            Label::Binary(flag) => (0, flag).hash(&mut hasher),
            Label::Class(class) => (1, class).hash(&mut hasher),
            Label::Value(value) => (2, value.to_bits()).hash(&mut hasher),
        }
        (self.event_us, self.weight.to_bits()).hash(&mut hasher);
        hasher.finish()
    }

    fn request(&self) -> Option<(u64, u64)> {
        let hash = || {
            let hasher = foldhash::fast::FixedState::default();
            (hasher.hash_one(&self.request_id), self.content())
        };
        (!self.request_id.is_empty()).then(hash)
    }

    /// What it is beside what is known.
    pub(crate) fn judge(&self, held: Option<&Held>) -> Verdict {
        let Some(held) = held else { return Verdict::First };
        let request = self.request();
        if let Some((id, content)) = request
            && let Some((_, before)) = held.requests.iter().find(|(known, _)| *known == id)
        {
            let is_same = *before == content;
            return if is_same { Verdict::Duplicate } else { Verdict::RequestIdReused };
        }
        let is_full = held.n_lines >= MAX_LINES;
        let is_same = held.label == self.label && held.weight.to_bits() == self.weight.to_bits();
        if is_same && self.event_us.is_none_or(|given| given == held.event_us) {
            let is_kept = request.is_some() && !is_full && held.requests.len() < MAX_REPEATED;
            return if is_kept { Verdict::Repeated } else { Verdict::Duplicate };
        }
        match is_same {
            _ if is_full => Verdict::TooManyChanges,
            true => Verdict::Confirmed,
            false => Verdict::Correction,
        }
    }

    /// What is known after the first outcome of a prediction.
    pub(crate) fn first(&self, received_us: i64) -> Held {
        Held {
            label: self.label.clone(),
            weight: self.weight,
            event_us: self.event_us.unwrap_or(received_us),
            requests: self.request().into_iter().collect(),
            n_lines: 1,
        }
    }

    /// Changes what is known as the verdict says.
    pub(crate) fn change(&self, held: &mut Held, verdict: Verdict, received_us: i64) {
        held.n_lines = held.n_lines.saturating_add(1);
        if held.requests.len() < usize::from(MAX_LINES) {
            held.requests.extend(self.request());
        }
        let event_us = self.event_us.unwrap_or(received_us);
        if verdict != Verdict::Repeated && event_us >= held.event_us {
            held.event_us = event_us;
            held.label.clone_from(&self.label);
            held.weight = self.weight;
        }
    }
}
