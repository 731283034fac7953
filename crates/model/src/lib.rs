//! What a trained thing is: trees, calibration, segments, explanations, artefact bytes.
//!
//! Pure: no files, no clock, no random numbers, no threads. Scoring is one function of the model and
//! a row, the same in evaluation, in batch scoring and in the server.

mod ensemble;
mod tree;

pub use ensemble::{Combine, Ensemble, Link, sigmoid, softmax_in_place};
pub use tree::{CategorySet, Child, MissingRule, Node, Split, Tree};
