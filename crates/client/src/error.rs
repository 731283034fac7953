//! What can go wrong, with everything that the server said about it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use segue_api::RpcStatus;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, RpcStatusExt, StatusExt};

/// A call that has no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused the call, could not be reached, or did not answer in time.
    #[error(transparent)]
    Failed(Box<Failure>),
    /// An option of the client cannot be used.
    #[error("{option} {found:?}: {expected}")]
    Option {
        /// Which.
        option: &'static str,
        /// What was given; never a key.
        found: String,
        /// What would be accepted.
        expected: String,
    },
    /// Features that do not fit into the schema of the model.
    #[error("the row does not fit the schema of {model}: {}", list(.violations))]
    Packing {
        /// The model and version that the row was packed for.
        model: String,
        /// Each feature that does not fit.
        violations: Vec<FieldViolation>,
    },
    /// The answer lacks what every answer of a segue server has.
    #[error("the server's answer has no {part}; is it a segue server of this version?")]
    Answer {
        /// What it lacks.
        part: &'static str,
    },
    /// The stream takes no more requests: it has ended.
    #[error("the stream has ended; open another")]
    StreamEnded,
}

/// A status other than OK, with its details in their own types.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// Code of the status.
    pub code: Code,
    /// A sentence for a person.
    pub message: String,
    /// Reason of the error in capitals, such as `SCHEMA_DIGEST_MISMATCH`; empty if none was given, as
    /// for a server that could not be reached.
    pub reason: String,
    /// Facts that belong to the reason.
    pub metadata: BTreeMap<String, String>,
    /// Each field that was wrong.
    pub violations: Vec<FieldViolation>,
    /// Each condition that did not hold.
    pub preconditions: Vec<Precondition>,
    /// How long the server asks to be left alone.
    pub retry_delay: Option<Duration>,
    /// Attempts that were made.
    pub n_attempts: u32,
}

/// A field of a request that was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path in the request, such as `row.named.values["age"]`.
    pub field: String,
    /// Reason in capitals, such as `FEATURE_MISSING`.
    pub reason: String,
    /// What was expected, what was found, and the way out.
    pub description: String,
}

/// A condition that did not hold, such as a gate of a promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precondition {
    /// What kind of condition, such as `GATE_FAILED`.
    pub kind: String,
    /// Of what, such as the name of the gate.
    pub subject: String,
    /// What was found.
    pub description: String,
}

impl Error {
    /// The failure, if the call got as far as a status.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        if let Self::Failed(failure) = self { Some(failure) } else { None }
    }

    /// The code of the status; UNKNOWN for an error of this side.
    #[must_use]
    pub fn code(&self) -> Code {
        self.failure().map_or(Code::Unknown, |failure| failure.code)
    }

    /// The reason of the error; empty if none was given.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.failure().map_or("", |failure| &failure.reason)
    }

    /// Each field that was wrong.
    #[must_use]
    pub fn violations(&self) -> &[FieldViolation] {
        match self {
            Self::Failed(failure) => &failure.violations,
            Self::Packing { violations, .. } => violations,
            _ => &[],
        }
    }

    pub(crate) fn after(status: &Status, n_attempts: u32) -> Self {
        Self::Failed(Box::new(Failure { n_attempts, ..Failure::from(status) }))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

impl From<&Status> for Failure {
    fn from(status: &Status) -> Self {
        Self::new(status.code(), status.message(), status.get_error_details())
    }
}

/// The error of one row of a batch or one message of a stream.
impl From<&RpcStatus> for Failure {
    fn from(status: &RpcStatus) -> Self {
        Self::new(Code::from_i32(status.code), &status.message, status.get_error_details())
    }
}

impl Failure {
    fn new(code: Code, message: &str, details: ErrorDetails) -> Self {
        let info = details.error_info();
        let fields = details.bad_request().map(|bad| bad.field_violations.as_slice());
        let failed = details.precondition_failure().map(|failed| failed.violations.as_slice());
        Self {
            code,
            message: message.to_owned(),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            metadata: info
                .map(|info| info.metadata.clone().into_iter().collect())
                .unwrap_or_default(),
            violations: fields
                .unwrap_or_default()
                .iter()
                .map(|field| FieldViolation {
                    field: field.field.clone(),
                    reason: field.reason.clone(),
                    description: field.description.clone(),
                })
                .collect(),
            preconditions: failed
                .unwrap_or_default()
                .iter()
                .map(|failed| Precondition {
                    kind: failed.r#type.clone(),
                    subject: failed.subject.clone(),
                    description: failed.description.clone(),
                })
                .collect(),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
            n_attempts: 1,
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        write!(f, ": {}", self.message)?;
        if self.n_attempts > 1 {
            write!(f, " (after {} attempts)", self.n_attempts)?;
        }
        Ok(())
    }
}

fn list(violations: &[FieldViolation]) -> String {
    let each = violations.iter().map(|one| format!("{}: {}", one.field, one.description));
    each.collect::<Vec<_>>().join("; ")
}
