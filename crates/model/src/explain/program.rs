//! A tree as the sweeps read it, worked out once when a model is loaded.

use std::collections::BTreeMap;

use super::quadrature::Quadrature;
use super::shares;
use super::simd::LANES;
use crate::{Child, MissingRule, Node, Split, Tree};

/// How the probability of going left moves with `x`, at the points of one group.
///
/// A node asks of a feature of which the path from the root may already say something. Let `z` be the
/// product of the path's shares on that feature, and let the row agree with all of them (a row that
/// does not goes left with the share alone). Having come here, the walk knows the feature with
/// probability `known = x / (z (1 - x) + x)`; its derivative is `slope = z / (z (1 - x) + x)^2`.
/// For a feature asked for the first time `z = 1`, so that these are `x` and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Curve {
    pub(super) known: [f64; LANES],
    pub(super) slope: [f64; LANES],
}

impl Curve {
    #[inline(always)]
    pub(super) fn at(z: f64, points: &[f64; LANES]) -> Self {
        let mut curve = Self { known: *points, slope: [1.0; LANES] };
        if z != 1.0 {
            for (known, slope) in curve.known.iter_mut().zip(&mut curve.slope) {
                let x = *known;
                let one_in = 1.0 / (z * (1.0 - x) + x);
                (*known, *slope) = (x * one_in, z * one_in * one_in);
            }
        }
        curve
    }
}

/// The question of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Question {
    /// Left iff the value is at most the threshold, or missing and `missing_left`.
    AtMost { threshold: f64, missing_left: bool },
    /// Whatever [`Node::goes_left`] says: categories, and the zeros of LightGBM.
    OfNode,
}

impl Question {
    fn of(node: &Node) -> Self {
        let threshold = match node.split {
            Split::AtMost(threshold) => threshold,
            // Nothing is below -inf; nothing is at most NaN.
            Split::Below(f64::NEG_INFINITY) => f64::NAN,
            Split::Below(threshold) => threshold.next_down(),
            Split::In(_) => return Self::OfNode,
        };
        match node.missing {
            MissingRule::ZeroLeft | MissingRule::ZeroRight => Self::OfNode,
            _ => Self::AtMost { threshold, missing_left: node.goes_left(f64::NAN) },
        }
    }
}

/// The nearest node above that asks of the same feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Above {
    pub(super) node: u32,
    /// Whether the path goes left there.
    pub(super) left: bool,
}

/// An inner node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) feature: u32,
    pub(super) left: Child,
    pub(super) right: Child,
    pub(super) question: Question,
    /// Share of the weight that goes left.
    pub(super) share: f64,
    /// Product of the path's shares on the feature; 1 if the path has not asked of it.
    pub(super) z: f64,
    pub(super) above: Option<Above>,
    /// Whether a node below asks of the same feature.
    pub(super) asked_again: bool,
}

/// A tree, compiled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Program {
    /// One a node of the tree, parents before children.
    pub(super) steps: Vec<Step>,
    /// Quadrature points by group; a group that is not full goes on with 1.
    pub(super) points: Vec<[f64; LANES]>,
    /// Their weights by group; a group that is not full goes on with 0.
    pub(super) weights: Vec<[f64; LANES]>,
    /// Points of each group, at most [`LANES`]: what one sweep carries.
    pub(super) group: usize,
}

/// Compiles trees; keeps the quadrature rules from tree to tree.
#[derive(Debug, Default)]
pub(super) struct Compiler {
    rules: BTreeMap<usize, Quadrature>,
    /// By feature: what the path to the current node says of it.
    said: Vec<Option<Said>>,
}

#[derive(Debug, Clone, Copy)]
struct Said {
    above: Above,
    /// Product of the shares.
    z: f64,
}

enum Visit {
    Enter { node: u32, length: usize },
    Say { feature: u32, said: Option<Said> },
}

impl Compiler {
    /// Expects a checked tree over `n_columns` columns.
    pub(super) fn compile(&mut self, tree: &Tree, n_columns: usize) -> Program {
        self.said.resize(n_columns, None);
        let mut steps: Vec<Step> = tree.nodes.iter().map(step).collect();
        let mut longest = 0;
        let mut open = vec![Visit::Enter { node: 0, length: 0 }];
        while let Some(visit) = open.pop() {
            let (node, length) = match visit {
                Visit::Enter { node, length } => (node, length),
                Visit::Say { feature, said } => {
                    self.said[feature as usize] = said;
                    continue;
                }
            };
            let Some(of) = tree.nodes.get(node as usize) else { continue };
            let feature = of.feature;
            let before = self.said[feature as usize];
            let [left, right] = shares(tree, of);
            let length = length + usize::from(before.is_none());
            longest = longest.max(length);
            let z = before.map_or(1.0, |said| said.z);
            let step = &mut steps[node as usize];
            (step.share, step.z) = (left, z);
            step.above = before.map(|said| said.above);
            if let Some(said) = before {
                steps[said.above.node as usize].asked_again = true;
            }
            open.push(Visit::Say { feature, said: before });
            for (child, share, is_left) in [(of.left, left, true), (of.right, right, false)] {
                if let Child::Node(child) = child {
                    let said = Said { above: Above { node, left: is_left }, z: z * share };
                    open.push(Visit::Enter { node: child, length });
                    open.push(Visit::Say { feature, said: Some(said) });
                }
            }
        }
        self.with_points(steps, longest)
    }

    /// Chooses the rule and divides it into groups of equal size.
    fn with_points(&mut self, steps: Vec<Step>, longest: usize) -> Program {
        let n_points = Quadrature::points_for(longest);
        let n_groups = n_points.div_ceil(LANES);
        let group = n_points.div_ceil(n_groups);
        let n_points = group * n_groups;
        let rule = self.rules.entry(n_points);
        let rule = rule.or_insert_with(|| Quadrature::gauss_legendre(n_points));
        let padded = |values: &[f64], with: f64| {
            let pad =
                |values: &[f64]| std::array::from_fn(|q| values.get(q).copied().unwrap_or(with));
            values.chunks(group).map(pad).collect()
        };
        let (points, weights) = (padded(&rule.points, 1.0), padded(&rule.weights, 0.0));
        Program { steps, points, weights, group }
    }
}

/// What the node alone says; the path fills in the rest.
fn step(node: &Node) -> Step {
    Step {
        feature: node.feature,
        left: node.left,
        right: node.right,
        question: Question::of(node),
        share: 0.5,
        z: 1.0,
        above: None,
        asked_again: false,
    }
}
