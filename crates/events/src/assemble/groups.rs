//! Which profile each event belongs to, and the profiles' histories.

use super::identity::Id;
use super::store::Store;
use crate::{History, Symbol, Symbols};

/// Profiles by number, in the order in which they appear.
pub(super) struct Groups {
    owners: Vec<Id>,
    of_row: Vec<u32>,
    /// Number of the profile of each id, for users and for anonymous ids.
    numbers: [Vec<u32>; 2],
}

/// No profile.
const NONE: u32 = u32::MAX;

impl Groups {
    /// No row belongs to a profile yet.
    pub(super) fn new(n_rows: usize, n_ids: usize) -> Self {
        let numbers = [vec![NONE; n_ids], vec![NONE; n_ids]];
        Self { owners: Vec::new(), of_row: vec![NONE; n_rows], numbers }
    }

    /// Gives a row to the profile of `owner`.
    pub(super) fn put(&mut self, row: usize, owner: Id) {
        let number = &mut self.numbers[usize::from(owner.is_user)][owner.symbol.index()];
        if *number == NONE {
            *number = self.owners.len() as u32;
            self.owners.push(owner);
        }
        self.of_row[row] = *number;
    }

    /// The profiles in the order of their names, each with its rows.
    pub(super) fn by_name(self, ids: &Symbols) -> Profiles {
        let mut named: Vec<(String, bool, usize)> = (0..self.owners.len())
            .map(|group| {
                let owner = self.owners[group];
                (owner.profile(ids), owner.is_user, group)
            })
            .collect();
        named.sort_unstable();
        let mut place = vec![0; named.len()];
        for (rank, &(_, _, group)) in named.iter().enumerate() {
            place[group] = rank;
        }
        let is_placed = |group: &u32| *group != NONE;
        let mut ends = vec![0usize; named.len() + 1];
        for &group in self.of_row.iter().filter(|group| is_placed(group)) {
            ends[place[group as usize] + 1] += 1;
        }
        for rank in 0..named.len() {
            ends[rank + 1] += ends[rank];
        }
        let n_placed = ends[named.len()];
        let mut rows = vec![0u32; n_placed];
        for (row, &group) in self.of_row.iter().enumerate().filter(|(_, group)| is_placed(group)) {
            // What begins as the end of the profile before becomes the end of this one.
            let next = &mut ends[place[group as usize]];
            rows[*next] = row as u32;
            *next += 1;
        }
        ends.truncate(named.len());
        let owners = named.into_iter().map(|(_, _, group)| self.owners[group]).collect();
        Profiles { owners, ends, rows }
    }
}

/// Profiles in the order of their names.
pub(super) struct Profiles {
    owners: Vec<Id>,
    /// By profile: one past the last of its `rows`.
    ends: Vec<usize>,
    rows: Vec<u32>,
}

impl Profiles {
    pub(super) fn owners(&self) -> impl Iterator<Item = Id> {
        self.owners.iter().copied()
    }

    /// One history a profile; `users` are the symbols of their names. The threads take stretches of
    /// profiles with about as many rows each.
    pub(super) fn histories(
        &self,
        store: &Store,
        users: &[Symbol],
        n_threads: usize,
    ) -> Vec<History> {
        let share = self.rows.len().div_ceil(n_threads.max(1)).max(1);
        let (mut first, mut start) = (0, 0);
        std::thread::scope(|scope| {
            let mut workers = Vec::new();
            while first < users.len() {
                let full = self.ends[first..].partition_point(|&end| end - start < share);
                let last = (first + full + 1).min(users.len());
                let (users, ends) = (&users[first..last], &self.ends[first..last]);
                let work = move || stretch(store, users, ends, start, &self.rows);
                start = ends[ends.len() - 1];
                first = last;
                workers.push(scope.spawn(work));
            }
            let joined = workers.into_iter().map(|worker| match worker.join() {
                Ok(histories) => histories,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.flatten().collect()
        })
    }
}

/// The histories of neighbouring profiles, whose rows begin at `start`.
fn stretch(
    store: &Store,
    users: &[Symbol],
    ends: &[usize],
    mut start: usize,
    rows: &[u32],
) -> Vec<History> {
    let mut histories = Vec::with_capacity(users.len());
    let mut times = Vec::new();
    for (&user, &end) in users.iter().zip(ends) {
        histories.push(store.history(user, &rows[start..end], &mut times));
        start = end;
    }
    histories
}
