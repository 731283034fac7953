//! XGBoost's old binary format, from files made here byte by byte.

use segue_dataset::TargetKind;

use crate::exchange::{Format, Imported, import};
use crate::{Child, Link, MissingRule};

/// What a file says; the bytes are [`File::bytes`].
#[derive(Clone)]
pub(super) struct File {
    pub(super) start: f32,
    pub(super) n_columns: u32,
    pub(super) n_classes: u32,
    pub(super) version: [u32; 2],
    pub(super) objective: &'static str,
    pub(super) trees: Vec<Vec<Node>>,
    pub(super) classes: Vec<u32>,
    /// With these, the booster is dart.
    pub(super) weights: Option<Vec<f32>>,
    pub(super) attributes: Vec<(&'static str, &'static str)>,
    /// What follows the attributes.
    pub(super) texts: Vec<&'static str>,
}

/// Children, column with the bit of the default side, threshold or value.
type Node = (i32, i32, u32, f32);

const LEFT: u32 = 1 << 31;
const LEAF: (i32, i32, u32) = (-1, -1, 0);

/// A leaf.
fn leaf(value: f32) -> Node {
    let (left, right, column) = LEAF;
    (left, right, column, value)
}

pub(super) fn file() -> File {
    let split = vec![(1, 2, 1 | LEFT, 0.5), (3, 4, 0, -2.0), leaf(3.0), leaf(-1.0), leaf(0.25)];
    File {
        start: -0.5,
        n_columns: 2,
        n_classes: 0,
        version: [0, 0],
        objective: "binary:logistic",
        trees: vec![split, vec![leaf(0.125)]],
        classes: vec![0, 0],
        weights: None,
        attributes: vec![("best_iteration", "1")],
        texts: Vec::new(),
    }
}

impl File {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let words = |out: &mut Vec<u8>, words: &[u32]| {
            words.iter().for_each(|word| out.extend(word.to_le_bytes()));
        };
        let length = |out: &mut Vec<u8>, n: usize| out.extend((n as u64).to_le_bytes());
        let text = |out: &mut Vec<u8>, text: &str| {
            length(out, text.len());
            out.extend(text.as_bytes());
        };
        let has_attributes = u32::from(!self.attributes.is_empty());
        words(&mut out, &[self.start.to_bits(), self.n_columns, self.n_classes, has_attributes]);
        words(&mut out, &[0, self.version[0], self.version[1]]);
        out.resize(136, 0);
        text(&mut out, self.objective);
        text(&mut out, if self.weights.is_some() { "dart" } else { "gbtree" });
        let ensemble = out.len();
        words(&mut out, &[self.trees.len() as u32, 1]);
        out.resize(ensemble + 160, 0);
        for tree in &self.trees {
            let head = out.len();
            words(&mut out, &[1, tree.len() as u32]);
            out.resize(head + 148, 0);
            for &(left, right, column, value) in tree {
                let node = [u32::MAX, left as u32, right as u32, column, value.to_bits()];
                words(&mut out, &node);
            }
            for at in 0..tree.len() {
                let (gain, cover) = (7.0f32, 10.0 + at as f32);
                words(&mut out, &[gain.to_bits(), cover.to_bits(), 0, 0]);
            }
        }
        words(&mut out, &self.classes);
        if let Some(weights) = &self.weights {
            length(&mut out, weights.len());
            weights.iter().for_each(|weight| out.extend(weight.to_le_bytes()));
        }
        if !self.attributes.is_empty() {
            length(&mut out, self.attributes.len());
            for (key, value) in &self.attributes {
                text(&mut out, key);
                text(&mut out, value);
            }
        }
        self.texts.iter().for_each(|added| text(&mut out, added));
        out
    }

    fn read(&self) -> Imported {
        import(&self.bytes(), None).unwrap()
    }

    fn error(&self) -> String {
        import(&self.bytes(), None).unwrap_err().to_string()
    }
}

#[test]
fn trees_are_read_as_they_lie() {
    let imported = file().read();
    assert_eq!(imported.source, "XGBoost binary before 1.0");
    assert!(imported.warnings[0].starts_with("best_iteration is 1: all trees"));
    assert_eq!((imported.target, imported.ensemble.link), (TargetKind::Binary, Link::Logistic));
    let tree = &imported.ensemble.trees[0];
    assert_eq!(tree.leaf_values, [3.0, -1.0, 0.25]);
    assert_eq!(tree.leaf_cover, [12.0, 13.0, 14.0]);
    let (root, below) = (&tree.nodes[0], &tree.nodes[1]);
    assert_eq!((root.feature, root.missing, root.right), (1, MissingRule::Left, Child::Leaf(0)));
    assert_eq!((below.feature, below.missing), (0, MissingRule::Right));
    assert_eq!((root.gain, root.cover), (7.0, 10.0));
    // below the threshold goes left, and missing by the bit beside the column
    let leaf = |row: [f64; 2]| tree.leaf_values[tree.leaf(&row) as usize];
    assert_eq!(leaf([-3.0, 0.0]), -1.0);
    assert_eq!(leaf([-2.0, 0.0]), 0.25);
    assert_eq!(leaf([-3.0, 0.5]), 3.0);
    assert_eq!(leaf([f64::NAN, f64::NAN]), 0.25);
    // with and without the mark that some versions begin with
    let marked = [b"binf", &file().bytes()[..]].concat();
    assert_eq!(import(&marked, None).unwrap().ensemble, imported.ensemble);
}

/// The start is a margin in files of before 1.0, and a prediction since.
#[test]
fn the_start_is_a_margin_before_the_first_version() {
    assert_eq!(file().read().ensemble.base, [-0.5]);
    let since = File { start: 0.25, version: [1, 7], ..file() };
    assert_eq!(since.read().source, "XGBoost binary 1.7");
    assert!((since.read().ensemble.base[0] - crate::logit(0.25)).abs() < 1e-7);
    assert!(File { version: [1, 7], ..file() }.error().starts_with(
        "XGBoost binary, byte 0: a start of -0.5 is outside the predictions of the objective"
    ));
    let poisson = File { objective: "count:poisson", texts: vec!["0.7"], ..file() };
    assert_eq!(poisson.read().ensemble.base, [-0.5]);
    assert_eq!(poisson.read().ensemble.link, Link::Exp);
    // the first versions have no text there
    assert_eq!(File { texts: Vec::new(), ..poisson }.read().ensemble.base, [-0.5]);
}

#[test]
fn classes_and_weights_of_trees() {
    let classes = File {
        objective: "multi:softmax",
        n_classes: 3,
        classes: vec![2, 0],
        weights: Some(vec![0.5, 2.0]),
        ..file()
    };
    let ensemble = classes.read().ensemble;
    assert_eq!((ensemble.tree_output, ensemble.base), (vec![2, 0], vec![-0.5; 3]));
    assert_eq!(ensemble.trees[0].leaf_values, [1.5, -0.5, 0.125]);
    assert_eq!(ensemble.trees[1].leaf_values, [0.25]);
}

#[test]
fn what_does_not_hold_is_refused_at_its_byte() {
    // the first tree begins here, its nodes 148 bytes later
    const TREE: usize = 136 + 8 + 15 + 8 + 6 + 160;
    let tree = |nodes: &[Node]| File { trees: vec![nodes.to_vec()], classes: vec![0], ..file() };
    let with = |root: Node| tree(&[root, leaf(1.0), leaf(2.0)]);
    let node = |index: usize| TREE + 148 + 20 * index;
    let cases = [
        (with((0, 1, 0, 0.0)), node(0), "node 0 leads to a node that has a parent"),
        (with((1, 1, 0, 0.0)), node(0), "node 0 leads to a node that has a parent"),
        (
            tree(&[(1, 2, 0, 0.0), (0, 2, 0, 0.0), leaf(1.0)]),
            node(1),
            "node 1 leads to a node that has a parent",
        ),
        (with((1, 3, 0, 0.0)), node(0), "node 0 leads to node 3, which is not there"),
        (with((1, -1, 0, 0.0)), node(0), "node 0 leads to node -1, which is not there"),
        (with((1, 2, 2, 0.0)), node(0), "node 0 reads column 2 of 2"),
        (with((1, 2, 0, f32::NAN)), node(0), "node 0 compares with NaN"),
        (tree(&[leaf(f32::INFINITY)]), node(0), "leaf 0 holds inf"),
        (
            tree(&[(1, 2, 0, 0.0), leaf(1.0), (-1, -1, u32::MAX, 0.0)]),
            node(0),
            "node 0 leads to node 2, which is deleted",
        ),
        (tree(&[]), TREE + 4, "a tree without nodes"),
        (
            File { classes: vec![0, 1], ..file() },
            TREE + 2 * 148 + 6 * 36 + 4,
            "tree 1 is of class 1 of 1",
        ),
        (
            File { weights: Some(vec![1.0]), ..file() },
            TREE - 2 + 2 * 148 + 6 * 36 + 8,
            "1 weights for 2 trees",
        ),
        (
            File { weights: Some(vec![1.0, f32::NAN]), ..file() },
            TREE - 2 + 2 * 148 + 6 * 36 + 8 + 12,
            "a weight of NaN",
        ),
        (File { n_columns: 1 << 30, ..file() }, 4, "not supported: 1073741824 columns, at most"),
        (File { n_columns: u32::MAX, ..file() }, 4, "a count of -1"),
        (File { n_classes: 1 << 30, ..file() }, 8, "not supported: 1073741824 classes"),
        (File { objective: "multi:softprob", ..file() }, 8, "0 classes for multi:softprob"),
        (
            File { objective: "binary:hinge", ..file() },
            136,
            "not supported: objective \"binary:hinge\"",
        ),
        (File { version: [9, 1], ..file() }, 20, "not supported: version 9.1"),
    ];
    for (file, at, expected) in cases {
        let found = file.error();
        let whole = format!("XGBoost binary, byte {at}: {expected}");
        assert!(found.starts_with(&whole), "{found:?} does not begin with {whole:?}");
    }
    let longer = File { texts: vec!["more"], ..file() }.error();
    assert!(longer.ends_with("12 bytes follow the end of the model"), "{longer}");
}

/// Counts are bounded by the bytes that are there, before anything is made for them.
#[test]
fn counts_that_lie_are_refused() {
    let good = File { weights: Some(vec![1.0, 1.0]), ..file() }.bytes();
    let tree = 136 + 8 + 15 + 8 + 4 + 160;
    let weights = tree + 2 * 148 + 6 * 36 + 8;
    let most: &[u8] = &i32::MAX.to_le_bytes();
    let length: &[u8] = &u64::MAX.to_le_bytes();
    for (at, lie, expected) in [
        (136, length, "18446744073709551615 bytes are due"),
        (tree - 160, most, "2147483647 trees are due"),
        (tree, most, "a tree with 2147483647 roots"),
        (tree + 4, most, "2147483647 nodes are due"),
        (tree + 20, most, "leaves of 2147483647 values"),
        (weights, length, "18446744073709551615 weights for 2 trees"),
        (weights + 16, length, "18446744073709551615 attributes are due"),
        (weights + 24, length, "18446744073709551615 bytes are due"),
    ] {
        let mut bytes = good.clone();
        bytes[at..at + lie.len()].copy_from_slice(lie);
        let found = import(&bytes, Some(Format::XgboostBinary)).unwrap_err().to_string();
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
    }
}

#[test]
fn a_linear_model_is_refused_with_what_to_do() {
    let mut bytes = File { objective: "reg:linear", ..file() }.bytes();
    let at = bytes.windows(6).position(|at| at == b"gbtree").unwrap();
    bytes.splice(at - 8..at + 6, [&8u64.to_le_bytes()[..], b"gblinear"].concat());
    let found = import(&bytes, None).unwrap_err().to_string();
    assert!(found.contains("a linear model without trees: fit it again with booster"), "{found}");
}
