//! What a trained thing is: trees, calibration, segments, explanations, artefact bytes.
//!
//! Pure: no files, no clock, no random numbers, no threads. Scoring is one function of the model and
//! a row, the same in evaluation, in batch scoring and in the server; how it is made fast is behind
//! [`Scorer`].

mod calibration;
mod codec;
mod courtesy;
mod engines;
mod ensemble;
pub mod exchange;
mod explain;
mod golden;
mod holdout;
pub mod metrics;
mod model;
mod numeric;
mod profile;
mod segments;
mod tree;

pub use calibration::{
    Calibration, CalibrationChoice, choose as choose_calibration,
    choose_multiclass as choose_multiclass_calibration, fit_isotonic, fit_linear, fit_platt,
};
pub use codec::DecodeError;
pub use engines::{Engine, EngineScratch, Instructions, Scorer};
pub use ensemble::{Combine, Ensemble, Link};
pub use explain::{Direction, Explanation, Explanations, FeatureValue, Interactions, Reason};
pub use golden::{
    GoldenError, GoldenMismatch, GoldenRow, decode_golden, encode_golden, replay_golden,
};
pub use holdout::{Holdout, HoldoutError, SliceColumn};
pub use model::{Model, ModelError, ModelParts, Scores, Scratch};
pub use numeric::{logit, sigmoid, softmax_in_place};
pub use profile::{
    Bins, Distribution, Drift, MAX_BINS, PSI_FLOOR, Profile, ProfileCounter, ProfileError,
};
pub use segments::{
    Assigned, Segment, SegmentError, SegmentInputs, SegmentSet, TraitValue, Traits,
};
pub use tree::{CategorySet, Child, MissingRule, Node, Split, Tree};
