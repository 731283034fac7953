//! From a dataset to a model: our histogram boosting and forest, and the linfa and smartcore learners.
//!
//! A learner is chosen with [`Learner`], checked with [`Learner::check`] and run with [`fit`], or
//! with [`fit_with`] to go on from earlier trees and to save some on the way; all of them give a
//! [`segue_model::Ensemble`], so that scoring, explaining and storing know one structure.
//! Results do not depend on the number of threads: gradients are summed as integers, and every
//! floating-point sum has a fixed order.

mod binning;
mod boosting;
mod code_tree;
mod error;
mod foreign;
mod forest;
mod histogram;
mod learner;
mod linfa_face;
mod linfa_tree;
mod objective;
mod partition;
mod prefetch;
mod sampling;
mod smartcore_forest;
mod split;

pub use binning::BinningError;
pub use boosting::{BoostingParams, BoostingValidParams, ClassWeight, Dart, Goss};
pub use error::{LearnError, ParamError};
pub use forest::{FeatureShare, ForestParams, ForestValidParams};
pub use learner::{
    CheckedLearner, Checkpoint, FitOptions, Fitted, Learner, LossPoint, OutOfBag, Progress, fit,
    fit_with,
};
pub use linfa_face::{
    FittedClassifier, FittedRegressor, dataset_from_linfa, to_linfa_classes, to_linfa_numbers,
};
pub use linfa_tree::{LinfaTreeParams, LinfaTreeValidParams};
pub use objective::{Custom, CustomObjective, Objective};
pub use smartcore_forest::{SmartcoreForestParams, SmartcoreForestValidParams};
pub use split::{CategoryRules, Monotone};
