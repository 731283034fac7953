//! Engines that score rows: all equal the reference walk bit for bit, and differ in speed only.
//!
//! At load a model is compiled once: its questions become small integer codes (`encoding`), and each
//! engine that the model may use gets a layout of the trees.
//!
//! | engine | for | how |
//! |---|---|---|
//! | `masks` | one row or a few | all nodes of two trees in one comparison, the leaves of sixteen by their paths |
//! | `select` | blocks of 64 or 256 rows | every node chooses for all rows, from the bottom up |
//! | `walk` | large trees, machines without vectors | sixteen walks over codes side by side |
//! | `walker` | models whose questions do not fit into codes | the reference |
//!
//! Which is used follows from the model's shape and the number of rows by a table of costs (`costs`).
//! Margins do not depend on it: leaf values are `f64` and are added in tree order from 0.0 on, each
//! output in its own lane.
//!
//! What was tried and lost:
//!
//! - Masks of a path and of the answers wanted on it, two vectors a leaf: one of the nodes that have the
//!   leaf on their left says the same with half the memory and half the instructions.
//! - One column a set of categories in the table of one row: 389 columns for 100 trees of four small
//!   categories, where a vector tells 64 apart; and a byte for each set node, a window on which each piece
//!   saw: 2,013 bytes for a category of 300 values, where masks of the answers are 400.
//! - Leaves as lanes, tree by tree: what moved between masks, vectors and other registers took longer than
//!   the comparison itself. Sixteen trees side by side never leave the vectors.
//! - In blocks, a byte column for each set, looked up in its bits: 1,576 sets of a category of 300 values made
//!   400 KB of columns a block, and on AVX2 took longer than the trees. Eight sets share a column now, and rows are
//!   not looked up but turned.
//! - `u16` codes in blocks: columns of 255 thresholds each keep every comparison in bytes.
//! - Row by row through `select`: a block costs the same for one row as for 64.
//! - Vectors handed over by value, and bounds checks, in the steps of `select`: five instructions a vector
//!   became 25.
//! - Sums of one row through memory: each addition waited for the store before it.

mod bits;
mod costs;
mod encoding;
mod instructions;
mod kernels;
mod leaves;
mod masks;
mod scorer;
mod select;
#[cfg(test)]
mod tests;
mod thresholds;
mod walk;

pub use instructions::Instructions;
pub use scorer::{Engine, EngineScratch, Scorer};
