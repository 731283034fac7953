//! What a handler asks about its caller.

use std::sync::Arc;

use tonic::Request;

use super::identity::Identity;
use super::role::Role;
use crate::ServingError;

/// Who called, beside the requests that change something. The guard has seen that the method may be
/// called; for which models and aliases, only the handler knows.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Option<Arc<Identity>>);

impl Caller {
    /// `None` on a server without an access file, where everybody may do everything.
    pub(crate) fn new(identity: Option<Arc<Identity>>) -> Self {
        Self(identity)
    }

    /// The caller of a request that passed the guard, and what is asked.
    ///
    /// # Errors
    /// If it did not pass: then nobody may do anything.
    pub(crate) fn with<T>(request: Request<T>) -> Result<(Self, T), ServingError> {
        let caller = request.extensions().get::<Self>().cloned().ok_or(ServingError::Internal)?;
        Ok((caller, request.into_inner()))
    }

    /// As it stands in logs.
    pub(crate) fn name(&self) -> &str {
        self.0.as_ref().map_or("anybody", |identity| &identity.name)
    }

    /// May change what an alias of a model points at.
    pub(crate) fn check_promoter(&self, model: &str, alias: &str) -> Result<(), ServingError> {
        self.check(Role::Promoter, model, Some(alias))
    }

    /// May change what concerns a model as a whole, such as its traffic.
    pub(crate) fn check_promoter_of_model(&self, model: &str) -> Result<(), ServingError> {
        self.check(Role::Promoter, model, None)
    }

    /// May register and archive versions of a model.
    pub(crate) fn check_publisher(&self, model: &str) -> Result<(), ServingError> {
        self.check(Role::Publisher, model, None)
    }

    /// May do what only admins may; `what` says it.
    pub(crate) fn check_admin(&self, what: &str) -> Result<(), ServingError> {
        self.0.as_ref().map_or(Ok(()), |identity| {
            identity
                .check(super::Need::Role(Role::Admin))
                .map_err(|_| identity.denied(Role::Admin, format!(" to {what}")))
        })
    }

    fn check(&self, role: Role, model: &str, alias: Option<&str>) -> Result<(), ServingError> {
        self.0.as_ref().map_or(Ok(()), |identity| identity.check_for(role, model, alias))
    }

    /// Who stands in the audit trail. What the request says of its actor is added, and never takes
    /// the place of who is known to have asked.
    pub(crate) fn actor(&self, said: String) -> String {
        match &self.0 {
            None => said,
            Some(identity) if said.is_empty() => identity.name.clone(),
            Some(identity) => format!("{} (for {said})", identity.name),
        }
    }
}
