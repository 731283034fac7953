//! Outcomes in memory, by prediction and so by time: what is too old, or too much, leaves from the
//! front.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::outcome::{Held, NewOutcome, Verdict};
use crate::prediction_log::PredictionId;

/// The outcomes in memory.
#[derive(Debug, Default)]
pub(crate) struct Known {
    held: BTreeMap<PredictionId, Held>,
    /// Outcomes of predictions before this have been let go, in microseconds.
    let_go_before_us: i64,
    /// The newest prediction whose outcome had to make room.
    let_go: Option<PredictionId>,
    /// The most that were ever held.
    #[cfg(test)]
    pub(super) n_most: usize,
}

impl Known {
    /// What is known of a prediction.
    pub(super) fn get(&self, id: PredictionId) -> Option<&Held> {
        self.held.get(&id)
    }

    /// Takes an outcome in as it was judged.
    pub(super) fn take(&mut self, outcome: &NewOutcome, verdict: Verdict, received_us: i64) {
        match self.held.entry(outcome.id) {
            Entry::Vacant(entry) => {
                entry.insert(outcome.first(received_us));
            }
            Entry::Occupied(mut entry) => outcome.change(entry.get_mut(), verdict, received_us),
        }
        #[cfg(test)]
        {
            self.n_most = self.n_most.max(self.held.len());
        }
    }

    /// Takes in what a file says. It was judged when it was written: nothing is refused now, for who
    /// gave it was told that it counts.
    pub(super) fn replay(&mut self, outcome: &NewOutcome, received_us: i64) {
        // It had to leave, and what came before it with it.
        if self.let_go.is_some_and(|let_go| outcome.id <= let_go) {
            return;
        }
        match outcome.judge(self.get(outcome.id)) {
            Verdict::Duplicate | Verdict::RequestIdReused => {}
            verdict => self.take(outcome, verdict, received_us),
        }
    }

    /// Has a prediction be known as it was before.
    pub(super) fn restore(&mut self, id: PredictionId, before: Option<Held>) {
        match before {
            Some(held) => self.held.insert(id, held),
            None => self.held.remove(&id),
        };
    }

    /// Lets go of what is too old, then of what is too much; how many were too much.
    pub(super) fn shrink(&mut self, oldest_us: i64, max: usize) -> u64 {
        let mut n_let_go = 0;
        while let Some((&id, _)) = self.held.first_key_value() {
            let is_old = id.time_us() < oldest_us;
            if !is_old && self.held.len() <= max {
                break;
            }
            if !is_old {
                n_let_go += 1;
                self.let_go = self.let_go.max(Some(id));
                self.let_go_before_us = self.let_go_before_us.max(id.time_us() + 1000);
            }
            self.held.pop_first();
        }
        n_let_go
    }

    /// Outcomes of predictions before this would be judged without what has been let go, in
    /// microseconds.
    pub(super) fn let_go_before_us(&self) -> i64 {
        self.let_go_before_us
    }

    /// How many predictions have an outcome.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// All of them.
    pub(crate) fn into_all(self) -> BTreeMap<PredictionId, Held> {
        self.held
    }

    /// Outcomes of predictions made from `start_us` to before `end_us`.
    pub(crate) fn between(&self, start_us: i64, end_us: i64) -> BTreeMap<PredictionId, Held> {
        let range = PredictionId::first_at(start_us)..PredictionId::first_at(end_us);
        if range.is_empty() {
            return BTreeMap::new();
        }
        self.held.range(range).map(|(id, held)| (*id, held.clone())).collect()
    }
}
