//! What the rows of a version looked like, so that later rows can be compared with them.
//!
//! profile.json: shares per bin of every feature and every output. Bins of numbers are quantiles of
//! the reference rows; later rows are counted into the *same* bins ([`Profile::counter`]), and the
//! population stability index compares the shares.

#[cfg(test)]
mod tests;

use segue_dataset::{FeatureKind, Matrix, Schema};
use serde::{Deserialize, Serialize};

/// Most bins of a number.
pub const MAX_BINS: usize = 20;

/// Shares below this are raised to it before the index divides by them (the usual floor).
pub const PSI_FLOOR: f64 = 1e-4;

/// How one variable's values are binned, and the share of rows in each bin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// Name of the feature or output.
    pub name: String,
    /// How values become bins.
    pub bins: Bins,
    /// Share of rows in each bin, shape `(n_bins,)`; with `missing` they sum to 1.
    pub shares: Vec<f64>,
    /// Share of rows without a value.
    pub missing: f64,
}

/// How values become bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bins {
    /// Bin `b` holds `edges[b-1] < value <= edges[b]`; the first and last are open. One bin more than
    /// edges.
    Quantiles(Vec<f64>),
    /// One bin a category, then one for categories not in the list.
    Categories(Vec<String>),
}

/// Distributions of every feature and output over some rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Digest of the schema that the features belong to.
    pub schema_digest: String,
    /// Rows counted.
    pub n_rows: u64,
    /// One a column of the schema, in order.
    pub features: Vec<Distribution>,
    /// One an output of the model, in order.
    pub outputs: Vec<Distribution>,
}

/// Why profiles cannot be compared or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The text is not a profile.
    #[error("not a profile: {0}")]
    Json(#[from] serde_json::Error),
    /// The profiles bin differently.
    #[error(
        "{name:?} is binned differently in the two profiles: count the later rows with the counter of the reference profile"
    )]
    Bins {
        /// Feature or output.
        name: String,
    },
    /// The profiles do not speak of the same columns.
    #[error("profile of {found} features and outputs, expected {expected}")]
    Columns {
        /// Features and outputs of the reference.
        expected: usize,
        /// Features and outputs of the other.
        found: usize,
    },
    /// Edges between which no value can be placed.
    #[error("{name:?} has bins whose edges are not finite and strictly ascending")]
    Edges {
        /// Feature or output.
        name: String,
    },
    /// Shares that do not belong to the bins.
    #[error("{name:?} has {found} shares, its bins ask for {expected}, each within [0, 1]")]
    Shares {
        /// Feature or output.
        name: String,
        /// Bins.
        expected: usize,
        /// Shares.
        found: usize,
    },
}

/// How far one variable has moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Feature or output.
    pub name: String,
    /// Population stability index, not below 0. Below 0.1 is usually called stable, above 0.25 moved.
    pub psi: f64,
    /// Share missing in the reference.
    pub missing_before: f64,
    /// Share missing in the other rows.
    pub missing_after: f64,
}

impl Profile {
    /// Learns bins from these rows and counts them.
    ///
    /// `outputs` is row-major, shape `(n_rows, output_names.len())`.
    ///
    /// # Panics
    /// If the matrix is not as wide as the schema, or `outputs` has another shape.
    #[must_use]
    pub fn of(
        schema: &Schema,
        features: &Matrix,
        output_names: &[String],
        outputs: &[f64],
    ) -> Self {
        assert_eq!(features.n_columns(), schema.len(), "matrix must have the schema's columns");
        let n_outputs = output_names.len();
        assert_eq!(outputs.len(), features.n_rows() * n_outputs, "one value a row and output");
        let empty = |name: &str, bins: Bins| Distribution {
            name: name.to_owned(),
            shares: vec![0.0; bins.len()],
            bins,
            missing: 0.0,
        };
        let columns = schema.features().iter().zip(features.columns());
        let of_features = columns.map(|(feature, column)| match &feature.kind {
            FeatureKind::Number => empty(&feature.name, quantiles(column.iter().copied())),
            FeatureKind::Category { vocabulary } => {
                empty(&feature.name, Bins::Categories(vocabulary.clone()))
            }
        });
        let of_outputs = output_names.iter().enumerate().map(|(output, name)| {
            empty(name, quantiles(outputs.iter().skip(output).step_by(n_outputs).copied()))
        });
        let bins = Self {
            schema_digest: schema.digest().to_string(),
            n_rows: 0,
            features: of_features.collect(),
            outputs: of_outputs.collect(),
        };
        bins.count(features, outputs)
    }

    /// Counts other rows into this profile's bins.
    ///
    /// # Panics
    /// If the matrix or `outputs` has another width than the profile.
    #[must_use]
    pub fn count(&self, features: &Matrix, outputs: &[f64]) -> Self {
        let mut counter = self.counter();
        let n_outputs = self.outputs.len();
        let mut row = vec![0.0; features.n_columns()];
        for index in 0..features.n_rows() {
            features.copy_row(index, &mut row);
            counter.add(&row, &outputs[index * n_outputs..][..n_outputs]);
        }
        counter.profile()
    }

    /// An empty counter with this profile's bins.
    #[must_use]
    pub fn counter(&self) -> ProfileCounter {
        let zeros = |of: &[Distribution]| of.iter().map(|d| vec![0; d.bins.len() + 1]).collect();
        ProfileCounter {
            bins: self.clone(),
            n_rows: 0,
            features: zeros(&self.features),
            outputs: zeros(&self.outputs),
        }
    }

    /// Population stability index of every feature, then every output, with `self` as the reference:
    /// `sum (after - before) * ln(after / before)` over bins, missing being one of them, shares
    /// floored at [`PSI_FLOOR`]. Of [`MAX_BINS`] categories or more, those that are rarer in `self`
    /// than one in [`MAX_BINS`] share bins of about that size, from the most frequent down. All zeros
    /// if either profile has no rows.
    ///
    /// # Errors
    /// [`ProfileError`] if the profiles do not share columns and bins.
    pub fn psi(&self, other: &Self) -> Result<Vec<Drift>, ProfileError> {
        let all = |profile: &Self| profile.features.len() + profile.outputs.len();
        let fits = self.features.len() == other.features.len() && all(self) == all(other);
        if !fits {
            return Err(ProfileError::Columns { expected: all(self), found: all(other) });
        }
        let nothing = self.n_rows == 0 || other.n_rows == 0;
        let before = self.features.iter().chain(&self.outputs);
        let after = other.features.iter().chain(&other.outputs);
        let drift = |(before, after): (&Distribution, &Distribution)| {
            if before.name != after.name || before.bins != after.bins {
                return Err(ProfileError::Bins { name: before.name.clone() });
            }
            Ok(Drift {
                name: before.name.clone(),
                psi: if nothing { 0.0 } else { psi(before, after) },
                missing_before: before.missing,
                missing_after: after.missing,
            })
        };
        before.zip(after).map(drift).collect()
    }

    /// The text of profile.json.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Plain lists of finite numbers and strings always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Reads profile.json.
    ///
    /// # Errors
    /// [`ProfileError::Json`], [`ProfileError::Edges`], or [`ProfileError::Shares`] if shares and
    /// bins do not fit.
    pub fn from_json(text: &str) -> Result<Self, ProfileError> {
        let profile: Self = serde_json::from_str(text)?;
        for of in profile.features.iter().chain(&profile.outputs) {
            if let Bins::Quantiles(edges) = &of.bins
                && !(edges.is_sorted_by(|a, b| a < b) && edges.iter().all(|edge| edge.is_finite()))
            {
                return Err(ProfileError::Edges { name: of.name.clone() });
            }
            let (expected, found) = (of.bins.len(), of.shares.len());
            let share = |share: &f64| (0.0..=1.0).contains(share);
            if expected != found || !of.shares.iter().all(share) || !share(&of.missing) {
                return Err(ProfileError::Shares { name: of.name.clone(), expected, found });
            }
        }
        Ok(profile)
    }
}

impl Bins {
    /// Number of bins, missing not among them.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Quantiles(edges) => edges.len() + 1,
            Self::Categories(categories) => categories.len() + 1,
        }
    }

    /// Never: there is at least one bin.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Bin of a value, `None` if it is missing. Of categories, what is no code is not in the list.
    #[must_use]
    pub fn bin_of(&self, value: f64) -> Option<usize> {
        if value.is_nan() {
            return None;
        }
        Some(match self {
            Self::Quantiles(edges) => edges.partition_point(|&edge| edge < value),
            Self::Categories(categories) => {
                let is_code = value >= 0.0 && value.fract() == 0.0;
                let known = is_code && value < categories.len() as f64;
                if known { value as usize } else { categories.len() }
            }
        })
    }
}

/// Rows counted into the bins of a reference profile, one at a time.
#[derive(Debug, Clone)]
pub struct ProfileCounter {
    bins: Profile,
    n_rows: u64,
    /// Per variable a count a bin, the last for missing.
    features: Vec<Vec<u64>>,
    outputs: Vec<Vec<u64>>,
}

impl ProfileCounter {
    /// Counts one row and its outputs.
    ///
    /// # Panics
    /// If the row or the outputs have another width than the profile.
    pub fn add(&mut self, row: &[f64], outputs: &[f64]) {
        assert_eq!(row.len(), self.features.len(), "row must have one value a feature");
        assert_eq!(outputs.len(), self.outputs.len(), "outputs must have one value an output");
        self.n_rows += 1;
        let columns = self.features.iter_mut().zip(&self.bins.features).zip(row);
        let outputs = self.outputs.iter_mut().zip(&self.bins.outputs).zip(outputs);
        for ((counts, of), &value) in columns.chain(outputs) {
            counts[of.bins.bin_of(value).unwrap_or(of.bins.len())] += 1;
        }
    }

    /// Counts the rows of another counter of the same profile as well.
    ///
    /// # Panics
    /// If the other counter is of a profile with other bins.
    pub fn absorb(&mut self, other: &Self) {
        self.n_rows += other.n_rows;
        let mine = self.features.iter_mut().chain(&mut self.outputs);
        let theirs = other.features.iter().chain(&other.outputs);
        assert_eq!(self.bins.features.len(), other.bins.features.len(), "same features");
        for (mine, theirs) in mine.zip(theirs) {
            assert_eq!(mine.len(), theirs.len(), "counters of one profile have the same bins");
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
        }
    }

    /// Rows counted so far.
    #[must_use]
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// The shares so far.
    #[must_use]
    pub fn profile(&self) -> Profile {
        let total = (self.n_rows as f64).max(1.0);
        let shares = |of: &[Distribution], counts: &[Vec<u64>]| {
            let one = |(of, counts): (&Distribution, &Vec<u64>)| {
                let share = |&count: &u64| count as f64 / total;
                Distribution {
                    shares: counts[..of.bins.len()].iter().map(share).collect(),
                    missing: share(&counts[of.bins.len()]),
                    ..of.clone()
                }
            };
            of.iter().zip(counts).map(one).collect()
        };
        Profile {
            schema_digest: self.bins.schema_digest.clone(),
            n_rows: self.n_rows,
            features: shares(&self.bins.features, &self.features),
            outputs: shares(&self.bins.outputs, &self.outputs),
        }
    }
}

/// Edges at the `1/20, 2/20, ...` quantiles of the values that are there, equal edges once.
fn quantiles(values: impl Iterator<Item = f64>) -> Bins {
    let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> = Vec::new();
    for bin in 1..MAX_BINS {
        // The largest value of the first `bin / MAX_BINS` of the rows.
        let at = (bin * sorted.len()).div_ceil(MAX_BINS);
        let Some(&edge) = at.checked_sub(1).and_then(|at| sorted.get(at)) else { break };
        // An edge at the largest value would leave nothing for the bin above it.
        let useful = edges.last().is_none_or(|&last| last < edge);
        if useful && sorted.last().is_some_and(|&largest| edge < largest) {
            edges.push(edge);
        }
    }
    Bins::Quantiles(edges)
}

fn psi(before: &Distribution, after: &Distribution) -> f64 {
    let term = |(before, after): (f64, f64)| {
        let (before, after) = (before.max(PSI_FLOOR), after.max(PSI_FLOOR));
        (after - before) * (after / before).ln()
    };
    let (groups, n_groups) = groups(before);
    let mut shares = vec![(0.0, 0.0); n_groups];
    for ((group, before), after) in groups.into_iter().zip(&before.shares).zip(&after.shares) {
        shares[group].0 += before;
        shares[group].1 += after;
    }
    shares.push((before.missing, after.missing));
    shares.into_iter().map(term).sum()
}

/// Of each bin the group that it counts with, and how many groups there are. Bins of numbers are about
/// equal by their making; of many categories, those that expect hardly a row would differ by chance, and
/// the index adds that up.
fn groups(reference: &Distribution) -> (Vec<usize>, usize) {
    let n_bins = reference.bins.len();
    // The last is for what is not in the list.
    let n_known = n_bins - 1;
    if matches!(reference.bins, Bins::Quantiles(_)) || n_known < MAX_BINS {
        return ((0..n_bins).collect(), n_bins);
    }
    let mut by_share: Vec<usize> = (0..n_known).collect();
    // Stable: of equal shares the first in the list.
    by_share.sort_by(|&a, &b| reference.shares[b].total_cmp(&reference.shares[a]));
    let least = 1.0 / MAX_BINS as f64;
    let total: f64 = reference.shares[..n_known].iter().sum();
    let (mut group, mut in_group, mut so_far) = (0, 0.0, 0.0);
    let mut groups = vec![0; n_bins];
    for bin in by_share {
        // What is left for a next group must be enough for it.
        if in_group >= least && total - so_far >= least {
            (group, in_group) = (group + 1, 0.0);
        }
        groups[bin] = group;
        in_group += reference.shares[bin];
        so_far += reference.shares[bin];
    }
    groups[n_known] = group + 1;
    (groups, group + 2)
}
