//! What a path asks of one column, its questions merged.

use std::collections::BTreeSet;

use segue_model::{MissingRule, Node, Split};

/// Which way a path takes at a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side<'a> {
    /// Left: the answer is yes.
    Yes(&'a Node),
    /// Right: the answer is no.
    No(&'a Node),
}

/// An end of an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct End {
    /// Where.
    pub(super) at: f64,
    /// Whether `at` itself belongs to it.
    pub(super) is_in: bool,
}

/// Values of one column that a path lets through.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    /// Lower end, if any.
    pub(super) low: Option<End>,
    /// Upper end, if any.
    pub(super) high: Option<End>,
    /// Categories of which it must be one.
    pub(super) one_of: Option<BTreeSet<u32>>,
    /// Categories that it must not be.
    pub(super) none_of: BTreeSet<u32>,
    /// Whether a missing value goes this way too.
    pub(super) missing: bool,
}

impl Default for Condition {
    fn default() -> Self {
        Self { low: None, high: None, one_of: None, none_of: BTreeSet::new(), missing: true }
    }
}

impl Condition {
    /// Adds a question and the way it was answered.
    pub(super) fn narrow(&mut self, side: Side<'_>) {
        let (node, yes) = match side {
            Side::Yes(node) => (node, true),
            Side::No(node) => (node, false),
        };
        let missing_left = match node.missing {
            MissingRule::Left | MissingRule::ZeroLeft => true,
            MissingRule::Right | MissingRule::ZeroRight => false,
            MissingRule::AsZero => match &node.split {
                Split::AtMost(threshold) => 0.0 <= *threshold,
                Split::Below(threshold) => 0.0 < *threshold,
                Split::In(set) => set.contains(0.0),
            },
        };
        self.missing &= missing_left == yes;
        match (&node.split, yes) {
            (Split::AtMost(at), true) => self.at_most(End { at: *at, is_in: true }),
            (Split::AtMost(at), false) => self.at_least(End { at: *at, is_in: false }),
            (Split::Below(at), true) => self.at_most(End { at: *at, is_in: false }),
            (Split::Below(at), false) => self.at_least(End { at: *at, is_in: true }),
            (Split::In(set), true) => {
                let codes: BTreeSet<u32> = set.codes().collect();
                self.one_of = Some(match self.one_of.take() {
                    Some(before) => before.intersection(&codes).copied().collect(),
                    None => codes,
                });
            }
            (Split::In(set), false) => self.none_of.extend(set.codes()),
        }
        if let Some(one_of) = &mut self.one_of {
            one_of.retain(|code| !self.none_of.contains(code));
        }
    }

    fn at_most(&mut self, end: End) {
        let closer = |before: End| end.at < before.at || end.at == before.at && !end.is_in;
        if self.high.is_none_or(closer) {
            self.high = Some(end);
        }
    }

    fn at_least(&mut self, end: End) {
        let closer = |before: End| end.at > before.at || end.at == before.at && !end.is_in;
        if self.low.is_none_or(closer) {
            self.low = Some(end);
        }
    }
}
