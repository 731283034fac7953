//! gRPC services over live models: limits, metrics, hot swap, shutdown.
//!
//! A request passes the [guard](crate::run) (panic, deadline, permit), takes one snapshot of all
//! models, is read into rows, scored, and answered with the versions that scored it. Loading,
//! warming and freeing happen on a thread of their own.

mod access;
mod admin_service;
mod drift;
mod error;
mod feedback_service;
mod from_proto;
mod guard;
mod health;
mod http;
mod inference_service;
mod limits;
mod live;
mod metrics;
mod net;
mod observe;
mod options;
mod pool;
mod prediction_log;
mod priority;
mod registry_service;
mod reload;
mod score;
mod scoring_service;
mod scratch;
mod segment;
mod serve;
mod to_proto;
mod traffic;

pub use access::{NewKey, check_access_file, new_access_key};
pub use error::{ERROR_DOMAIN, Reason, ServeError, ServingError, Violation};
pub use feedback_service::{JoinError, JoinRequest, Joined, join_predictions};
pub use guard::AUDIT_TARGET;
pub use options::{
    AccessOptions, GuardOptions, NetOptions, ReloadSignal, ServeOptions, TlsFiles, TraceOptions,
};
pub use prediction_log::{PredictionLogOptions, SubjectLogging, WriteHook};
pub use priority::runtime;
pub use serve::run;
