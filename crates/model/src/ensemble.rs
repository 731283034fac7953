//! Many trees, summed or averaged, behind a link.

use crate::Tree;
use crate::numeric::{exp, sigmoid, softmax_in_place};

/// How trees combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// `base + sum of trees` (boosting).
    Sum,
    /// `base + mean of trees` (forests). An output's mean is over the trees that add to it.
    Mean,
}

/// From margin to prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The margin itself.
    Identity,
    /// `1 / (1 + exp(-margin))`.
    Logistic,
    /// Softmax over the outputs.
    Softmax,
    /// `exp(margin)`, at most the largest finite number.
    Exp,
}

/// Trees, base values, and how they become a prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    /// In the order in which they are added.
    pub trees: Vec<Tree>,
    /// Output that each tree adds to, shape `(n_trees,)`; ignored by trees whose leaves carry all outputs.
    pub tree_output: Vec<u32>,
    /// Start value of each output, shape `(n_outputs,)`.
    pub base: Vec<f64>,
    /// Sum or mean.
    pub combine: Combine,
    /// From margin to prediction.
    pub link: Link,
}

impl Ensemble {
    /// Number of outputs: classes, or 1.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        self.base.len()
    }

    /// Margins of a row into `out`, shape `(n_outputs,)`: f64 sums in tree order, then the base.
    ///
    /// The order is part of the contract: every engine adds in it, so that all agree bit for bit.
    ///
    /// # Panics
    /// If the row is shorter than the schema or `out` is not `n_outputs` long.
    pub fn margins(&self, row: &[f64], out: &mut [f64]) {
        assert_eq!(out.len(), self.base.len(), "out must have n_outputs values");
        out.fill(0.0);
        for (tree, &output) in self.numbered_trees() {
            let values = tree.leaf_values(tree.leaf(row));
            if values.len() == 1 {
                out[output as usize] += values[0];
            } else {
                out.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
        if self.combine == Combine::Mean {
            for (output, sum) in out.iter_mut().enumerate() {
                *sum /= self.n_trees_of(output);
            }
        }
        out.iter_mut().zip(&self.base).for_each(|(sum, base)| *sum += base);
    }

    /// Trees, each with the output that it adds to.
    pub(crate) fn numbered_trees(&self) -> impl Iterator<Item = (&Tree, &u32)> {
        self.trees.iter().zip(&self.tree_output)
    }

    /// Number of trees that add to an output, at least 1 so that it can divide.
    pub(crate) fn n_trees_of(&self, output: usize) -> f64 {
        if self.base.len() == 1 {
            return (self.trees.len() as f64).max(1.0);
        }
        let adds = |(tree, &to): (&Tree, &u32)| tree.leaf_width != 1 || to as usize == output;
        let n = self.numbered_trees().filter(|&pair| adds(pair)).count();
        (n as f64).max(1.0)
    }

    /// [`n_trees_of`](Self::n_trees_of) each output, shape `(n_outputs,)`, in one pass over the trees:
    /// a file may have as many outputs as trees.
    pub(crate) fn n_trees_by_output(&self) -> Vec<f64> {
        let (mut of_all, mut counts) = (0.0, vec![0.0; self.n_outputs()]);
        for (tree, &output) in self.numbered_trees() {
            *(if tree.leaf_width == 1 { &mut counts[output as usize] } else { &mut of_all }) += 1.0;
        }
        counts.iter_mut().for_each(|count| *count = f64::max(*count + of_all, 1.0));
        counts
    }

    /// Applies the link in place.
    pub fn link(&self, margins: &mut [f64]) {
        match self.link {
            Link::Identity => {}
            Link::Logistic => margins.iter_mut().for_each(|value| *value = sigmoid(*value)),
            Link::Exp => margins.iter_mut().for_each(|value| *value = exp(*value)),
            Link::Softmax => softmax_in_place(margins),
        }
    }
}
