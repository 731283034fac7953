//! Files in: events to an [`EventLog`](segue_events::EventLog), feature tables to columns.

mod columns;
mod csv_file;
mod derive;
mod error;
mod events;
mod external;
mod files;
mod frame;
mod intake;
mod json_lines;
mod parquet;
mod parts;
mod rejects;
mod spill;
mod turns;

pub use error::ReadError;
pub use events::{EventFiles, ReadSummary, read_events, read_events_within};
pub use external::{ArrangedLog, GroupedLog, ReadLog, Room, SpilledLog};
pub use files::{FileKind, expand_globs};
pub use frame::{Frame, FrameColumn};
pub use rejects::Rejects;

pub(crate) use files::open as open_file;
pub(crate) use frame::{nearest_first, no_column};
pub(crate) use parquet::ParquetFile;
pub(crate) use turns::in_order;

/// Told how far reading has come: bytes done, bytes in all. Called from several threads.
pub type ReadProgress<'a> = &'a (dyn Fn(u64, u64) + Sync);

#[cfg(test)]
mod tests;
