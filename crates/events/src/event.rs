//! One event as it leaves a source mapping: owned, checked, not yet assigned to a history.

/// Microseconds since 1970-01-01 UTC.
pub type Micros = i64;

/// What a source says that an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// Something the user did.
    Track,
    /// A page view.
    Page,
    /// A screen view of an app.
    Screen,
    /// Traits of the user became known.
    Identify,
    /// The user joined a group.
    Group,
    /// Two ids are one person.
    Alias,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Track, Self::Page, Self::Screen, Self::Identify, Self::Group, Self::Alias];

    /// The kind's name, as the Segment specification writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Identify => "identify",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }
}

/// A property value. Nulls, NaN and infinities are not values: they are left out.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any number; integers beyond 2^53 lose their last digits.
    Number(f64),
    /// Text.
    Text(String),
    /// True or false.
    Flag(bool),
}

impl Value {
    /// A total order: numbers, then texts, then flags, each by value.
    #[must_use]
    pub fn total_cmp(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Flag(a), Self::Flag(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Number(_) => 0,
            Self::Text(_) => 1,
            Self::Flag(_) => 2,
        }
    }
}

/// What tells an event from its duplicate and breaks ties in time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventId {
    /// The source has none: the event is ordered by its content and is nobody's duplicate (two equal
    /// orders in a minute may both be real).
    Absent,
    /// The source's own id: events that share it are one event. Empty is as absent.
    Given(String),
}

/// One event. Times are microseconds UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Id for duplicates and ties.
    pub event_id: EventId,
    /// Known user, if any.
    pub user_id: Option<String>,
    /// Device or anonymous id, if any.
    pub anonymous_id: Option<String>,
    /// Kind as the source says.
    pub kind: EventKind,
    /// Name of what happened; for page and screen their name.
    pub name: String,
    /// When it happened, skew-corrected.
    pub event_ts: Micros,
    /// When it happened by the client's own clock, before correction.
    pub original_ts: Micros,
    /// When we received it; it is invisible before.
    pub known_ts: Micros,
    /// The source's own order within equal times, else 0.
    pub seq: i64,
    /// Session as the source says, if it does.
    pub session_id: Option<String>,
    /// Another id of the same person (alias events).
    pub previous_id: Option<String>,
    /// Flat properties, nested keys joined by dots; traits under `traits.`, context under `context.`.
    pub properties: Vec<(String, Value)>,
}
