//! Who somebody is.

use super::role::{Grant, Need, Role};
use crate::ServingError;
use crate::from_proto::shown;

/// A known caller.
#[derive(Debug)]
pub(crate) struct Identity {
    /// `key:NAME`, `jwt:SUBJECT`, `cert:NAME` or `anonymous`.
    pub(crate) name: String,
    grants: Vec<Grant>,
}

impl Identity {
    /// A name is one word of one line, so that nobody can write another's into a log or a trail.
    pub(super) fn new(name: &str, grants: Vec<Grant>) -> Self {
        let is_bad = |char: char| char.is_whitespace() || char.is_control();
        let name =
            name.chars().map(|char| if is_bad(char) { '_' } else { char }).take(128).collect();
        Self { name, grants }
    }

    fn has(&self, role: Role) -> bool {
        self.grants.iter().any(|grant| grant.role == role || grant.role == Role::Admin)
    }

    /// Whether this one may call a method at all.
    pub(crate) fn check(&self, need: Need) -> Result<(), ServingError> {
        match need {
            Need::Nothing | Need::Known => Ok(()),
            Need::Role(role) if self.has(role) => Ok(()),
            Need::Role(role) => Err(self.denied(role, String::new())),
        }
    }

    /// Whether a role holds for a model, and for an alias if the change is about one.
    pub(super) fn check_for(
        &self,
        role: Role,
        model: &str,
        alias: Option<&str>,
    ) -> Result<(), ServingError> {
        let is_admin = self.grants.iter().any(|grant| grant.role == Role::Admin);
        if is_admin || self.grants.iter().any(|grant| grant.covers(role, model, alias)) {
            return Ok(());
        }
        let of_what = match alias {
            Some(alias) => {
                format!(" for alias {:?} of model {:?}", shown(alias), shown(model))
            }
            None => format!(" for model {:?}", shown(model)),
        };
        Err(self.denied(role, of_what))
    }

    pub(super) fn denied(&self, role: Role, of_what: String) -> ServingError {
        ServingError::PermissionDenied { caller: self.name.clone(), role: role.name(), of_what }
    }
}
