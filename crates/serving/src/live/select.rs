//! From a selector to the version that answers.

use std::borrow::Cow;
use std::sync::Arc;

use segue_api::v1 as pb;
use segue_registry::{CHAMPION, check_alias_name, check_model_name};

use super::{LiveModel, ServedVersion, Snapshot};
use crate::traffic::{Canary, Split};
use crate::{Reason, ServingError, Violation};

/// Why a version was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// It is the champion.
    Champion,
    /// The request named it.
    Pinned,
    /// The key of the row falls into its share.
    Canary,
}

impl Variant {
    /// Each at its own place, `variant as usize`.
    pub(crate) const ALL: [Self; 3] = [Self::Champion, Self::Pinned, Self::Canary];

    /// As metrics name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Pinned => "pinned",
            Self::Canary => "canary",
        }
    }
}

/// A version that answers, and the state in which it was found.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    pub(crate) served: Arc<ServedVersion>,
    pub(crate) generation: u64,
    pub(crate) variant: Variant,
    /// Its place in [`Selection::versions`].
    pub(crate) slot: u32,
}

impl Selected {
    /// The guard of the traffic judges what comes to a version by its place. Who names a version gets
    /// what is asked for, a backfill of old rows for example, and says nothing about it.
    fn is_judged(&self) -> bool {
        self.variant != Variant::Pinned
    }

    /// A row was scored, for the guard.
    pub(crate) fn scored(&self, score: f64) {
        if self.is_judged() {
            self.served.stats.behaviour.scored(score, self.served.model.target());
        }
    }

    /// Rows were refused, fell back to another version, or panicked, for the guard.
    pub(crate) fn failed(&self, n_rows: u64) {
        if self.is_judged() {
            self.served.stats.behaviour.failed(n_rows);
        }
    }
}

/// What a request selects: a version for each selector, and of those that name none perhaps a canary.
#[derive(Debug)]
pub(crate) struct Selection {
    /// The versions of all selectors in their order, then the canaries.
    versions: Vec<Selected>,
    n_models: usize,
    /// Of the selectors that are subject to one: which, and its split.
    splits: Vec<(usize, Arc<Split>)>,
}

impl Selection {
    /// Every version that a row may go to: first those of [`unsplit`](Self::unsplit).
    pub(crate) fn versions(&self) -> &[Selected] {
        &self.versions
    }

    /// The versions of the selectors for rows that no canary takes.
    pub(crate) fn unsplit(&self) -> &[Selected] {
        &self.versions[..self.n_models]
    }

    /// The versions that a row with this key goes to, one a selector. An empty key is no canary's.
    /// Allocates for rows of a canary only.
    pub(crate) fn route(&self, key: &str) -> Cow<'_, [Selected]> {
        let mut routed = Cow::Borrowed(self.unsplit());
        for (model, canary, selected) in self.canaries() {
            if canary.share.holds(key) {
                routed.to_mut()[model] = selected.clone();
            }
        }
        routed
    }

    /// Puts the champion in the place of every canary that `gives_way`.
    pub(crate) fn fall_back(
        &self,
        routed: &mut [Selected],
        mut gives_way: impl FnMut(&Selected) -> bool,
    ) {
        for (champion, selected) in self.unsplit().iter().zip(routed) {
            if selected.variant == Variant::Canary && gives_way(selected) {
                *selected = champion.clone();
            }
        }
    }

    /// Counts `n_rows` that these versions answered although a canary might have: they have no key, or
    /// the canary gave way.
    pub(crate) fn count_unplaced(&self, key: &str, answering: &[Selected], n_rows: usize) {
        for (model, canary, _) in self.canaries() {
            if key.is_empty() {
                canary.keyless.inc_by(n_rows as u64);
            } else if canary.share.holds(key) && answering[model].variant != Variant::Canary {
                canary.fallbacks.inc_by(n_rows as u64);
            }
        }
    }

    /// The splits, each with its selector.
    pub(crate) fn splits(&self) -> impl Iterator<Item = (usize, &Arc<Split>)> {
        self.splits.iter().map(|(model, split)| (*model, split))
    }

    /// Whether any row may have to be kept for shadows.
    pub(crate) fn is_mirrored(&self) -> bool {
        self.splits.iter().any(|(_, split)| split.mirror.is_some())
    }

    fn canaries(&self) -> impl Iterator<Item = (usize, &Canary, &Selected)> {
        let canaries = self
            .splits
            .iter()
            .filter_map(|(model, split)| split.canary.as_ref().map(|canary| (*model, canary)));
        let selected = &self.versions[self.n_models..];
        canaries.zip(selected).map(|((model, canary), selected)| (model, canary, selected))
    }
}

impl Snapshot {
    /// Looks up every selector. Bad names are found all at once.
    pub(crate) fn select_all(
        &self,
        selectors: &[pb::ModelSelector],
    ) -> Result<Selection, ServingError> {
        if selectors.is_empty() {
            let description = "select at least one model";
            return Err(ServingError::invalid("models", Reason::ModelsAbsent, description));
        }
        let mut violations = Vec::new();
        for (index, selector) in selectors.iter().enumerate() {
            let path = || format!("models[{index}]");
            check_selector(selector, path, &mut violations);
            if selectors[..index].iter().any(|earlier| earlier.model == selector.model) {
                let (field, reason) = (format!("{}.model", path()), Reason::ModelRepeated);
                let description = "each model may be selected once".to_owned();
                violations.push(Violation { field, reason, description });
            }
        }
        if !violations.is_empty() {
            return Err(ServingError::Invalid(violations));
        }
        let mut versions = Vec::with_capacity(selectors.len());
        let mut splits = Vec::new();
        for (model, selector) in selectors.iter().enumerate() {
            let (selected, split) = self.find(selector)?;
            versions.push(Selected { slot: model as u32, ..selected });
            splits.extend(split.map(|split| (model, Arc::clone(split))));
        }
        for (model, split) in &splits {
            let generation = versions[*model].generation;
            let Some(canary) = &split.canary else { continue };
            versions.push(Selected {
                served: Arc::clone(&canary.served),
                generation,
                variant: Variant::Canary,
                slot: versions.len() as u32,
            });
        }
        Ok(Selection { versions, n_models: selectors.len(), splits })
    }

    /// Looks up one selector, found under `path` in the request: what it gives without a split.
    pub(crate) fn select(
        &self,
        selector: &pb::ModelSelector,
        path: &str,
    ) -> Result<Selected, ServingError> {
        let mut violations = Vec::new();
        check_selector(selector, || path.to_owned(), &mut violations);
        if violations.is_empty() {
            Ok(self.find(selector)?.0)
        } else {
            Err(ServingError::Invalid(violations))
        }
    }

    /// What the selector gives without a split, and the split if it is subject to one.
    fn find(
        &self,
        selector: &pb::ModelSelector,
    ) -> Result<(Selected, Option<&Arc<Split>>), ServingError> {
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
        let served = Arc::clone(served);
        let selected = Selected { served, generation: live.generation, variant, slot: 0 };
        Ok((selected, live.split.as_ref().filter(|_| selector.choice.is_none())))
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

fn check_selector(
    selector: &pb::ModelSelector,
    path: impl Fn() -> String,
    violations: &mut Vec<Violation>,
) {
    use pb::model_selector::Choice;
    let mut bad = |field: &str, reason, description: &str| {
        let (field, description) = (format!("{}.{field}", path()), description.to_owned());
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
