//! Events, identity and histories: what a user did, in one total order.
//!
//! A source record becomes an [`Event`] (module by module per format), events become a
//! [`History`] per user, and from there on nothing depends on where or in which order they arrived.

mod event;
mod history;
mod symbols;

pub use event::{Event, EventId, EventKind, Micros, Value};
pub use history::{History, HistoryEvent, Scalar};
pub use symbols::{Symbol, Symbols};
