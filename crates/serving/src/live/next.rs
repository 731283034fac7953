//! From a state of the registry to what is served of it, with the versions that are there by now.

use std::collections::BTreeMap;
use std::sync::Arc;

use segue_registry::{CHAMPION, ModelState};

use super::{LiveModel, ServedVersion};
use crate::metrics::Metrics;
use crate::traffic::Split;

/// A version that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is being loaded; why it could not be when it was last tried, if it was.
    Pending(Option<String>),
    Failed(String),
}

impl Missing {
    /// Whether it has not been tried before.
    fn is_coming(&self) -> bool {
        *self == Self::Pending(None)
    }

    fn error(&self) -> Option<&String> {
        match self {
            Self::Pending(before) => before.as_ref(),
            Self::Failed(error) => Some(error),
        }
    }
}

/// Fills `next` from the registry's aliases, and tells whether any is being loaded for the first time. An
/// alias whose version is not there keeps what it gave.
pub(super) fn fill_aliases(
    now: Option<&LiveModel>,
    state: &ModelState,
    mut get: impl FnMut(u64) -> Result<Arc<ServedVersion>, Missing>,
    next: &mut LiveModel,
) -> bool {
    let mut is_coming = false;
    for (alias, &version) in &state.aliases {
        let served = get(version);
        if let Err(missing) = &served {
            is_coming |= missing.is_coming();
            if let Some(error) = missing.error() {
                next.load_error = Some(format!("version {version}: {error}"));
            }
        }
        let kept = || now.and_then(|now| now.aliases.get(alias)).map(Arc::clone);
        match served.ok().or_else(kept) {
            Some(served) => drop(next.aliases.insert(alias.clone(), served)),
            None => drop(next.unloaded_aliases.insert(alias.clone())),
        }
    }
    let before = now.and_then(|now| now.aliases.get(CHAMPION));
    let after = next.aliases.get(CHAMPION);
    next.previous = match (before, after) {
        (Some(before), Some(after)) if before.version != after.version => Some(Arc::clone(before)),
        _ => now.and_then(|now| now.previous.clone()),
    };
    // It is kept for a rollback, and to an archived one there is none.
    next.previous = next.previous.take().filter(|one| !state.archived.contains(&one.version));
    is_coming
}

/// Says which state `next` is of, when it has been filled.
///
/// It is the champion's: an alias, a canary or a shadow that failed must not make an old state of a
/// champion that is new. While anything is being loaded for the first time, the state is not in effect
/// yet, unless its champion is.
pub(super) fn place(
    now: Option<&LiveModel>,
    state: &ModelState,
    is_coming: bool,
    next: &mut LiveModel,
) {
    let version = |aliases: &BTreeMap<String, Arc<ServedVersion>>| {
        aliases.get(CHAMPION).map(|champion| champion.version)
    };
    let served = version(&next.aliases);
    let is_kept = served != state.aliases.get(CHAMPION).copied();
    let is_swapped = served != now.and_then(|now| version(&now.aliases));
    (next.generation, next.etag) = if is_kept || (is_coming && !is_swapped) {
        now.map(|now| (now.generation, now.etag.clone())).unwrap_or_default()
    } else {
        (state.generation, state.etag.clone())
    };
}

/// Fills `next` from the traffic policy, and tells whether any version of it is being loaded for the
/// first time. A canary that is not there has no share: the champion, which is proven, answers instead.
/// A shadow that is not there is left out.
pub(super) fn fill_traffic(
    state: &ModelState,
    mut get: impl FnMut(u64) -> Result<Arc<ServedVersion>, Missing>,
    metrics: &Metrics,
    next: &mut LiveModel,
) -> bool {
    let Some(traffic) = &state.traffic else { return false };
    let mut is_coming = false;
    let mut errors = Vec::new();
    let mut get = |role: &str, version: u64| match get(version) {
        Ok(served) => {
            next.in_traffic.push(Arc::clone(&served));
            Some(served)
        }
        Err(missing) => {
            is_coming |= missing.is_coming();
            errors
                .extend(missing.error().map(|error| format!("{role} version {version}: {error}")));
            None
        }
    };
    let canary = traffic.canary_version.and_then(|version| get("canary", version));
    let shadows = traffic.shadow_versions.iter().filter_map(|&version| get("shadow", version));
    let mut shadows: Vec<Arc<ServedVersion>> = shadows.collect();
    if !errors.is_empty() {
        next.traffic_error = Some(errors.join("; "));
    }
    let champion = next.aliases.get(CHAMPION).map(|champion| champion.version);
    // A champion has all the traffic already, and no difference to itself.
    let canary = canary.filter(|canary| champion.is_some_and(|one| one != canary.version));
    shadows.retain(|shadow| champion != Some(shadow.version));
    next.split = Split::new(&state.model, traffic, canary, shadows, metrics).map(Arc::new);
    is_coming
}
