//! Answers and errors as HTTP.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use tonic::Code;

use super::proto_json;
use crate::ServingError;
use crate::error::rpc_status;
use crate::guard::challenge;

/// Bytes of the JSON part of a body that goes on in binary.
pub(super) const JSON_BYTES_HEADER: &str = "inference-header-content-length";

/// A good answer.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    body: Vec<u8>,
    /// Where the JSON part of the body ends, if it does.
    json_bytes: Option<usize>,
}

impl Reply {
    pub(super) fn json(body: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, body, json_bytes: None }
    }

    /// JSON, and tensors behind it.
    pub(super) fn mixed(json: Vec<u8>, tensors: &[u8]) -> Self {
        let json_bytes = Some(json.len());
        Self { status: StatusCode::OK, body: [&json[..], tensors].concat(), json_bytes }
    }

    /// 200 for yes, 503 for no, as probes want it.
    pub(super) fn ready(ready: bool) -> Self {
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Self { status, ..Self::json(format!("{{\"ready\":{ready}}}").into_bytes()) }
    }

    pub(super) fn into_response(self) -> Response {
        let kind = if self.json_bytes.is_some() { "application/octet-stream" } else { JSON };
        let mut response = respond(self.status, kind, self.body);
        if let Some(json_bytes) = self.json_bytes {
            response.headers_mut().insert(JSON_BYTES_HEADER, HeaderValue::from(json_bytes));
        }
        response
    }
}

const JSON: &str = "application/json";

fn respond(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// How a page writes its errors: always a `google.rpc.Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// As it is.
    Segue,
    /// With its message under `error` as well, where clients of the Open Inference Protocol look.
    Inference,
}

impl Dialect {
    pub(super) fn error(self, error: ServingError) -> Response {
        let retry_after = match &error {
            ServingError::Overloaded { retry_after, .. } => Some(retry_after.as_secs_f64().ceil()),
            _ => None,
        };
        let challenge = challenge(&error);
        let status = rpc_status(error);
        let code = http_code(Code::from_i32(status.code));
        let mut response =
            respond(code, JSON, proto_json::status(&status, self == Self::Inference));
        if let Some(challenge) = challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = retry_after {
            // The header knows whole seconds only; the details say it exactly.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds as u64));
        }
        response
    }
}

/// The mapping of `google/rpc/code.proto`, but for OUT_OF_RANGE: here it only ever says that a message
/// is too large, for which HTTP has a code.
fn http_code(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        Code::OutOfRange => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
