//! Published models of other libraries with their inputs and their own predictions, whenever the data
//! is there: `SEGUE_DATA/model_fixtures`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "figures and skips are told")]

mod all;
mod lightgbm;
mod onnx;
mod round_trip;
mod support;
mod xgboost;
