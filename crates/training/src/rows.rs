//! From what was read to labelled rows: the spine and labels of a log, or a ready-made table.

mod cell;
mod error;
mod instant;
mod label;
mod log;
mod prepared;
mod spine;
mod table;

pub use error::RowsError;
pub use log::{LogRows, rows_of_log};
pub use prepared::{DataFacts, Prepared, Slice};
pub use table::rows_of_table;

pub(crate) use cell::text_of;
pub(crate) use instant::parse_instant;
pub(crate) use log::{digest_of, divide, label_rows};
pub(crate) use spine::spine_of;
pub(crate) use table::{dataset_digest, labels_of};
