//! The gradient of a tree by two sweeps over its nodes: down with adjoints, up with values.

use super::layout::Layout;
use super::program::{Above, Curve, Program, Question};
use crate::{Child, Tree};

/// The answers of some rows to one tree's questions, reused from tree to tree.
#[derive(Debug)]
pub(super) struct Answers<R> {
    /// By node: by how much knowing the feature moves the probability of going left. 1 if the row
    /// goes left, 0 if right, less the share; and 0 where the path has parted from the row on this
    /// feature before.
    pub(super) pull: Vec<R>,
    /// By node, where the feature is asked again below: 1 if the row goes left, else 0.
    left: Vec<R>,
    /// By node, where the feature is asked again below: 1 if the row has taken every branch of the
    /// path that asks of the feature, else 0.
    kept: Vec<R>,
}

impl<R: Copy> Answers<R> {
    /// Room for the largest of the trees.
    pub(super) fn for_programs(programs: &[Program], zero: R) -> Self {
        let room = vec![zero; most_nodes(programs)];
        Self { pull: room.clone(), left: room.clone(), kept: room }
    }

    /// Asks every question of the rows, shape `(n_columns,)`.
    #[inline(always)]
    pub(super) fn ask<L: Layout<Rows = R>>(&mut self, program: &Program, tree: &Tree, rows: &[R]) {
        let one = L::rows(|_| 1.0);
        for (index, step) in program.steps.iter().enumerate() {
            let value = rows[step.feature as usize];
            let left = match step.question {
                Question::AtMost { threshold, missing_left } => {
                    L::at_most(value, threshold, missing_left)
                }
                Question::OfNode => L::rows(|row| {
                    f64::from(u8::from(tree.nodes[index].goes_left(L::row(value, row))))
                }),
            };
            let mut pull = L::minus(left, L::rows(|_| step.share));
            let mut kept = one;
            if let Some(Above { node, left: is_left }) = step.above {
                let left_there = self.left[node as usize];
                let stays = if is_left { left_there } else { L::minus(one, left_there) };
                kept = L::times(self.kept[node as usize], stays);
                pull = L::times(pull, kept);
            }
            self.pull[index] = pull;
            if step.asked_again {
                self.left[index] = left;
                self.kept[index] = kept;
            }
        }
    }
}

/// Nodes of the largest tree.
pub(super) fn most_nodes(programs: &[Program]) -> usize {
    programs.iter().map(|program| program.steps.len()).max().unwrap_or(0)
}

/// Adds the contributions to value `k` of the leaves to `out`, shape `(n_columns,)`.
///
/// `room` is for a number a node and point: adjoints on the way down, values on the way up.
#[inline(always)]
pub(super) fn add_gradient<L: Layout>(
    program: &Program,
    tree: &Tree,
    k: usize,
    pulls: &[L::Rows],
    room: &mut [L::Points],
    out: &mut [L::Rows],
) {
    let steps = program.steps.as_slice();
    let (leaves, width) = (tree.leaf_values.as_slice(), tree.leaf_width as usize);
    let (nodes, pulls) = (&mut room[..steps.len()], &pulls[..steps.len()]);
    for (points, weights) in program.points.iter().zip(&program.weights) {
        let Some(root) = nodes.first_mut() else { return };
        *root = L::of_points(weights);
        for (index, step) in steps.iter().enumerate() {
            let known = Curve::at(step.z, points).known;
            let adjoint = nodes[index];
            let left = L::leftward(&adjoint, step.share, pulls[index], &known);
            if let Child::Node(child) = step.left {
                nodes[child as usize] = left;
            }
            if let Child::Node(child) = step.right {
                nodes[child as usize] = L::difference(&adjoint, &left);
            }
        }
        for (index, step) in steps.iter().enumerate().rev() {
            let curve = Curve::at(step.z, points);
            let value = |child: Child| match child {
                Child::Node(child) => nodes[child as usize],
                Child::Leaf(leaf) => L::everywhere(leaves[leaf as usize * width + k]),
            };
            let right = value(step.right);
            let gap = L::difference(&value(step.left), &right);
            let gain = L::integral(&nodes[index], &gap, &curve);
            let sum = &mut out[step.feature as usize];
            *sum = L::plus(*sum, L::times(pulls[index], gain));
            nodes[index] =
                L::sum(&right, &L::leftward(&gap, step.share, pulls[index], &curve.known));
        }
    }
}
