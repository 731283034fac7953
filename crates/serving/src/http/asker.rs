//! Who asks for a page.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::ServingError;
use crate::access::{Caller, Need, VIEWER};
use crate::guard::Guard;
use crate::net::Connection;

/// The headers of a request, and the connection it came over.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) headers: HeaderMap,
    /// Every request comes over one; there is none only if a route is served by something else.
    connection: Option<Arc<Connection>>,
}

impl Asker {
    pub(super) fn of(request: &Request) -> Self {
        let connection = request.extensions().get().cloned();
        Self { headers: request.headers().clone(), connection }
    }

    pub(super) fn connection(&self) -> Result<&Connection, ServingError> {
        self.connection.as_deref().ok_or(ServingError::Internal)
    }

    /// Who it is, if whoever it is may see the page.
    pub(super) fn authorize(
        &self,
        guard: &Guard,
        page: &'static str,
        need: Need,
    ) -> Result<Caller, ServingError> {
        guard.authorize(page, need, &self.headers, self.connection()?)
    }

    /// Whether more may be told than everybody is. Not a refusal, and so not written down.
    pub(super) fn may_view(&self, guard: &Guard) -> bool {
        let (Some(access), Ok(connection)) = (&guard.access, self.connection()) else {
            return false;
        };
        let known = access.who(&self.headers, connection.certificate.as_ref());
        known.is_ok_and(|identity| identity.check(VIEWER).is_ok())
    }
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let connection = parts.extensions.get().cloned();
        Ok(Self { headers: parts.headers.clone(), connection })
    }
}
