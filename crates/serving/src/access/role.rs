//! Roles, and where they hold.

use globset::{Glob, GlobMatcher};

/// What somebody may do. An admin may do everything; the others hold for themselves only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// See models, versions, events, reports, status and metrics.
    Viewer,
    /// Score.
    Scorer,
    /// Report outcomes.
    Feedback,
    /// Register and archive versions, of some models or of all.
    Publisher,
    /// Move aliases and change traffic, of some models and aliases or of all.
    Promoter,
    /// Everything, and alone: override gates, load and unload, change the server's settings.
    Admin,
}

/// What a method asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: health.
    Nothing,
    /// To be known, whatever the role.
    Known,
    /// A role, for whatever the request names.
    Role(Role),
}

/// In the order of the documentation.
const ROLES: [(Role, &str); 6] = [
    (Role::Viewer, "viewer"),
    (Role::Scorer, "scorer"),
    (Role::Feedback, "feedback"),
    (Role::Publisher, "publisher"),
    (Role::Promoter, "promoter"),
    (Role::Admin, "admin"),
];

impl Need {
    /// Whether whoever has it may change something, so that its use belongs into the audit trail.
    pub(crate) fn changes(self) -> bool {
        matches!(self, Self::Role(Role::Publisher | Role::Promoter | Role::Admin))
    }
}

impl Role {
    /// As it stands in the access file.
    pub(crate) fn name(self) -> &'static str {
        ROLES.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name)
    }
}

/// A role, and the models and aliases that it holds for.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(super) role: Role,
    models: Option<GlobMatcher>,
    aliases: Option<GlobMatcher>,
}

impl Grant {
    /// Reads `ROLE`, `publisher:MODELS`, `promoter:MODELS` or `promoter:MODELS@ALIASES`, where the
    /// last two are globs.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, scope) = match text.split_once(':') {
            Some((name, scope)) => (name, Some(scope)),
            None => (text, None),
        };
        let Some(role) = ROLES.iter().find(|(_, known)| *known == name).map(|(role, _)| *role)
        else {
            let names = ROLES.map(|(_, name)| name).join(", ");
            return Err(format!("no role {name:?}; expected one of {names}"));
        };
        let Some(scope) = scope else { return Ok(Self { role, models: None, aliases: None }) };
        let (models, aliases) = match (role, scope.split_once('@')) {
            (Role::Promoter, Some((models, aliases))) => (models, Some(aliases)),
            (Role::Promoter | Role::Publisher, None) => (scope, None),
            (Role::Publisher, Some(_)) => {
                return Err(format!("{text:?}: a publisher is for models, and not for aliases"));
            }
            _ => {
                return Err(format!(
                    "{text:?}: only publisher:MODELS and promoter:MODELS@ALIASES can be narrowed"
                ));
            }
        };
        let models = Some(glob(models)?);
        let aliases = aliases.map(glob).transpose()?;
        Ok(Self { role, models, aliases })
    }

    /// Whether it lets its holder do what takes `role` with a model, and with an alias if it is about
    /// one.
    pub(super) fn covers(&self, role: Role, model: &str, alias: Option<&str>) -> bool {
        let of_model = self.models.as_ref().is_none_or(|models| models.is_match(model));
        // What changes a model as a whole is not for those who have some of its aliases only.
        let of_alias = self
            .aliases
            .as_ref()
            .is_none_or(|aliases| alias.is_some_and(|alias| aliases.is_match(alias)));
        self.role == role && of_model && of_alias
    }
}

pub(super) fn glob(text: &str) -> Result<GlobMatcher, String> {
    if text.is_empty() {
        return Err("an empty pattern; say * for all".to_owned());
    }
    Glob::new(text).map(|glob| glob.compile_matcher()).map_err(|error| error.to_string())
}
