//! From the questions of ONNX to ours.
//!
//! A column that is only asked for equality with whole numbers from 0 on is a category. On any other
//! column a set of `k` members becomes `2 k` comparisons, each exit with its own copy of the branch.

use super::ensemble::{Mode, OnnxEnsemble, OnnxNode, OnnxTree};
use super::graph::Precision;
use crate::exchange::assemble::{ForeignNode, ForeignSplit, ForeignTree};
use crate::exchange::rounding::{at_most_single, below_single};
use crate::{MissingRule, Split};

/// Which columns are categories.
pub(super) fn categories(ensemble: &OnnxEnsemble, n_columns: usize) -> Vec<bool> {
    let mut asked = vec![false; n_columns];
    let mut fits = vec![true; n_columns];
    for node in ensemble.trees.iter().flat_map(|tree| &tree.nodes) {
        if let OnnxNode::Inner { column, mode, values, .. } = node {
            asked[*column] = true;
            let equality = matches!(mode, Mode::Equal | Mode::NotEqual | Mode::Member);
            let whole =
                |value: &f64| *value >= 0.0 && value.fract() == 0.0 && *value < 2f64.powi(24);
            fits[*column] &= equality && values.iter().all(whole);
        }
    }
    asked.into_iter().zip(fits).map(|(asked, fits)| asked && fits).collect()
}

/// Branches to copy: a node of the source, and where its index goes.
struct Open {
    source: usize,
    /// Node of the result, and whether its yes.
    parent: Option<(usize, bool)>,
}

/// About the bytes of a node, without its values.
const NODE_BYTES: usize = 128;

/// The tree in our questions. Its nodes and their values are paid for from `bytes_left`, which copies
/// of branches may exhaust: `None` then.
pub(super) fn translate(
    tree: &OnnxTree,
    precision: Precision,
    category: &[bool],
    leaf: impl Fn(&[(usize, f64)]) -> Vec<f64>,
    leaf_width: usize,
    bytes_left: &mut usize,
) -> Option<ForeignTree> {
    let mut nodes: Vec<ForeignNode> = Vec::new();
    let mut open = vec![Open { source: tree.root, parent: None }];
    while let Some(Open { source, parent }) = open.pop() {
        let first = nodes.len();
        *bytes_left = bytes_left.checked_sub(match &tree.nodes[source] {
            OnnxNode::Leaf(_) => NODE_BYTES + 8 * leaf_width,
            OnnxNode::Inner { column, values, .. } if category[*column] => {
                NODE_BYTES + 8 * values.len()
            }
            // a pair of questions for each member
            OnnxNode::Inner { values, .. } => 2 * NODE_BYTES * values.len().max(1),
        })?;
        attach(&mut nodes, parent, first);
        match &tree.nodes[source] {
            OnnxNode::Leaf(values) => {
                nodes.push(ForeignNode::Leaf { values: leaf(values), cover: 0.0 });
            }
            OnnxNode::Inner { column, mode, values, missing_yes, yes, no } => {
                let chain = if category[*column] {
                    lookup(*mode, values, *missing_yes)
                } else {
                    compare(*mode, values, *missing_yes, precision)
                };
                for (at, question) in chain.into_iter().enumerate() {
                    for (side, exit) in [(true, question.yes), (false, question.no)] {
                        let parent = Some((first + at, side));
                        match exit {
                            Exit::Yes => open.push(Open { source: *yes, parent }),
                            Exit::No => open.push(Open { source: *no, parent }),
                            Exit::Next => {}
                        }
                    }
                    let missing =
                        if question.missing_yes { MissingRule::Left } else { MissingRule::Right };
                    nodes.push(ForeignNode::Inner {
                        feature: *column,
                        split: question.split,
                        missing,
                        // the next of the chain; exits are attached when they are made
                        yes: first + at + 1,
                        no: first + at + 1,
                        gain: 0.0,
                        cover: 0.0,
                    });
                }
            }
        }
    }
    Some(ForeignTree { nodes, root: 0 })
}

fn attach(nodes: &mut [ForeignNode], parent: Option<(usize, bool)>, child: usize) {
    if let Some((parent, side)) = parent
        && let ForeignNode::Inner { yes, no, .. } = &mut nodes[parent]
    {
        *(if side { yes } else { no }) = child;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Yes,
    No,
    /// The next question of the chain.
    Next,
}

struct Question {
    split: ForeignSplit,
    missing_yes: bool,
    yes: Exit,
    no: Exit,
}

fn lookup(mode: Mode, values: &[f64], missing_yes: bool) -> Vec<Question> {
    let mut set = values.to_vec();
    set.sort_unstable_by(f64::total_cmp);
    let split = ForeignSplit::OneOf(set);
    vec![match mode {
        Mode::NotEqual => {
            Question { split, missing_yes: !missing_yes, yes: Exit::No, no: Exit::Yes }
        }
        _ => Question { split, missing_yes, yes: Exit::Yes, no: Exit::No },
    }]
}

fn compare(mode: Mode, values: &[f64], missing_yes: bool, precision: Precision) -> Vec<Question> {
    let at_most = |value| ForeignSplit::Number(at_most(value, precision));
    let below = |value| ForeignSplit::Number(below(value, precision));
    let one = |split, inverted: bool| {
        let (yes, no) = if inverted { (Exit::No, Exit::Yes) } else { (Exit::Yes, Exit::No) };
        vec![Question { split, missing_yes: missing_yes != inverted, yes, no }]
    };
    let value = values.first().copied().unwrap_or(f64::NEG_INFINITY);
    match mode {
        Mode::AtMost => one(at_most(value), false),
        Mode::Below => one(below(value), false),
        Mode::AtLeast => one(below(value), true),
        Mode::Above => one(at_most(value), true),
        Mode::Equal | Mode::NotEqual | Mode::Member => {
            let mut members = values.to_vec();
            members.sort_unstable_by(f64::total_cmp);
            members.dedup();
            let inverted = mode == Mode::NotEqual;
            let (inside, outside) =
                if inverted { (Exit::No, Exit::Yes) } else { (Exit::Yes, Exit::No) };
            if members.is_empty() {
                return vec![Question {
                    split: below(f64::NEG_INFINITY),
                    missing_yes,
                    yes: Exit::Yes,
                    no: Exit::No,
                }];
            }
            // NaN leaves at the first question whose exit is its own
            let missing = if missing_yes { Exit::Yes } else { Exit::No };
            let n = members.len();
            let pair = |(at, &member): (usize, &f64)| {
                let last = at + 1 == n;
                [
                    Question {
                        split: below(member),
                        missing_yes: missing == outside,
                        yes: outside,
                        no: Exit::Next,
                    },
                    Question {
                        split: at_most(member),
                        missing_yes: missing == inside,
                        yes: inside,
                        no: if last { outside } else { Exit::Next },
                    },
                ]
            };
            members.iter().enumerate().flat_map(pair).collect()
        }
    }
}

/// `x <= value` in the precision of the graph.
fn at_most(value: f64, precision: Precision) -> Split {
    match precision {
        Precision::Double => Split::AtMost(value),
        Precision::Single => {
            let nearest = value as f32;
            let floor = if f64::from(nearest) > value { nearest.next_down() } else { nearest };
            at_most_single(floor)
        }
    }
}

/// `x < value` in the precision of the graph.
fn below(value: f64, precision: Precision) -> Split {
    match precision {
        Precision::Double => Split::Below(value),
        Precision::Single => {
            let nearest = value as f32;
            let ceiling = if f64::from(nearest) < value { nearest.next_up() } else { nearest };
            below_single(ceiling)
        }
    }
}
