//! Nodes taken apart into questions that another format knows.
//!
//! A question with a hole, such as "at most 3, but zero goes right", becomes two or three plain ones,
//! each exit with its own copy of the branch. Copies count their cover once.

use segue_dataset::Schema;

use super::{ExportError, Format};
use crate::tree::LIGHTGBM_ZERO;
use crate::{CategorySet, Child, MissingRule, Node, Split, Tree};

/// A plain question of a value that is not missing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    AtMost(f64),
    Below(f64),
    OneOf(CategorySet),
}

/// Where an answer leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Left,
    Right,
    /// The next question of the node.
    Next,
}

struct Step {
    test: Test,
    missing_yes: bool,
    yes: Exit,
    no: Exit,
}

/// A node of the result; children come later in the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlainNode {
    pub(super) feature: u32,
    pub(super) test: Test,
    /// NaN answers yes. With LightGBM's own rules for zero, `missing` says more.
    pub(super) missing_yes: bool,
    pub(super) missing: MissingRule,
    pub(super) yes: Child,
    pub(super) no: Child,
    pub(super) gain: f64,
    pub(super) cover: f64,
}

/// A leaf of the result, and which leaf it copies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PlainLeaf {
    pub(super) source: u32,
    pub(super) cover: f64,
}

/// A tree of plain questions. Without nodes, leaf 0 is the whole tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlainTree {
    pub(super) nodes: Vec<PlainNode>,
    pub(super) leaves: Vec<PlainLeaf>,
}

/// Which questions a format knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// All missing rules of numbers; a missing category always answers no.
    LightGbm,
    /// A side for missing at every question, nothing special about zero.
    SideForMissing,
}

/// A node of the result and one of its answers; nothing for the root.
type Hook = Option<(usize, bool)>;

struct Open {
    source: Child,
    parent: Hook,
    /// A branch that was written before: its cover is counted there.
    copy: bool,
}

/// Takes a tree apart; refused if copies make it more than eight times as large.
pub(super) fn expand(
    tree: &Tree,
    schema: &Schema,
    dialect: Dialect,
    format: Format,
) -> Result<PlainTree, ExportError> {
    let most_nodes = 8 * tree.nodes.len() + 1024;
    let root = if tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
    let mut plain = PlainTree { nodes: Vec::new(), leaves: Vec::new() };
    // where each leaf hangs, to be numbered in the order of the source
    let mut hanging: Vec<(u32, Hook, f64)> = Vec::new();
    let mut open = vec![Open { source: root, parent: None, copy: false }];
    while let Some(Open { source, parent, copy }) = open.pop() {
        let covered = |cover: f64| if copy { 0.0 } else { cover };
        let node = match source {
            Child::Leaf(leaf) => {
                hanging.push((leaf, parent, covered(tree.leaf_cover[leaf as usize])));
                continue;
            }
            Child::Node(node) => &tree.nodes[node as usize],
        };
        let first = plain.nodes.len();
        attach(&mut plain.nodes, parent, Child::Node(first as u32));
        let mut written = [false; 2];
        let steps = steps(node, schema, dialect);
        // the last exit to a side is the branch itself, earlier ones are copies
        for (at, step) in steps.iter().enumerate().rev() {
            for (answer, exit) in [(true, step.yes), (false, step.no)] {
                let (side, source) = match exit {
                    Exit::Left => (0, node.left),
                    Exit::Right => (1, node.right),
                    Exit::Next => continue,
                };
                let copy = copy || std::mem::replace(&mut written[side], true);
                open.push(Open { source, parent: Some((first + at, answer)), copy });
            }
        }
        for (at, step) in steps.into_iter().enumerate() {
            let next = Child::Node((first + at + 1) as u32);
            plain.nodes.push(PlainNode {
                feature: node.feature,
                test: step.test,
                missing_yes: step.missing_yes,
                missing: node.missing,
                // exits are attached when they are written
                yes: next,
                no: next,
                gain: if at == 0 { node.gain } else { 0.0 },
                cover: covered(node.cover),
            });
        }
        if plain.nodes.len() > most_nodes {
            let reason = format!(
                "questions about zero and missing categories, which it cannot ask at once, make a \
                 tree of {} nodes larger than {most_nodes}",
                tree.nodes.len()
            );
            return Err(ExportError::Unsupported { format, reason });
        }
    }
    hanging.sort_by_key(|&(source, ..)| source);
    for (number, (source, parent, cover)) in (0u32..).zip(hanging) {
        attach(&mut plain.nodes, parent, Child::Leaf(number));
        plain.leaves.push(PlainLeaf { source, cover });
    }
    Ok(plain)
}

fn attach(nodes: &mut [PlainNode], parent: Hook, child: Child) {
    if let Some((parent, answer)) = parent {
        let node = &mut nodes[parent];
        *(if answer { &mut node.yes } else { &mut node.no }) = child;
    }
}

fn steps(node: &Node, schema: &Schema, dialect: Dialect) -> Vec<Step> {
    let vocabulary = schema.features()[node.feature as usize].vocabulary();
    if let Some(vocabulary) = vocabulary {
        return category_steps(node, vocabulary.len() as u32, dialect);
    }
    let test = match &node.split {
        Split::AtMost(threshold) => Test::AtMost(*threshold),
        Split::Below(threshold) => Test::Below(*threshold),
        // numbers are not looked up in sets: the model was checked
        Split::In(set) => Test::OneOf(set.clone()),
    };
    if dialect == Dialect::LightGbm {
        return vec![Step { test, missing_yes: false, yes: Exit::Left, no: Exit::Right }];
    }
    number_steps(node, test)
}

/// Which side a value goes to by the split alone.
fn asks(split: &Split, value: f64) -> bool {
    match split {
        Split::AtMost(threshold) => value <= *threshold,
        Split::Below(threshold) => value < *threshold,
        Split::In(set) => set.contains(value),
    }
}

fn number_steps(node: &Node, test: Test) -> Vec<Step> {
    const ZERO: f64 = LIGHTGBM_ZERO;
    let asks = |value| asks(&node.split, value);
    let (chain, missing) = match node.missing {
        MissingRule::Left => (vec![(test, Exit::Left)], Exit::Left),
        MissingRule::Right => (vec![(test, Exit::Left)], Exit::Right),
        MissingRule::AsZero => {
            (vec![(test, Exit::Left)], if asks(0.0) { Exit::Left } else { Exit::Right })
        }
        MissingRule::ZeroLeft => {
            let chain = if asks(ZERO) {
                vec![(test, Exit::Left)]
            } else if asks((-ZERO).next_down()) {
                vec![(Test::AtMost(ZERO), Exit::Left)]
            } else {
                vec![
                    (test, Exit::Left),
                    (Test::Below(-ZERO), Exit::Right),
                    (Test::AtMost(ZERO), Exit::Left),
                ]
            };
            (chain, Exit::Left)
        }
        MissingRule::ZeroRight => {
            let chain = if !asks(-ZERO) {
                vec![(test, Exit::Left)]
            } else if !asks(ZERO.next_up()) {
                vec![(Test::Below(-ZERO), Exit::Left)]
            } else {
                vec![
                    (Test::Below(-ZERO), Exit::Left),
                    (Test::AtMost(ZERO), Exit::Right),
                    (test, Exit::Left),
                ]
            };
            (chain, Exit::Right)
        }
    };
    let n = chain.len();
    let step = |(at, (test, yes)): (usize, (Test, Exit))| Step {
        test,
        // NaN leaves at the first question with an exit to its side
        missing_yes: yes == missing,
        yes,
        no: if at + 1 == n { Exit::Right } else { Exit::Next },
    };
    chain.into_iter().enumerate().map(step).collect()
}

fn category_steps(node: &Node, n_categories: u32, dialect: Dialect) -> Vec<Step> {
    let codes = 0..n_categories;
    // unseen categories are in no set: where they go left, the set is of those that go right
    let unseen_left = asks(&node.split, segue_dataset::UNSEEN_CATEGORY);
    let left = |code: u32| match node.missing {
        MissingRule::ZeroLeft if code == 0 => true,
        MissingRule::ZeroRight if code == 0 => false,
        _ => asks(&node.split, f64::from(code)),
    };
    let missing_left = match node.missing {
        MissingRule::Left | MissingRule::ZeroLeft => true,
        MissingRule::Right | MissingRule::ZeroRight => false,
        MissingRule::AsZero => asks(&node.split, 0.0),
    };
    let mut members: Vec<u32> = codes.filter(|&code| left(code) != unseen_left).collect();
    if members.is_empty() {
        // a code that does not occur: some readers take an empty set amiss
        members.push(n_categories);
    }
    let test = Test::OneOf(CategorySet::from_codes(members));
    let (yes, no) = if unseen_left { (Exit::Right, Exit::Left) } else { (Exit::Left, Exit::Right) };
    let missing = if missing_left { Exit::Left } else { Exit::Right };
    let missing_yes = yes == missing;
    let step = Step { test, missing_yes, yes, no };
    if dialect == Dialect::LightGbm && missing_yes {
        // missing leaves first, by a comparison that no code passes
        let first =
            Step { test: Test::AtMost(f64::MIN), missing_yes: true, yes: missing, no: Exit::Next };
        return vec![first, Step { missing_yes: false, ..step }];
    }
    vec![step]
}
