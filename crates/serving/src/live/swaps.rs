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

    /// Requests get `champion` since `now`: for how long that was due, if it was.
    pub(super) fn done(
        &mut self,
        name: &str,
        champion: Option<u64>,
        now: Instant,
    ) -> Option<Duration> {
        let due = self.due.remove(name)?;
        (due.champion == champion).then(|| now.duration_since(due.seen))
    }

    /// The model is gone, and nothing of it is due any more.
    pub(super) fn forget(&mut self, name: &str) {
        self.due.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "churn";

    #[test]
    fn a_swap_takes_from_the_first_sight_of_its_champion() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let took = |seconds: u64| Some(Duration::from_secs(seconds));
        let mut swaps = Swaps::default();
        assert_eq!(swaps.done(NAME, Some(1), at(0)), None, "nobody has asked for it");

        // Neither further looks nor other changes begin it anew.
        for seconds in [1, 4, 6] {
            swaps.look(NAME, Some(1), Some(2), at(seconds));
        }
        assert_eq!(swaps.done(NAME, Some(2), at(8)), took(7));
        assert_eq!(swaps.done(NAME, Some(2), at(9)), None, "it was told");

        // What was wanted and never came is no part of what is wanted instead.
        swaps.look(NAME, Some(2), Some(3), at(10));
        swaps.look(NAME, Some(2), Some(1), at(20));
        assert_eq!(swaps.done(NAME, Some(3), at(21)), None, "it came too late");
        swaps.look(NAME, Some(2), Some(3), at(30));
        swaps.look(NAME, Some(2), Some(1), at(40));
        assert_eq!(swaps.done(NAME, Some(1), at(42)), took(2));

        // Taken back before it came, and a model that is gone.
        swaps.look(NAME, Some(1), Some(2), at(50));
        swaps.look(NAME, Some(1), Some(1), at(51));
        assert_eq!(swaps.done(NAME, Some(2), at(52)), None);
        swaps.look(NAME, Some(1), Some(2), at(60));
        swaps.forget(NAME);
        assert_eq!(swaps.done(NAME, Some(2), at(61)), None);
    }
}
