//! Who may call, and what is written down of it.

use std::net::SocketAddr;

use tonic::Code;
use tonic::codegen::http::{HeaderMap, HeaderValue};

use super::Guard;
use crate::ServingError;
use crate::access::{Caller, Need};
use crate::metrics::{DeniedLabels, code_name};
use crate::net::Connection;

/// Who was refused, and who changed what: the target of those log lines.
pub const AUDIT_TARGET: &str = "segue::audit";

impl Guard {
    /// Who asks, if whoever it is may.
    pub(crate) fn authorize(
        &self,
        method: &'static str,
        need: Need,
        headers: &HeaderMap,
        connection: &Connection,
    ) -> Result<Caller, ServingError> {
        let (Some(access), true) = (&self.access, need != Need::Nothing) else {
            return Ok(Caller::new(None));
        };
        let known = access.who(headers, connection.certificate.as_ref());
        let allowed = known.and_then(|identity| identity.check(need).map(|()| identity));
        match allowed {
            Ok(identity) => Ok(Caller::new(Some(identity))),
            Err(error) => {
                self.record_refusal(method, &error, connection.peer);
                Err(error)
            }
        }
    }

    fn record_refusal(&self, method: &'static str, error: &ServingError, peer: SocketAddr) {
        let (reason, caller, role) = match error {
            ServingError::Unauthenticated { reason, .. } => (*reason, "", ""),
            ServingError::PermissionDenied { caller, role, .. } => {
                (ROLE_MISSING, caller.as_str(), *role)
            }
            // Nothing else comes of asking who somebody is.
            _ => return,
        };
        self.count_refusal(reason, method);
        tracing::warn!(target: AUDIT_TARGET, event = "denied", method, reason, caller, role, %peer);
    }

    /// Writes down what came of a call that may change something. For which models its caller may do
    /// that, only the handler knew.
    pub(super) fn record_change(
        &self,
        method: &'static str,
        caller: &Caller,
        peer: SocketAddr,
        code: Code,
    ) {
        let (code, caller) = (code_name(code), caller.name());
        if code == code_name(Code::PermissionDenied) {
            self.count_refusal(ROLE_MISSING, method);
            tracing::warn!(target: AUDIT_TARGET, event = "denied", method, reason = ROLE_MISSING, caller, %peer);
        } else {
            tracing::info!(target: AUDIT_TARGET, event = "change", method, caller, code, %peer);
        }
    }

    fn count_refusal(&self, reason: &'static str, method: &'static str) {
        self.metrics.net.denied.get_or_create(&DeniedLabels { reason, method }).inc();
    }
}

const ROLE_MISSING: &str = "ROLE_MISSING";

/// What `www-authenticate` says to those who are not known.
pub(crate) fn challenge(error: &ServingError) -> Option<HeaderValue> {
    let ServingError::Unauthenticated { reason, .. } = error else { return None };
    Some(HeaderValue::from_static(if *reason == "CREDENTIALS_ABSENT" {
        "Bearer realm=\"segue\""
    } else {
        "Bearer realm=\"segue\", error=\"invalid_token\""
    }))
}
