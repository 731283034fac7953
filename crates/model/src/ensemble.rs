//! Many trees, summed or averaged, behind a link.

use crate::Tree;

/// How trees combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// `base + sum of trees` (boosting).
    Sum,
    /// `base + mean of trees` (forests).
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
    /// `exp(margin)`.
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
        for (tree, &output) in self.trees.iter().zip(&self.tree_output) {
            let values = tree.leaf_values(tree.leaf(row));
            if values.len() == 1 {
                out[output as usize] += values[0];
            } else {
                out.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
        self.finish(out);
    }

    /// Turns sums of tree values into margins: mean if averaging, then the base.
    pub(crate) fn finish(&self, sums: &mut [f64]) {
        if self.combine == Combine::Mean {
            let n = (self.trees.len() as f64).max(1.0);
            sums.iter_mut().for_each(|sum| *sum /= n);
        }
        sums.iter_mut().zip(&self.base).for_each(|(sum, base)| *sum += base);
    }

    /// Applies the link in place.
    pub fn link(&self, margins: &mut [f64]) {
        match self.link {
            Link::Identity => {}
            Link::Logistic => margins.iter_mut().for_each(|value| *value = sigmoid(*value)),
            Link::Exp => margins.iter_mut().for_each(|value| *value = value.exp()),
            Link::Softmax => softmax_in_place(margins),
        }
    }
}

/// `1 / (1 + exp(-x))`, without overflow for any `x`.
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// Softmax, shifted by the largest margin so that nothing overflows.
pub fn softmax_in_place(margins: &mut [f64]) {
    let largest = margins.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    margins.iter_mut().for_each(|value| *value = (*value - largest).exp());
    let sum: f64 = margins.iter().sum();
    margins.iter_mut().for_each(|value| *value /= sum);
}
