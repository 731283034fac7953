//! The one place where a [`ServingError`] becomes a `tonic::Status`.

use std::collections::HashMap;

use prost::Message;
use segue_registry::{GateResult, RegistryError};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt};

use super::{Reason, ServingError, Violation};

/// `ErrorInfo.domain` of every error.
pub const ERROR_DOMAIN: &str = "segue";

impl From<ServingError> for Status {
    fn from(error: ServingError) -> Self {
        let mut message = error.to_string();
        if message.len() > MAX_MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            message.push_str(" ...");
        }
        let (code, details) = code_and_details(error, &message);
        Self::with_error_details(code, message, details)
    }
}

/// Code and details of every error; no wildcard, so that a new one must find its place here.
fn code_and_details(error: ServingError, message: &str) -> (Code, ErrorDetails) {
    match error {
        ServingError::Invalid(violations) => (Code::InvalidArgument, bad_request(violations)),
        ServingError::ModelNotFound { model } => {
            (Code::NotFound, resource("MODEL_NOT_FOUND", "model", &model, message))
        }
        ServingError::VersionNotFound { model, version } => {
            let name = format!("{model}/{version}");
            (Code::NotFound, resource("VERSION_NOT_FOUND", "model version", &name, message))
        }
        ServingError::AliasNotFound { model, alias } => {
            let name = format!("{model}@{alias}");
            (Code::NotFound, resource("ALIAS_NOT_FOUND", "model alias", &name, message))
        }
        ServingError::HealthUnknown { name } => {
            (Code::NotFound, resource("SERVICE_NOT_FOUND", "service", &name, message))
        }
        ServingError::SchemaDigestMismatch { model, version, expected, found } => {
            let subject = format!("{model}/{version}");
            let mut details = precondition("SCHEMA_DIGEST_MISMATCH", &subject, message);
            let facts = [("expected".to_owned(), expected), ("found".to_owned(), found)];
            details.set_error_info("SCHEMA_DIGEST_MISMATCH", ERROR_DOMAIN, HashMap::from(facts));
            (Code::FailedPrecondition, details)
        }
        ServingError::VersionNotLoaded { model, version } => {
            let subject = format!("{model}/{version}");
            (Code::FailedPrecondition, precondition("VERSION_NOT_LOADED", &subject, message))
        }
        ServingError::NotServable { model, version, .. } => {
            let subject = format!("{model}/{version}");
            (Code::FailedPrecondition, precondition("NOT_SERVABLE", &subject, message))
        }
        ServingError::NotReady { .. } => (Code::Unavailable, info("NOT_READY")),
        ServingError::Overloaded { retry_after, .. } => {
            let mut details = info("OVERLOADED");
            details.set_retry_info(Some(retry_after));
            (Code::ResourceExhausted, details)
        }
        ServingError::Draining => (Code::Unavailable, info("DRAINING")),
        // As the gRPC port says it.
        ServingError::MessageTooLarge { .. } => (Code::OutOfRange, info("MESSAGE_TOO_LARGE")),
        ServingError::Unimplemented { .. } => (Code::Unimplemented, info("UNIMPLEMENTED")),
        ServingError::FeedbackOff => {
            (Code::FailedPrecondition, precondition("FEEDBACK_OFF", "prediction log", message))
        }
        ServingError::OutcomeTooLate { .. } => {
            (Code::FailedPrecondition, precondition("OUTCOME_TOO_LATE", "prediction", message))
        }
        ServingError::StreamIdle { .. } => (Code::Aborted, info("STREAM_IDLE")),
        ServingError::OutcomesFull { free_after, .. } => {
            let mut details = info("OUTCOMES_FULL");
            details.set_retry_info(Some(free_after));
            (Code::ResourceExhausted, details)
        }
        ServingError::OutcomesUnwritable { .. } => (Code::Unavailable, info("OUTCOMES_UNWRITABLE")),
        ServingError::LogUnreadable { .. } => (Code::Unavailable, info("LOG_UNREADABLE")),
        ServingError::ProfileAbsent { model, version } => {
            let subject = format!("{model}/{version}");
            (Code::FailedPrecondition, precondition("PROFILE_ABSENT", &subject, message))
        }
        ServingError::Unauthenticated { reason, .. } => (Code::Unauthenticated, info(reason)),
        ServingError::PermissionDenied { caller, role, .. } => {
            let facts = [("caller".to_owned(), caller), ("role".to_owned(), role.to_owned())];
            let details =
                ErrorDetails::with_error_info("ROLE_MISSING", ERROR_DOMAIN, HashMap::from(facts));
            (Code::PermissionDenied, details)
        }
        ServingError::DeadlineExceeded => (Code::DeadlineExceeded, info("DEADLINE_EXCEEDED")),
        ServingError::Registry(error) => registry_error(error, message),
        ServingError::Internal => (Code::Internal, info("INTERNAL")),
    }
}

/// What the registry refused. Faults of its storage are UNAVAILABLE: another try may find it well.
fn registry_error(error: RegistryError, message: &str) -> (Code, ErrorDetails) {
    use RegistryError as E;
    match error {
        E::NameInvalid { what, .. } => {
            let (field, reason) = match what {
                "alias" => ("alias", Reason::AliasInvalid),
                _ => ("model", Reason::ModelNameInvalid),
            };
            let (field, description) = (field.to_owned(), message.to_owned());
            (Code::InvalidArgument, bad_request(vec![Violation { field, reason, description }]))
        }
        E::ModelNotFound { model, .. } => {
            (Code::NotFound, resource("MODEL_NOT_FOUND", "model", &model, message))
        }
        E::VersionNotFound { model, version, .. } => {
            let name = format!("{model}/{version}");
            (Code::NotFound, resource("VERSION_NOT_FOUND", "model version", &name, message))
        }
        E::AliasNotFound { model, alias, .. } => {
            let name = format!("{model}@{alias}");
            (Code::NotFound, resource("ALIAS_NOT_FOUND", "model alias", &name, message))
        }
        E::AliasProtected { alias } => {
            (Code::FailedPrecondition, precondition("ALIAS_PROTECTED", &alias, message))
        }
        E::NothingToRollBack { model, .. } => {
            (Code::FailedPrecondition, precondition("NOTHING_TO_ROLL_BACK", &model, message))
        }
        E::NeverHeld { model, version, .. } => {
            let subject = format!("{model}/{version}");
            (Code::FailedPrecondition, precondition("NEVER_HELD", &subject, message))
        }
        E::EtagMismatch { .. } => (Code::Aborted, info("ETAG_MISMATCH")),
        E::Conflict { .. } => (Code::Aborted, info("CONFLICT")),
        E::RequestIdReused { .. } => {
            let (field, reason) = ("request_id".to_owned(), Reason::RequestIdReused);
            let description = message.to_owned();
            (Code::InvalidArgument, bad_request(vec![Violation { field, reason, description }]))
        }
        E::TrafficInvalid { field, .. } => {
            let (field, reason) = (format!("traffic.{field}"), Reason::TrafficInvalid);
            let description = message.to_owned();
            (Code::InvalidArgument, bad_request(vec![Violation { field, reason, description }]))
        }
        E::UploadInvalid { .. } | E::DraftInvalid { .. } => {
            let (field, reason) = ("part".to_owned(), Reason::UploadInvalid);
            let description = message.to_owned();
            (Code::InvalidArgument, bad_request(vec![Violation { field, reason, description }]))
        }
        E::VersionArchived { model, version } => {
            let subject = format!("{model}/{version}");
            (Code::FailedPrecondition, precondition("VERSION_ARCHIVED", &subject, message))
        }
        E::VersionInUse { model, version, .. } => {
            let subject = format!("{model}/{version}");
            (Code::FailedPrecondition, precondition("VERSION_IN_USE", &subject, message))
        }
        E::GateFailed(gates) => {
            let mut details = info("GATE_FAILED");
            let failed = gates.into_iter().filter(GateResult::failed);
            let violations = failed
                .map(|gate| PreconditionViolation::new("GATE_FAILED", gate.gate, gate.message));
            details.set_precondition_failure(violations.collect::<Vec<_>>());
            (Code::FailedPrecondition, details)
        }
        E::VersionImmutable { .. } => (Code::AlreadyExists, info("VERSION_IMMUTABLE")),
        E::DigestMismatch { .. } => (Code::DataLoss, info("DIGEST_MISMATCH")),
        E::FileMissing { .. } => (Code::DataLoss, info("FILE_MISSING")),
        E::Corrupt { .. } => (Code::DataLoss, info("CORRUPT")),
        E::FormatUnsupported { .. } => (Code::FailedPrecondition, info("FORMAT_UNSUPPORTED")),
        E::Io { .. } => (Code::Unavailable, info("REGISTRY_UNAVAILABLE")),
        // What only opening can meet, and whatever the registry may add.
        _ => (Code::Internal, info("INTERNAL")),
    }
}

/// The error as a message inside an answer: the same code, text and details.
#[must_use]
pub(crate) fn rpc_status(error: ServingError) -> segue_api::RpcStatus {
    let status = Status::from(error);
    // tonic carries the encoded google.rpc.Status as the details of its own.
    segue_api::RpcStatus::decode(status.details()).unwrap_or_else(|_| segue_api::RpcStatus {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

fn info(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new())
}

/// Bytes of field violations that an answer carries: errors travel as headers, and clients refuse
/// large ones.
const MAX_VIOLATION_BYTES: usize = 4096;

/// Bytes of a message, which some details repeat.
const MAX_MESSAGE_BYTES: usize = 2048;

/// `ErrorInfo.reason` is the first field's; every field carries its own. What does not fit into an
/// answer is counted in a last entry.
fn bad_request(violations: Vec<Violation>) -> ErrorDetails {
    let first = violations.first().map_or(Reason::FieldInvalid, |violation| violation.reason);
    let mut details = info(first.code());
    let mut n_left = violations.len();
    let mut n_bytes = 0;
    let mut fields = Vec::new();
    for violation in violations {
        n_bytes += violation.field.len() + violation.description.len() + 32;
        if n_bytes > MAX_VIOLATION_BYTES {
            let description = format!("{n_left} more bad fields are not listed");
            fields.push(FieldViolation::new("*", description));
            break;
        }
        n_left -= 1;
        fields.push(FieldViolation {
            reason: violation.reason.code().to_owned(),
            ..FieldViolation::new(violation.field, violation.description)
        });
    }
    details.set_bad_request(fields);
    details
}

fn resource(reason: &str, kind: &str, name: &str, message: &str) -> ErrorDetails {
    let mut details = info(reason);
    details.set_resource_info(kind, name, "", message);
    details
}

fn precondition(reason: &str, subject: &str, message: &str) -> ErrorDetails {
    let mut details = info(reason);
    details.set_precondition_failure(vec![PreconditionViolation::new(reason, subject, message)]);
    details
}
