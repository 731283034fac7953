//! When users are asked: the instants `t` of the rows.

use serde::{Deserialize, Serialize};

use super::Span;

/// The spine as written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpineSection {
    /// `after_start` (default), `grid`, `at_event` or `table`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<SpineKind>,
    /// Time added to the start, the event or the table's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<Span>,
    /// Role or glob of the event that starts the clock (`after_start`) or makes a row (`at_event`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Distance of grid points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Rows a user has at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rows_per_user: Option<usize>,
    /// File with a user and a time column (`table`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// User column of that file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Time column of that file: microseconds UTC or a date and time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// The kinds of spine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpineKind {
    /// Once per user, so long after their first event.
    AfterStart,
    /// On a grid of instants shared by all users.
    Grid,
    /// At events.
    AtEvent,
    /// As a table says.
    Table,
}

/// When users are asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Spine {
    /// `t = start + offset`, where the start is the first event, or the first of `event`.
    AfterStart {
        /// Distance from the start.
        offset: Span,
        /// What starts the clock; `*` is any event.
        event: String,
    },
    /// `t` at each multiple of `every` within the data, for users seen before.
    Grid {
        /// Distance of grid points.
        every: Span,
        /// Rows a user has at most, the latest.
        max_rows_per_user: usize,
    },
    /// `t = max(event_ts, known_ts) + 1 us + offset` of each matching event: the trigger itself is visible.
    AtEvent {
        /// Role or glob.
        event: String,
        /// Added to the instant.
        offset: Span,
        /// Rows a user has at most, the first.
        max_rows_per_user: usize,
    },
    /// `t = time + offset` of each row of a table.
    Table {
        /// File, from the job's folder.
        file: String,
        /// User column.
        user: String,
        /// Time column.
        time: String,
        /// Added to the time.
        offset: Span,
    },
}
