//! Feature schema, matrix, checked batch, and splits by time and user.
//!
//! The shared noun of the workspace: `features` fills a [`Dataset`], `learners` fit one, `model`
//! scores rows of the same [`Schema`]. Nothing here knows where values come from.

mod dataset;
mod matrix;
mod schema;
mod split;
mod target;
#[cfg(test)]
mod tests;

pub use dataset::{Dataset, DatasetError, RowKeys};
pub use matrix::Matrix;
pub use schema::{Feature, FeatureKind, Schema, SchemaDigest, SchemaError, UNSEEN_CATEGORY};
pub use split::{Part, Split, SplitError, SplitPlan, TimeUnits, split_rows};
pub use target::{Target, TargetKind};
