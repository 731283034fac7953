//! Which profile each event belongs to, and the profiles' histories.
//!
//! Threads take stretches of neighbouring rows first and stretches of profiles then; where one ends and
//! the next begins shows in nothing that comes out.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::identity::{Id, Links};
use super::store::Store;
use super::{AssembleOptions, LogCounts};
use crate::{History, Micros, Symbol, Symbols};

/// Rows below which a thread of its own is not worth it; in tests few, so that there are several stretches.
const MIN_PART_ROWS: usize = if cfg!(test) { 3 } else { 1 << 16 };

/// Stretches of profiles that a thread takes, about.
const TURNS: usize = 8;

/// Profiles by number: that of an id is twice its symbol's, and one more for users.
type Number = u32;

/// No profile.
const NONE: Number = Number::MAX;

fn number_of(owner: Id) -> Number {
    owner.symbol.index() as Number * 2 + Number::from(owner.is_user)
}

fn owner_of(number: Number) -> Id {
    Id { is_user: number % 2 == 1, symbol: Symbol::at(number / 2) }
}

/// The rows of all profiles, as they lie.
pub(super) struct Groups {
    parts: Vec<Part>,
}

/// Some neighbouring rows.
struct Part {
    first_row: usize,
    /// By row.
    numbers: Vec<Number>,
    /// By number of the profile.
    n_rows: Vec<u32>,
    counts: LogCounts,
    /// Rows that a link makes known later than they say, and when.
    linked: Vec<(u32, Micros)>,
}

impl Groups {
    /// Gives every row that is kept to its profile.
    ///
    /// # Panics
    /// With 2^31 distinct ids or more.
    pub(super) fn of(
        store: &Store,
        is_kept: &[bool],
        links: &Links,
        options: &AssembleOptions,
        n_threads: usize,
    ) -> Self {
        assert!(store.ids.len() < 1 << 31, "more than 2^31 distinct ids");
        let share = store.len().div_ceil(n_threads.max(1)).max(MIN_PART_ROWS);
        let starts = (0..store.len()).step_by(share);
        let parts = starts.map(|start| {
            let rows = start..(start + share).min(store.len());
            move || Part::of(store, is_kept, links, options, rows)
        });
        Self { parts: on_threads(parts.collect()) }
    }

    /// What was counted on the way.
    pub(super) fn counts(&self) -> impl Iterator<Item = &LogCounts> {
        self.parts.iter().map(|part| &part.counts)
    }

    /// Rows that a link makes known later than they say, and when.
    pub(super) fn linked(&self) -> impl Iterator<Item = (usize, Micros)> {
        let linked = self.parts.iter().flat_map(|part| &part.linked);
        linked.map(|&(row, known_ts)| (row as usize, known_ts))
    }

    /// The profiles in the order of their names, each with its rows.
    pub(super) fn by_name(self, ids: &Symbols) -> Profiles {
        let n_numbers = 2 * ids.len() as Number;
        let has_rows =
            |number: &Number| self.parts.iter().any(|part| part.n_rows[*number as usize] > 0);
        let named = |number: Number| {
            let owner = owner_of(number);
            (owner.profile(ids), owner.is_user, number)
        };
        let mut named: Vec<(Cow<'_, str>, bool, Number)> =
            (0..n_numbers).filter(has_rows).map(named).collect();
        named.sort_unstable();
        let mut places = vec![0u32; n_numbers as usize];
        for (place, &(_, _, number)) in (0..).zip(&named) {
            places[number as usize] = place;
        }
        let (places, n_profiles) = (&places, named.len());
        let placed = self.parts.into_iter().map(|part| move || part.placed(places, n_profiles));
        let parts = on_threads(placed.collect());
        Profiles {
            owners: named.into_iter().map(|(_, _, number)| owner_of(number)).collect(),
            parts,
        }
    }
}

impl Part {
    fn of(
        store: &Store,
        is_kept: &[bool],
        links: &Links,
        options: &AssembleOptions,
        rows: Range<usize>,
    ) -> Self {
        let first_row = rows.start;
        let mut n_rows = vec![0; 2 * store.ids.len()];
        let (mut counts, mut linked) = (LogCounts::default(), Vec::new());
        let number = |row: usize| {
            let own = store.own_id(row);
            let (owner, linked_ts) = links.resolve(own, store.event_ts(row), &store.ids);
            if !is_kept[row] || !counts.take(owner.is_user, linked_ts, options) {
                return NONE;
            }
            let number = number_of(owner);
            n_rows[number as usize] += 1;
            if let Some(linked_ts) = linked_ts.filter(|ts| *ts > store.known_ts(row)) {
                linked.push((row as u32, linked_ts));
            }
            number
        };
        let numbers = rows.map(number).collect();
        Self { first_row, numbers, n_rows, counts, linked }
    }

    /// The rows by place of their profile.
    fn placed(self, places: &[u32], n_profiles: usize) -> PlacedRows {
        let mut ends = vec![0u32; n_profiles + 1];
        for (&place, &n_rows) in places.iter().zip(&self.n_rows) {
            // numbers without rows have no place of their own, and add nothing to another's
            if n_rows > 0 {
                ends[place as usize + 1] = n_rows;
            }
        }
        for place in 0..n_profiles {
            ends[place + 1] += ends[place];
        }
        let mut rows = vec![0u32; ends[n_profiles] as usize];
        for (row, &number) in self.numbers.iter().enumerate().filter(|(_, number)| **number != NONE)
        {
            // What begins as the end of the profile before becomes the end of this one.
            let next = &mut ends[places[number as usize] as usize];
            rows[*next as usize] = (self.first_row + row) as u32;
            *next += 1;
        }
        ends.truncate(n_profiles);
        PlacedRows { ends, rows }
    }
}

/// Rows of one stretch, in the order of their profiles.
struct PlacedRows {
    /// By profile: one past the last of its `rows`.
    ends: Vec<u32>,
    rows: Vec<u32>,
}

impl PlacedRows {
    fn of(&self, profile: usize) -> &[u32] {
        let start = if profile == 0 { 0 } else { self.ends[profile - 1] };
        &self.rows[start as usize..self.ends[profile] as usize]
    }
}

/// Profiles in the order of their names.
pub(super) struct Profiles {
    owners: Vec<Id>,
    parts: Vec<PlacedRows>,
}

impl Profiles {
    pub(super) fn owners(&self) -> impl Iterator<Item = Id> {
        self.owners.iter().copied()
    }

    /// One history a profile; `users` are the symbols of their names. The threads take stretches of
    /// profiles with about as many rows each, several in turn: processors are not always equally fast.
    pub(super) fn histories(
        &self,
        store: &Store,
        users: &[Symbol],
        n_threads: usize,
    ) -> Vec<History> {
        let end = |profile: usize| {
            self.parts.iter().map(|part| part.ends[profile] as usize).sum::<usize>()
        };
        let n_rows = self.parts.iter().map(|part| part.rows.len()).sum::<usize>();
        let share = n_rows.div_ceil(n_threads.max(1) * TURNS).max(1);
        let (mut stretches, mut first, mut start) = (Vec::new(), 0, 0);
        for profile in 0..users.len() {
            if end(profile) - start >= share || profile + 1 == users.len() {
                stretches.push(first..profile + 1);
                (first, start) = (profile + 1, end(profile));
            }
        }
        let work = |profiles: Range<usize>| move || self.stretch(store, users, profiles);
        let histories = in_turn(stretches.into_iter().map(work).collect(), n_threads);
        histories.into_iter().flatten().collect()
    }

    fn stretch(&self, store: &Store, users: &[Symbol], profiles: Range<usize>) -> Vec<History> {
        let (mut rows, mut times) = (Vec::new(), Vec::new());
        let history = |profile: usize| {
            rows.clear();
            self.parts.iter().for_each(|part| rows.extend_from_slice(part.of(profile)));
            store.history(users[profile], &rows, &mut times)
        };
        profiles.map(history).collect()
    }
}

/// Does all works on so many threads, each of which takes the next when it is done with one; results are in
/// the order of the works.
fn in_turn<T: Send>(works: Vec<impl FnOnce() -> T + Send>, n_threads: usize) -> Vec<T> {
    let n_threads = n_threads.clamp(1, works.len().max(1));
    let queue = Mutex::new(works.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || {
        let mut done = Vec::new();
        while let Some((index, work)) = next() {
            done.push((index, work()));
        }
        done
    };
    let mut done = on_threads(vec![worker; n_threads]).into_iter().flatten().collect::<Vec<_>>();
    done.sort_unstable_by_key(|&(index, _)| index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Does every work on a thread of its own, the last on the caller's; a panic goes on to the caller.
fn on_threads<T: Send>(mut works: Vec<impl FnOnce() -> T + Send>) -> Vec<T> {
    let Some(own) = works.pop() else { return Vec::new() };
    std::thread::scope(|scope| {
        let others: Vec<_> = works.into_iter().map(|work| scope.spawn(work)).collect();
        let own = own();
        let mut done: Vec<T> = others
            .into_iter()
            .map(|other| match other.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect();
        done.push(own);
        done
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_works() {
        // One thread does the first and the last, the other one those between.
        let ((third_began, third), (last_began, last)) = (channel(), channel());
        let works: Vec<Box<dyn FnOnce() -> u8 + Send>> = vec![
            Box::new(move || {
                third.recv().unwrap();
                0
            }),
            Box::new(|| 1),
            Box::new(move || {
                third_began.send(()).unwrap();
                last.recv().unwrap();
                2
            }),
            Box::new(move || {
                last_began.send(()).unwrap();
                3
            }),
        ];
        assert_eq!(in_turn(works, 2), [0, 1, 2, 3]);
        assert_eq!(in_turn(vec![|| 7], 9), [7]);
        assert!(in_turn(Vec::<fn() -> u8>::new(), 2).is_empty());
    }
}
