//! Parameters of the random forest.

use crate::ParamError;
use crate::error::{check_integer, check_real};

/// Columns looked at in each node.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum FeatureShare {
    /// The square root of their number, rounded down, at least one (the usual choice for classes).
    #[default]
    Sqrt,
    /// This share of them, rounded up, above 0 to 1 (a third is the usual choice for numbers).
    Share(f64),
    /// All.
    All,
}

impl FeatureShare {
    /// Number of columns looked at, out of `n_columns`.
    #[must_use]
    pub fn of(self, n_columns: usize) -> usize {
        let n = match self {
            Self::Sqrt => n_columns.isqrt(),
            Self::Share(share) => (share * n_columns as f64).ceil() as usize,
            Self::All => n_columns,
        };
        n.clamp(1, n_columns.max(1))
    }
}

/// Parameters of the random forest, unchecked.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestParams {
    /// Trees. Default 200.
    pub n_trees: usize,
    /// Columns drawn for each node. Default the square root.
    pub features: FeatureShare,
    /// Distinct rows a leaf must have. Default 20.
    pub min_rows_in_leaf: usize,
    /// Largest number of questions on a path; 0 is no limit (default).
    pub max_depth: usize,
    /// Whether a node tries one random cut a column, uniform over the codes between the lowest and the
    /// highest it holds, instead of all (extremely randomised trees, Geurts et al. 2006; LightGBM's
    /// `extra_trees`). A category tries one random set. The paper's forests see all rows:
    /// `bootstrap: false`. Default false.
    pub extra_trees: bool,
    /// Impurity decrease a split must exceed, weighted by the node's share of the rows. Default 0.
    pub min_gain: f64,
    /// Byte codes a column may use, missing included, 3 to 255. Default 255.
    pub max_bins: usize,
    /// Whether each tree draws its rows with repetition; without, all trees see all rows. Default true.
    pub bootstrap: bool,
    /// Whether to predict each training row by the trees that did not see it. Default true.
    pub out_of_bag: bool,
    /// Seed of row and column draws. Default 0.
    pub seed: u64,
}

impl Default for ForestParams {
    fn default() -> Self {
        Self {
            n_trees: 200,
            features: FeatureShare::Sqrt,
            min_rows_in_leaf: 20,
            max_depth: 0,
            extra_trees: false,
            min_gain: 0.0,
            max_bins: 255,
            bootstrap: true,
            out_of_bag: true,
            seed: 0,
        }
    }
}

impl ForestParams {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// The first parameter that does not fit.
    pub fn check(self) -> Result<ForestValidParams, ParamError> {
        check_forest(&self)?;
        Ok(ForestValidParams(self))
    }
}

/// Forest parameters that are all in range.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestValidParams(ForestParams);

impl ForestValidParams {
    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &ForestParams {
        &self.0
    }
}

fn check_forest(params: &ForestParams) -> Result<(), ParamError> {
    check_integer("n_trees", params.n_trees, 1, 65_535)?;
    check_integer("min_rows_in_leaf", params.min_rows_in_leaf, 1, u64::from(u32::MAX))?;
    check_integer("max_bins", params.max_bins, 3, 255)?;
    if let FeatureShare::Share(share) = params.features {
        check_real("features", share, share > 0.0 && share <= 1.0, "a share above 0, at most 1")?;
    }
    let gain = params.min_gain;
    check_real("min_gain", gain, gain.is_finite() && gain >= 0.0, "a finite number not below 0")?;
    if params.out_of_bag && !params.bootstrap {
        return Err(ParamError::Contradiction {
            field: "out_of_bag",
            other: "bootstrap",
            reason: "without bootstrap every tree sees every row; turn one of them around",
        });
    }
    Ok(())
}
