//! The gradient of a tree by two sweeps over its nodes: down with adjoints, up with values.

use super::lanes::Lanes;
use super::program::{Above, Curve, Program, Question, Step};
use crate::{Child, Tree};

/// Room for one tree and the rows of one block, reused from tree to tree.
#[derive(Debug)]
pub(super) struct Buffers<V> {
    /// By node, shape `(n_nodes,)`; see [`Buffers::ask`].
    pub(super) pull: Vec<V>,
    /// By node, where the feature is asked again below: 1 if the row goes left, else 0.
    left: Vec<V>,
    /// By node, where the feature is asked again below: 1 if the row has taken every branch of the
    /// path that asks of the feature, else 0.
    kept: Vec<V>,
    /// Shape `(n_nodes, group)`: adjoints on the way down, values on the way up.
    nodes: Vec<V>,
}

impl<V: Lanes> Buffers<V> {
    /// Room for the largest of the trees.
    pub(super) fn for_programs(programs: &[Program]) -> Self {
        let (mut n_nodes, mut n_values) = (0, 0);
        for program in programs {
            n_nodes = n_nodes.max(program.steps.len());
            n_values = n_values.max(program.steps.len() * program.group);
        }
        let room = |n: usize| vec![V::splat(0.0); n];
        Self {
            pull: room(n_nodes),
            left: room(n_nodes),
            kept: room(n_nodes),
            nodes: room(n_values),
        }
    }

    /// Asks every question of the rows, shape `(n_columns,)`.
    ///
    /// A node's pull is by how much knowing the feature moves the probability of going left: 1 if the
    /// row goes left, 0 if right, less the share; and 0 where the path has parted from the row on
    /// this feature before.
    #[inline(always)]
    pub(super) fn ask(&mut self, program: &Program, tree: &Tree, rows: &[V]) {
        let one = V::splat(1.0);
        for (index, step) in program.steps.iter().enumerate() {
            let value = rows[step.feature as usize];
            let left = match step.question {
                Question::AtMost { threshold, missing_left } => {
                    value.at_most(threshold, missing_left)
                }
                Question::OfNode => V::from_fn(|lane| {
                    f64::from(u8::from(tree.nodes[index].goes_left(value.lane(lane))))
                }),
            };
            let mut pull = left - V::splat(step.share);
            let mut kept = one;
            if let Some(Above { node, left: is_left }) = step.above {
                let left_there = self.left[node as usize];
                let stays = if is_left { left_there } else { one - left_there };
                kept = self.kept[node as usize] * stays;
                pull = pull * kept;
            }
            self.pull[index] = pull;
            if step.asked_again {
                self.left[index] = left;
                self.kept[index] = kept;
            }
        }
    }

    /// Adds the contributions to value `k` of the leaves to `out`, shape `(n_columns,)`, after
    /// [`Buffers::ask`]. `Q` is the program's group.
    #[inline(always)]
    pub(super) fn add_gradient<const Q: usize>(
        &mut self,
        program: &Program,
        tree: &Tree,
        k: usize,
        out: &mut [V],
    ) {
        let (nodes, _) = self.nodes.as_chunks_mut::<Q>();
        let steps = program.steps.as_slice();
        let nodes = &mut nodes[..steps.len()];
        let pulls = &self.pull[..steps.len()];
        for (group, weights) in program.weights.iter().enumerate() {
            let Some(root) = nodes.first_mut() else { return };
            *root = std::array::from_fn(|q| V::splat(weights[q]));
            for (index, step) in steps.iter().enumerate() {
                let curve = &program.curves[step.curve as usize + group];
                let adjoint = nodes[index];
                let left = leftward(step, curve, pulls[index], &adjoint);
                if let Child::Node(child) = step.left {
                    nodes[child as usize] = left;
                }
                if let Child::Node(child) = step.right {
                    nodes[child as usize] = std::array::from_fn(|q| adjoint[q] - left[q]);
                }
            }
            for (index, step) in steps.iter().enumerate().rev() {
                let curve = &program.curves[step.curve as usize + group];
                let value = |child: Child| match child {
                    Child::Node(child) => nodes[child as usize],
                    Child::Leaf(leaf) => [V::splat(tree.leaf_values(leaf)[k]); Q],
                };
                let (left, right) = (value(step.left), value(step.right));
                let gap: [V; Q] = std::array::from_fn(|q| left[q] - right[q]);
                let adjoint = &nodes[index];
                let term = |q: usize| adjoint[q] * gap[q] * V::splat(curve.slope[q]);
                let gain = (1..Q).fold(term(0), |sum, q| sum + term(q));
                let sum = &mut out[step.feature as usize];
                *sum = *sum + pulls[index] * gain;
                let moved = leftward(step, curve, pulls[index], &gap);
                nodes[index] = std::array::from_fn(|q| right[q] + moved[q]);
            }
        }
    }
}

/// What goes left of `of`: times `share + pull * known`, the probability of going left.
#[inline(always)]
fn leftward<V: Lanes, const Q: usize>(step: &Step, curve: &Curve, pull: V, of: &[V; Q]) -> [V; Q] {
    let share = V::splat(step.share);
    std::array::from_fn(|q| of[q] * (share + pull * V::splat(curve.known[q])))
}
