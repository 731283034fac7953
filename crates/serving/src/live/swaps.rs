//! How long swaps take: from when the registry is first seen to name another champion until requests get
//! it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Swaps that are due, by model.
#[derive(Debug, Default)]
pub(super) struct Swaps {
    due: BTreeMap<String, Due>,
}

#[derive(Debug)]
struct Due {
    /// What requests will get; `None` if the alias is gone.
    champion: Option<u64>,
    seen: Instant,
}

impl Swaps {
    /// The registry names `wanted` while requests get `served`, as was seen at `seen`. A swap that was
    /// due before has been so since then, however often it is looked at and whatever else has changed.
    pub(super) fn look(
        &mut self,
        name: &str,
        served: Option<u64>,
        wanted: Option<u64>,
        seen: Instant,
    ) {
        if served == wanted {
            self.due.remove(name);
            return;
        }
        let is_known = self.due.get(name).is_some_and(|due| due.champion == wanted);
        if !is_known {
            self.due.insert(name.to_owned(), Due { champion: wanted, seen });
        }
    }

    /// Requests get `champion` from now on: for how long that was due, if it was.
    pub(super) fn done(&mut self, name: &str, champion: Option<u64>) -> Option<Duration> {
        let due = self.due.remove(name)?;
        (due.champion == champion).then(|| due.seen.elapsed())
    }

    /// The model is gone, and nothing of it is due any more.
    pub(super) fn forget(&mut self, name: &str) {
        self.due.remove(name);
    }
}
