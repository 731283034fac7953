//! Events, identity and histories: what a user did, in one total order.
//!
//! A source record becomes an [`Event`] ([`Mapper`], one module per format), events become a
//! [`History`] per user ([`LogBuilder`]), and from there on nothing depends on where or in which
//! order they arrived.

mod assemble;
mod blocked;
mod event;
mod history;
mod record;
mod reject;
mod roles;
mod skew;
mod source;
mod symbols;
mod time;

pub use assemble::{
    ANONYMOUS_PREFIX, AnonymousPolicy, AssembleOptions, Block, BlockError, EventBucket, EventLog,
    HistoryError, Identity, IdentityBuilder, LinkBucket, LogBuilder, LogCounts, LogSpan,
    ProfileBucket, ProfileRanges, ProfileSample, Regrouped, Scatter, history_and_counts_from,
    history_from,
};
pub use blocked::is_blocked_id;
pub use event::{Event, EventId, EventKind, Micros, Value};
pub use history::{History, HistoryEvent, Scalar};
pub use record::{Cell, MAX_ARRAY_ITEMS, Record};
pub use reject::{Reject, RejectReason};
pub use roles::{RoleError, RoleMap};
pub use skew::DEFAULT_SKEW_DEADBAND_US;
pub use source::{
    MapNotes, Mapper, MapperOptions, MappingError, PlainMapping, SourceFormat, Table,
};
pub use symbols::{Symbol, Symbols};
pub use time::TimeUnit;
