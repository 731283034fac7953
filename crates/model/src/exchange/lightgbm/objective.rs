//! What a score means, by the objective.

use segue_dataset::TargetKind;

use super::head::Head;
use super::place::Place;
use crate::Link;
use crate::exchange::ImportError;
use crate::exchange::assemble::{ForeignNode, ForeignTree};

/// What an objective's scores become.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Meaning {
    link: Link,
    classes: Classes,
    /// Factor of all leaves.
    scale: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Classes {
    Two,
    Many,
    None,
}

impl Head {
    /// Early forests of LightGBM kept probabilities in their leaves and averaged those; later ones
    /// average scores. Both write `average_output`, the early ones in a v2 file.
    pub(super) fn leaves_hold_probabilities(&self, trees: &[(Place, ForeignTree)]) -> bool {
        let leaves = trees.iter().flat_map(|(_, tree)| &tree.nodes);
        self.average
            && self.version == "v2"
            && leaves.clone().all(|node| match node {
                ForeignNode::Leaf { values, .. } => {
                    values.iter().all(|value| (0.0..=1.0).contains(value))
                }
                ForeignNode::Inner { .. } => true,
            })
    }

    /// Target, link, and the factor of all leaves.
    pub(super) fn target(
        &self,
        probabilities_in_leaves: bool,
        warnings: &mut Vec<String>,
    ) -> Result<(TargetKind, Link, f64), ImportError> {
        let mut meaning = self.meaning(warnings)?;
        if meaning.classes == Classes::Two && probabilities_in_leaves {
            // the sigmoid, and its factor, are in the leaves already
            meaning = Meaning { link: Link::Identity, scale: 1.0, ..meaning };
            warnings.push(
                "a forest of a v2 file with probabilities in its leaves: scores are their mean, \
                 as the LightGBM of that time gave"
                    .to_owned(),
            );
        }
        let scale = meaning.scale;
        if scale != 1.0 {
            warnings.push(format!("margins are {scale} times those of LightGBM (sigmoid)"));
        }
        let n = self.trees_per_iteration;
        let target = match meaning.classes {
            Classes::Many => {
                TargetKind::Multiclass { classes: (0..n).map(|class| class.to_string()).collect() }
            }
            Classes::Two => TargetKind::Binary,
            Classes::None => TargetKind::Regression,
        };
        if (meaning.classes == Classes::Many) != (n > 1) {
            let place = self.objective.as_ref().map_or(&self.start, |(place, _)| place);
            let detail = format!("an objective of another number of outputs than {n}");
            return Err(place.malformed(detail));
        }
        Ok((target, meaning.link, scale))
    }

    fn meaning(&self, warnings: &mut Vec<String>) -> Result<Meaning, ImportError> {
        let plain = Meaning { link: Link::Identity, classes: Classes::None, scale: 1.0 };
        let custom = |warnings: &mut Vec<String>| {
            let many = self.trees_per_iteration > 1;
            warnings.push(
                if many {
                    "no objective: its scores are read as class probabilities, cut to 0 to 1"
                } else {
                    "no objective: its scores are read as numbers, as LightGBM gives them"
                }
                .to_owned(),
            );
            let classes = if many { Classes::Many } else { Classes::None };
            Meaning { classes, ..plain }
        };
        let Some((place, text)) = &self.objective else { return Ok(custom(warnings)) };
        let mut words = text.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let sigmoid = words.clone().find_map(|word| word.strip_prefix("sigmoid:"));
        if words.any(|word| word == "sqrt") {
            return Err(place.unsupported("reg_sqrt squares its scores"));
        }
        Ok(match name {
            "binary" => {
                let scale = match sigmoid {
                    Some(text) => text.parse().map_err(|_| {
                        place.malformed(format!("sigmoid {text:?} is not a number"))
                    })?,
                    None => 1.0,
                };
                if !(scale > 0.0 && f64::is_finite(scale)) {
                    return Err(place.malformed(format!("sigmoid {scale}, expected above 0")));
                }
                Meaning { link: Link::Logistic, classes: Classes::Two, scale }
            }
            "cross_entropy" | "xentropy" => {
                Meaning { link: Link::Logistic, classes: Classes::Two, scale: 1.0 }
            }
            "multiclass" | "softmax" => {
                Meaning { link: Link::Softmax, classes: Classes::Many, scale: 1.0 }
            }
            "regression" | "regression_l2" | "regression_l1" | "huber" | "fair" | "quantile"
            | "mape" => plain,
            "lambdarank" | "rank_xendcg" => {
                warnings.push(format!("objective {name}: its scores order, they predict nothing"));
                plain
            }
            "poisson" | "gamma" | "tweedie" => Meaning { link: Link::Exp, ..plain },
            "custom" | "none" | "" => custom(warnings),
            "multiclassova" => {
                let detail = "multiclassova gives probabilities that do not sum to 1";
                return Err(place.unsupported(detail));
            }
            _ => return Err(place.unsupported(format!("objective {name:?}"))),
        })
    }
}
