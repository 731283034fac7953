//! The evaluator against its definitions.
#![allow(clippy::unwrap_used, reason = "tests")]

mod conditions;
mod definitions;
mod histories;
mod naive;
mod properties;
mod threads;
