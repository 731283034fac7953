//! What a margin means, and where it starts.

use segue_dataset::TargetKind;

use super::single;
use crate::Link;
use crate::exchange::ImportError;
use crate::exchange::document::At;

/// The objective with its start margins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Objective {
    pub(super) target: TargetKind,
    pub(super) link: Link,
    /// Shape `(n_outputs,)`.
    pub(super) base: Vec<f64>,
}

/// How `base_score` becomes a margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inverse {
    Identity,
    Logit,
    Log,
}

/// The margin of a prediction, as XGBoost rounds it. Not finite outside the objective's predictions.
pub(super) fn margin(score: f32, inverse: Inverse) -> f64 {
    // 0 rather than -0, which the inverse of one half gives
    0.0 + match inverse {
        Inverse::Identity => f64::from(score),
        Inverse::Logit => single(-libm::log(f64::from(1.0 / score - 1.0))),
        Inverse::Log => single(libm::log(f64::from(score))),
    }
}

impl Objective {
    pub(super) fn read(
        learner: &At<'_>,
        parameters: &At<'_>,
        most_classes: usize,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ImportError> {
        let n_targets = parameters.find("num_target");
        if let Some(at) = &n_targets
            && at.number::<usize>()? > 1
        {
            return Err(at.unsupported("several targets"));
        }
        let at = learner.get("objective")?.get("name")?;
        let name = at.text()?;
        let class_count = parameters.get("num_class")?;
        let n_classes: usize = class_count.number()?;
        if n_classes > most_classes {
            return Err(class_count.unsupported(format!("{n_classes} classes")));
        }
        let meaning = Meaning::of(name, n_classes, warnings).map_err(|fault| match fault {
            Fault::Name(detail) => at.unsupported(detail),
            Fault::Classes(detail) => class_count.malformed(detail),
        })?;
        let Meaning { target, link, inverse } = meaning;
        let base = base(&parameters.get("base_score")?, target.n_outputs(), inverse)?;
        Ok(Self { target, link, base })
    }
}

/// What an objective says, whatever the file's format.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Meaning {
    pub(super) target: TargetKind,
    pub(super) link: Link,
    pub(super) inverse: Inverse,
}

/// What is wrong with an objective: its name is not supported, or its number of classes is no such.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    Name(String),
    Classes(String),
}

impl Meaning {
    pub(super) fn of(
        name: &str,
        n_classes: usize,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Fault> {
        let plain = (TargetKind::Regression, Link::Identity, Inverse::Identity);
        let exponential = (TargetKind::Regression, Link::Exp, Inverse::Log);
        let (target, link, inverse) = match name {
            "binary:logistic" | "reg:logistic" => {
                (TargetKind::Binary, Link::Logistic, Inverse::Logit)
            }
            "binary:logitraw" => {
                warnings.push("binary:logitraw: scores are given as probabilities".to_owned());
                (TargetKind::Binary, Link::Logistic, Inverse::Logit)
            }
            "multi:softprob" | "multi:softmax" => {
                if n_classes < 2 {
                    return Err(Fault::Classes(format!("{n_classes} classes for {name}")));
                }
                let classes = (0..n_classes).map(|class| class.to_string()).collect();
                (TargetKind::Multiclass { classes }, Link::Softmax, Inverse::Identity)
            }
            "reg:squarederror"
            | "reg:linear"
            | "reg:absoluteerror"
            | "reg:pseudohubererror"
            | "reg:quantileerror"
            | "reg:squaredlogerror" => plain,
            "rank:pairwise" | "rank:ndcg" | "rank:map" => {
                warnings.push(format!("objective {name}: its scores order, they predict nothing"));
                plain
            }
            "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => {
                exponential
            }
            _ => return Err(Fault::Name(format!("objective {name:?}"))),
        };
        Ok(Self { target, link, inverse })
    }
}

/// Start margins from a number, a text, or the text of a list.
fn base(at: &At<'_>, n_outputs: usize, inverse: Inverse) -> Result<Vec<f64>, ImportError> {
    let text = at.text().map_or_else(
        |_| at.number::<f64>().map(|n| n.to_string()),
        |text| Ok(text.trim().trim_start_matches('[').trim_end_matches(']').to_owned()),
    )?;
    let margin = |word: &str| {
        let score: f32 =
            word.trim().parse().map_err(|_| at.malformed(format!("{word:?} is no number")))?;
        let margin = margin(score, inverse);
        if margin.is_finite() {
            return Ok(margin);
        }
        Err(at.malformed(format!("{score} is outside the predictions of the objective")))
    };
    let margins: Vec<f64> = text.split(',').map(margin).collect::<Result<_, _>>()?;
    match margins.len() {
        1 => Ok(vec![margins[0]; n_outputs]),
        n if n == n_outputs => Ok(margins),
        n => Err(at.malformed(format!("{n} numbers for {n_outputs} outputs"))),
    }
}
