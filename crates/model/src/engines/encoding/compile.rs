//! Collects what a model asks, and gives every question its columns.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::Encoding;
use super::categories::{Category, SETS_OF_BYTE};
use super::numbers::Number;
use super::sets::{InsideBits, Lookup};
use crate::courtesy::giving_way;
use crate::engines::thresholds::CHUNK;
use crate::{CategorySet, Ensemble, MissingRule, Node, Split};

/// Thresholds of a feature, at most: ranks are `u16`.
const MAX_THRESHOLDS: usize = u16::MAX as usize;
/// Byte columns, at most.
const MAX_BYTE_COLUMNS: usize = u16::MAX as usize;
/// Bytes of the tables of all category sets, at most.
const MAX_SET_BYTES: usize = 1 << 24;

/// What a node asks after encoding: right iff the row's rank in the column is greater; or the bits that
/// count of its byte.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engines) struct Question {
    pub(in crate::engines) rank_column: u32,
    pub(in crate::engines) rank: u16,
    pub(in crate::engines) byte_column: u16,
    pub(in crate::engines) mask: i8,
    pub(in crate::engines) byte: i8,
}

/// What engines are compiled from.
pub(in crate::engines) struct Encoded {
    pub(in crate::engines) encoding: Encoding,
    /// Of each node, tree by tree.
    pub(in crate::engines) questions: Vec<Question>,
    /// Of each of the encoding's categories.
    pub(in crate::engines) inside: Vec<InsideBits>,
}

/// `None` if a feature has more thresholds, or the model more columns or larger sets, than codes can tell
/// apart.
pub(in crate::engines) fn encode(ensemble: &Ensemble, n_columns: usize) -> Option<Encoded> {
    let mut asked = Asked::new(n_columns);
    for (index, node) in giving_way(&ensemble.trees).flat_map(|tree| &tree.nodes).enumerate() {
        asked.add(u32::try_from(index).ok()?, node);
    }
    asked.encode()
}

/// A comparison as `value > threshold` goes right; the set of nothing where no number is so small.
enum Asks<'a> {
    Threshold(f64),
    Set(&'a CategorySet),
}

const NOTHING: &CategorySet = &CategorySet::EMPTY;

impl<'a> Asks<'a> {
    fn of(split: &'a Split) -> Self {
        match split {
            // Adding zero makes one zero of two.
            Split::AtMost(threshold) => Self::Threshold(threshold + 0.0),
            Split::Below(threshold) if *threshold == f64::NEG_INFINITY => Self::Set(NOTHING),
            Split::Below(threshold) => Self::Threshold(threshold.next_down() + 0.0),
            Split::In(set) => Self::Set(set),
        }
    }
}

/// Everything that nodes ask, by feature.
struct Asked<'a> {
    numbers: Vec<Thresholded>,
    sets: Sets<'a>,
    n_nodes: usize,
}

#[derive(Default, Clone)]
struct Thresholded {
    /// Order-preserving key of the threshold, node, missing rule.
    nodes: Vec<(u64, u32, MissingRule)>,
}

#[derive(Default)]
struct Sets<'a> {
    /// One a feature and meaning of zero.
    groups: Vec<Group<'a>>,
    /// Place in `groups` by feature and meaning of zero; [`NO_GROUP`] for most.
    group_of: Vec<[usize; 2]>,
    /// Group, way of missing values and words to the place within the group.
    place_of: HashMap<(usize, bool, &'a [u64]), usize, RandomState>,
    /// Node, group, place within it.
    nodes: Vec<(u32, usize, usize)>,
}

const NO_GROUP: usize = usize::MAX;

struct Group<'a> {
    feature: u32,
    zero_is_missing: bool,
    lookups: Vec<Lookup<'a>>,
}

impl<'a> Asked<'a> {
    fn new(n_columns: usize) -> Self {
        let numbers = vec![Thresholded::default(); n_columns];
        let group_of = vec![[NO_GROUP; 2]; n_columns];
        Self { numbers, sets: Sets { group_of, ..Sets::default() }, n_nodes: 0 }
    }

    fn add(&mut self, index: u32, node: &'a Node) {
        self.n_nodes += 1;
        match Asks::of(&node.split) {
            Asks::Threshold(threshold) => self.numbers[node.feature as usize].nodes.push((
                ascending(threshold),
                index,
                node.missing,
            )),
            Asks::Set(set) => self.sets.add(index, node, set),
        }
    }

    fn encode(mut self) -> Option<Encoded> {
        let mut questions = vec![Question::default(); self.n_nodes];
        let mut encoding = Encoding { n_features: self.numbers.len(), ..Encoding::default() };
        for (feature, asked) in giving_way(self.numbers.iter_mut().enumerate()) {
            if !asked.nodes.is_empty() {
                asked.encode(feature, &mut encoding, &mut questions)?;
            }
        }
        encoding.n_number_bytes = encoding.n_byte_columns;
        let inside = self.sets.encode(&mut encoding, &mut questions)?;
        Some(Encoded { encoding, questions, inside })
    }
}

impl Encoding {
    /// The first of the next columns of each form; those of bytes must stay within bounds.
    fn take(&mut self, n_byte_columns: usize, n_rank_columns: usize) -> Option<(usize, usize)> {
        let first = (self.n_byte_columns, self.n_rank_columns);
        self.n_byte_columns += n_byte_columns;
        self.n_rank_columns += n_rank_columns;
        (self.n_byte_columns <= MAX_BYTE_COLUMNS).then_some(first)
    }
}

impl Thresholded {
    fn encode(
        &mut self,
        feature: usize,
        encoding: &mut Encoding,
        questions: &mut [Question],
    ) -> Option<()> {
        self.nodes.sort_unstable_by_key(|&(threshold, ..)| threshold);
        let mut rules: Vec<MissingRule> = Vec::new();
        let mut sorted: Vec<u64> = Vec::new();
        for &(threshold, _, rule) in &self.nodes {
            if sorted.last() != Some(&threshold) {
                sorted.push(threshold);
            }
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        if sorted.len() > MAX_THRESHOLDS {
            return None;
        }
        let n_chunks = sorted.len().div_ceil(CHUNK);
        let (first_byte, first_rank) = encoding.take(rules.len() * n_chunks, rules.len())?;
        let mut rank = 0;
        for &(threshold, node, rule) in &self.nodes {
            rank += usize::from(sorted[rank] != threshold);
            let variant = rules.iter().position(|&other| other == rule)?;
            questions[node as usize] = Question {
                rank_column: (first_rank + variant) as u32,
                rank: rank as u16,
                byte_column: (first_byte + variant * n_chunks + rank / CHUNK) as u16,
                mask: -1,
                byte: ((rank % CHUNK) as u8 ^ 0x80) as i8,
            };
        }
        let sorted: Vec<f64> = sorted.into_iter().map(number).collect();
        encoding.numbers.push(Number::new(feature, &sorted, &rules, first_byte, first_rank));
        Some(())
    }
}

impl<'a> Sets<'a> {
    fn add(&mut self, index: u32, node: &Node, set: &'a CategorySet) {
        let (zero_is_missing, missing_left) = match node.missing {
            MissingRule::Left => (false, true),
            MissingRule::Right => (false, false),
            MissingRule::AsZero => (false, set.contains(0.0)),
            MissingRule::ZeroLeft => (true, true),
            MissingRule::ZeroRight => (true, false),
        };
        let group = &mut self.group_of[node.feature as usize][usize::from(zero_is_missing)];
        if *group == NO_GROUP {
            *group = self.groups.len();
            let feature = node.feature;
            self.groups.push(Group { feature, zero_is_missing, lookups: Vec::new() });
        }
        let group = *group;
        let lookups = &mut self.groups[group].lookups;
        let key = (group, missing_left, set.words());
        let place = *self.place_of.entry(key).or_insert_with(|| {
            lookups.push(Lookup { set, missing_left });
            lookups.len() - 1
        });
        self.nodes.push((index, group, place));
    }

    fn encode(
        &self,
        encoding: &mut Encoding,
        questions: &mut [Question],
    ) -> Option<Vec<InsideBits>> {
        let mut all_inside = Vec::with_capacity(self.groups.len());
        let mut n_all_bytes = 0usize;
        let mut first = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let largest = group.lookups.iter().filter_map(|lookup| lookup.set.last_code()).max();
            let n_codes = largest.map_or(0, |code| code as usize + 1);
            let n_sets = group.lookups.len();
            let n_bytes = Category::n_byte_columns_for(n_sets);
            n_all_bytes = Category::n_entries_for(n_codes)
                .checked_mul(n_bytes)
                .and_then(|more| more.checked_add(n_all_bytes))
                .filter(|&all| all <= MAX_SET_BYTES)?;
            let (first_byte, first_rank) = encoding.take(n_bytes, n_sets)?;
            let inside = InsideBits::new(&group.lookups, n_codes);
            encoding.categories.push(Category::new(
                group.feature as usize,
                group.zero_is_missing,
                &inside,
                first_byte,
                first_rank,
            ));
            all_inside.push(inside);
            first.push((first_byte, first_rank));
        }
        for &(node, group, place) in &self.nodes {
            let (first_byte, first_rank) = first[group];
            let (mask, byte) = Category::question(place);
            questions[node as usize] = Question {
                rank_column: (first_rank + place) as u32,
                rank: 0,
                byte_column: (first_byte + place / SETS_OF_BYTE) as u16,
                mask,
                byte,
            };
        }
        Some(all_inside)
    }
}

/// A key that ascends as numbers do; never of NaN.
fn ascending(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The number of a key.
fn number(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key ^ 1 << 63 } else { !key })
}
