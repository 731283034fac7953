//! From a selector to the version that answers.

use std::sync::Arc;

use segue_api::v1 as pb;
use segue_registry::{CHAMPION, check_alias_name, check_model_name};

use super::{LiveModel, ServedVersion, Snapshot};
use crate::{Reason, ServingError, Violation};

/// Why a version was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// It is the champion.
    Champion,
    /// The request named it.
    Pinned,
}

/// A version that answers, and the state in which it was found.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    pub(crate) served: Arc<ServedVersion>,
    pub(crate) generation: u64,
    pub(crate) variant: Variant,
}

impl Snapshot {
    /// Looks up every selector. Bad names are found all at once.
    pub(crate) fn select_all(
        &self,
        selectors: &[pb::ModelSelector],
    ) -> Result<Vec<Selected>, ServingError> {
        if selectors.is_empty() {
            let description = "select at least one model";
            return Err(ServingError::invalid("models", Reason::ModelsAbsent, description));
        }
        let mut violations = Vec::new();
        for (index, selector) in selectors.iter().enumerate() {
            let path = format!("models[{index}]");
            check_selector(selector, &path, &mut violations);
            if selectors[..index].iter().any(|earlier| earlier.model == selector.model) {
                let (field, reason) = (format!("{path}.model"), Reason::ModelRepeated);
                let description = "each model may be selected once".to_owned();
                violations.push(Violation { field, reason, description });
            }
        }
        if !violations.is_empty() {
            return Err(ServingError::Invalid(violations));
        }
        selectors.iter().map(|selector| self.find(selector)).collect()
    }

    /// Looks up one selector, found under `path` in the request.
    pub(crate) fn select(
        &self,
        selector: &pb::ModelSelector,
        path: &str,
    ) -> Result<Selected, ServingError> {
        let mut violations = Vec::new();
        check_selector(selector, path, &mut violations);
        if violations.is_empty() {
            self.find(selector)
        } else {
            Err(ServingError::Invalid(violations))
        }
    }

    fn find(&self, selector: &pb::ModelSelector) -> Result<Selected, ServingError> {
        use pb::model_selector::Choice;
        let model = &selector.model;
        if !self.started {
            let (model, detail) = (model.clone(), "the registry is being read".to_owned());
            return Err(ServingError::NotReady { model, detail });
        }
        let Some(live) = self.models.get(model) else {
            return Err(ServingError::ModelNotFound { model: model.clone() });
        };
        let (served, variant) = match &selector.choice {
            None => (live.alias(model, CHAMPION)?, Variant::Champion),
            Some(Choice::Alias(alias)) => (live.alias(model, alias)?, variant_of(alias)),
            Some(Choice::Version(version)) => {
                // Checked to be positive.
                (live.pinned(model, version.unsigned_abs())?, Variant::Pinned)
            }
        };
        Ok(Selected { served: Arc::clone(served), generation: live.generation, variant })
    }
}

fn variant_of(alias: &str) -> Variant {
    if alias == CHAMPION { Variant::Champion } else { Variant::Pinned }
}

impl LiveModel {
    fn alias(&self, model: &str, alias: &str) -> Result<&Arc<ServedVersion>, ServingError> {
        if let Some(served) = self.aliases.get(alias) {
            return Ok(served);
        }
        let model = model.to_owned();
        if self.unloaded_aliases.contains(alias) {
            let detail = match &self.load_error {
                Some(error) => format!("its version could not be loaded: {error}"),
                None => "its version is being loaded".to_owned(),
            };
            return Err(ServingError::NotReady { model, detail });
        }
        Err(ServingError::AliasNotFound { model, alias: alias.to_owned() })
    }

    fn pinned(&self, model: &str, version: u64) -> Result<&Arc<ServedVersion>, ServingError> {
        let not_here = || {
            let model = model.to_owned();
            if self.published.contains(&version) {
                ServingError::VersionNotLoaded { model, version }
            } else {
                ServingError::VersionNotFound { model, version }
            }
        };
        self.version(version).ok_or_else(not_here)
    }
}

fn check_selector(selector: &pb::ModelSelector, path: &str, violations: &mut Vec<Violation>) {
    use pb::model_selector::Choice;
    let mut bad = |field: &str, reason, description: &str| {
        let (field, description) = (format!("{path}.{field}"), description.to_owned());
        violations.push(Violation { field, reason, description });
    };
    if check_model_name(&selector.model).is_err() {
        bad("model", Reason::ModelNameInvalid, "expected [a-z0-9][a-z0-9._-]{0,127}");
    }
    match &selector.choice {
        Some(Choice::Alias(alias)) if check_alias_name(alias).is_err() => {
            bad("alias", Reason::AliasInvalid, "expected [a-z0-9][a-z0-9._-]{0,127}, not a number");
        }
        Some(Choice::Version(version)) if *version < 1 => {
            bad("version", Reason::FieldInvalid, "versions count from 1");
        }
        Some(Choice::Alias(_) | Choice::Version(_)) | None => {}
    }
}
