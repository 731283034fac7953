//! Whether whoever opened a stream may still have it.
//!
//! A request is asked who it is when its headers are read. A stream may last for weeks, so it is asked
//! again whenever the access file or the key set has changed, and when what was shown expires.

use std::sync::Arc;
use std::time::Duration;

use tonic::codegen::http::{HeaderMap, header};

use super::Guard;
use super::routes::Route;
use crate::ServingError;
use crate::access::{Access, Caller, Need};
use crate::net::Connection;
use crate::reload::now_seconds;

/// What a caller showed, and for what. An extension of streams on a server with an access file.
#[derive(Debug, Clone)]
pub(crate) struct Standing(Arc<Shown>);

#[derive(Debug)]
struct Shown {
    guard: Arc<Guard>,
    access: Arc<Access>,
    method: &'static str,
    need: Need,
    /// Nothing but what says who it is.
    headers: HeaderMap,
    connection: Arc<Connection>,
}

/// Longest wait between two looks at the clock, which may be set meanwhile.
const LONGEST_WAIT: u64 = 3600;

impl Standing {
    /// Of a stream that has just been let in; `None` if nobody is asked who it is.
    pub(super) fn of(
        guard: &Arc<Guard>,
        route: Route,
        headers: &HeaderMap,
        connection: &Arc<Connection>,
    ) -> Option<Self> {
        if !route.is_stream || route.need == Need::Nothing {
            return None;
        }
        let access = Arc::clone(guard.access.as_ref()?);
        let shown = headers.get_all(header::AUTHORIZATION).iter();
        let headers = shown.map(|value| (header::AUTHORIZATION, value.clone())).collect();
        Some(Self(Arc::new(Shown {
            guard: Arc::clone(guard),
            access,
            method: route.labels.grpc_method,
            need: route.need,
            headers,
            connection: Arc::clone(connection),
        })))
    }

    /// Who asks, if whoever it is may now.
    pub(crate) fn caller(&self) -> Result<Caller, ServingError> {
        let Shown { guard, method, need, headers, connection, .. } = &*self.0;
        guard.authorize(method, *need, headers, connection)
    }

    /// Waits until the caller may no longer have the stream, and says why.
    pub(super) async fn lost(self) -> ServingError {
        let Shown { access, headers, connection, .. } = &*self.0;
        let mut changes = access.changes();
        loop {
            // Before the look, so that no change comes between.
            changes.mark_unchanged();
            if let Err(error) = self.caller() {
                return error;
            }
            let expires = access.expires(headers, connection.certificate.as_ref());
            let expired = async {
                match expires {
                    None => std::future::pending().await,
                    Some(at) => {
                        let left = u64::try_from(at.saturating_sub(now_seconds())).unwrap_or(0);
                        tokio::time::sleep(Duration::from_secs(left.clamp(1, LONGEST_WAIT))).await;
                    }
                }
            };
            tokio::select! {
                // Whoever tells of changes lives as long as this.
                _ = changes.changed() => {}
                () = expired => {}
            }
        }
    }
}
