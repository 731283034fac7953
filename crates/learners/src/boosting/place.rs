//! What a leaf's path leaves it: bounds on its value, columns it may ask about, draws of its own.

use std::borrow::Cow;

use crate::sampling::{draw_columns, generator, hashed};
use crate::split::{Bounds, Candidate, Judge, Monotone};

/// Rules that follow the path from the root to a leaf.
#[derive(Debug, Clone)]
pub(super) struct PathRules {
    /// Columns that may meet on one path, each list ascending; empty if all may.
    pub(super) interactions: Vec<Vec<u32>>,
    /// Share of the columns drawn for each leaf.
    pub(super) column_share: f64,
    /// Whether one random question a column is tried.
    pub(super) extra_trees: bool,
}

impl PathRules {
    /// With one more group for the columns that are in none.
    pub(super) fn new(
        interactions: &[Vec<u32>],
        n_columns: usize,
        column_share: f64,
        extra_trees: bool,
    ) -> Self {
        let mut interactions = interactions.to_vec();
        if !interactions.is_empty() {
            interactions.iter_mut().for_each(|group| group.sort_unstable());
            let in_none = |column: &u32| interactions.iter().all(|group| !group.contains(column));
            let rest: Vec<u32> = (0..n_columns as u32).filter(in_none).collect();
            interactions.push(rest);
        }
        Self { interactions, column_share, extra_trees }
    }
}

/// Where a leaf is in its tree.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// A hash of the turns from the root: the seed of the leaf's draws, whatever the order in which leaves
    /// are split.
    key: u64,
    bounds: Bounds,
    /// Interaction groups that hold every column of the path.
    groups: Vec<u32>,
}

impl Place {
    pub(super) fn root(key: u64, rules: &PathRules) -> Self {
        let groups = (0..rules.interactions.len() as u32).collect();
        Self { key, bounds: Bounds::FREE, groups }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The leaf's draw for random questions.
    pub(super) fn draw(&self, rules: &PathRules) -> Option<u64> {
        rules.extra_trees.then_some(self.key)
    }

    /// Those of the tree's columns (ascending) that the leaf may ask about.
    pub(super) fn columns<'a>(&self, of_tree: &'a [u32], rules: &PathRules) -> Cow<'a, [u32]> {
        let mut columns = Cow::Borrowed(of_tree);
        if !rules.interactions.is_empty() {
            let group = |&group: &u32| &rules.interactions[group as usize];
            let may_meet = |column: &u32| {
                self.groups.iter().map(group).any(|group| group.binary_search(column).is_ok())
            };
            columns.to_mut().retain(may_meet);
        }
        if rules.column_share < 1.0 {
            let mut generator = generator(self.key, 0);
            columns = draw_columns(columns.into_owned(), rules.column_share, &mut generator).into();
        }
        columns
    }

    /// The places of both children.
    pub(super) fn split(
        &self,
        split: &Candidate,
        monotone: Monotone,
        judge: &Judge<'_>,
        rules: &PathRules,
    ) -> [Self; 2] {
        let bounds = match monotone {
            Monotone::Free => [self.bounds; 2],
            _ => self.bounds.split(monotone, judge.value(split.left), judge.value(split.right)),
        };
        let holds =
            |group: &u32| rules.interactions[*group as usize].binary_search(&split.column).is_ok();
        let groups: Vec<u32> = self.groups.iter().copied().filter(holds).collect();
        [0, 1].map(|side| Self {
            key: hashed(self.key, side),
            bounds: bounds[side as usize],
            groups: groups.clone(),
        })
    }
}
