//! One decision tree and the reference walk through it.

/// Where a branch leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    /// Index of an inner node, always larger than its parent's, so that no walk can loop.
    Node(u32),
    /// Index of a leaf.
    Leaf(u32),
}

/// A set of category codes as a bitset. Codes that are negative, fractional or beyond it are outside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CategorySet(Vec<u64>);

impl CategorySet {
    /// The set of no codes.
    pub(crate) const EMPTY: Self = Self(Vec::new());

    /// The set of the given codes, in any order. Takes a bit for every code up to the largest.
    pub fn from_codes(codes: impl IntoIterator<Item = u32>) -> Self {
        let mut words = Vec::new();
        for code in codes {
            let word = (code / 64) as usize;
            if words.len() <= word {
                words.resize(word + 1, 0u64);
            }
            words[word] |= 1 << (code % 64);
        }
        Self(words)
    }

    /// The set with the given words; bit `b` of word `w` is code `64 w + b`.
    #[must_use]
    pub fn from_words(words: Vec<u64>) -> Self {
        Self(words)
    }

    /// The words of the bitset.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.0
    }

    /// Whether `value` is a code of the set.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        if !(value >= 0.0 && value < (self.0.len() * 64) as f64) {
            return false;
        }
        let code = value as u32;
        f64::from(code) == value && self.0[(code / 64) as usize] >> (code % 64) & 1 == 1
    }

    /// The largest code of the set.
    pub(crate) fn last_code(&self) -> Option<u32> {
        let word = self.0.iter().rposition(|&bits| bits != 0)?;
        Some(word as u32 * 64 + self.0[word].ilog2())
    }

    /// The codes of the set, ascending.
    pub fn codes(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(&self.0).flat_map(|(word, &bits)| {
            (0..64u32).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit)
        })
    }
}

/// The question a node asks of a value that is not missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Split {
    /// Left iff `value <= threshold`.
    AtMost(f64),
    /// Left iff `value < threshold`.
    Below(f64),
    /// Left iff the code is in the set.
    In(CategorySet),
}

/// Where a missing (NaN) value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingRule {
    /// Left.
    Left,
    /// Right.
    Right,
    /// Read as 0.0 and compared (LightGBM, missing type None).
    AsZero,
    /// Left, and so does any `|value| <= 1e-35_f32` (LightGBM, missing type Zero).
    ZeroLeft,
    /// Right, and so does any `|value| <= 1e-35_f32` (LightGBM, missing type Zero).
    ZeroRight,
}

/// An inner node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Column of the schema.
    pub feature: u32,
    /// The question.
    pub split: Split,
    /// Where NaN goes.
    pub missing: MissingRule,
    /// Taken on yes.
    pub left: Child,
    /// Taken on no.
    pub right: Child,
    /// Loss reduction of the split in training; 0 when not known.
    pub gain: f64,
    /// Sum of row weights that reached the node in training; explanations weigh branches by it.
    pub cover: f64,
}

/// A binary tree. Node 0 is the root; without nodes, leaf 0 is the whole tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// Inner nodes, parents before children.
    pub nodes: Vec<Node>,
    /// `n_leaves * leaf_width` values, leaf by leaf.
    pub leaf_values: Vec<f64>,
    /// Sum of row weights per leaf in training, shape `(n_leaves,)`.
    pub leaf_cover: Vec<f64>,
    /// Values per leaf: 1, or the number of outputs.
    pub leaf_width: u32,
}

/// Where LightGBM's zeros end: its constant is the single-precision `1e-35`, widened.
pub(crate) const LIGHTGBM_ZERO: f64 = 1e-35_f32 as f64;

impl Node {
    /// The child that `value` goes to.
    #[must_use]
    pub fn next(&self, value: f64) -> Child {
        if self.goes_left(value) { self.left } else { self.right }
    }

    pub(crate) fn goes_left(&self, value: f64) -> bool {
        match self.missing {
            MissingRule::Left | MissingRule::ZeroLeft if value.is_nan() => true,
            MissingRule::Right | MissingRule::ZeroRight if value.is_nan() => false,
            MissingRule::ZeroLeft if value.abs() <= LIGHTGBM_ZERO => true,
            MissingRule::ZeroRight if value.abs() <= LIGHTGBM_ZERO => false,
            MissingRule::AsZero if value.is_nan() => self.asks(0.0),
            _ => self.asks(value),
        }
    }

    fn asks(&self, value: f64) -> bool {
        match &self.split {
            Split::AtMost(threshold) => value <= *threshold,
            Split::Below(threshold) => value < *threshold,
            Split::In(set) => set.contains(value),
        }
    }
}

impl Tree {
    /// A tree of one leaf.
    #[must_use]
    pub fn constant(values: Vec<f64>, cover: f64) -> Self {
        let leaf_width = values.len() as u32;
        Self { nodes: Vec::new(), leaf_values: values, leaf_cover: vec![cover], leaf_width }
    }

    /// Number of leaves.
    #[must_use]
    pub fn n_leaves(&self) -> usize {
        self.leaf_cover.len()
    }

    /// The leaf that `row` falls into. The reference: every faster engine must equal it.
    ///
    /// # Panics
    /// If the row is shorter than the schema.
    #[must_use]
    pub fn leaf(&self, row: &[f64]) -> u32 {
        let mut at = if self.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
        loop {
            match at {
                Child::Leaf(leaf) => return leaf,
                Child::Node(node) => {
                    let node = &self.nodes[node as usize];
                    at = node.next(row[node.feature as usize]);
                }
            }
        }
    }

    /// The outputs that the leaves' values go to, given the one that a tree of single values adds to.
    pub(crate) fn outputs(&self, output: usize) -> std::ops::Range<usize> {
        if self.leaf_width == 1 { output..output + 1 } else { 0..self.leaf_width as usize }
    }

    /// The values of a leaf, shape `(leaf_width,)`.
    #[must_use]
    pub fn leaf_values(&self, leaf: u32) -> &[f64] {
        let width = self.leaf_width as usize;
        let start = leaf as usize * width;
        &self.leaf_values[start..start + width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_its_codes_and_nothing_between() {
        let set = CategorySet::from_codes([130, 1, 64, 1]);
        assert_eq!(set.codes().collect::<Vec<_>>(), [1, 64, 130]);
        assert_eq!((set.last_code(), CategorySet::EMPTY.last_code()), (Some(130), None));
        assert_eq!(CategorySet::from_words(set.words().to_vec()), set);
        assert!([1.0, 64.0, 130.0].iter().all(|&code| set.contains(code)));
        for outside in [0.0, 1.5, -1.0, 65.0, 129.0, 192.0, 1e300, f64::NAN, f64::INFINITY] {
            assert!(!set.contains(outside), "{outside}");
        }
        assert!(CategorySet::from_codes([0]).contains(-0.0));
    }
}
