//! A job with every default in place, as a job file again.

use std::fmt::Write;

use serde::Serialize;

use super::{
    Answer, ClassWeightSection, EventsJob, Job, LearnerKind, LearnerSection, ObjectiveKind, OrAuto,
    Origin,
};
use crate::fit::learner_of;

impl Job {
    /// The whole job as TOML, defaults included: what `segue train --explain` prints and a version
    /// carries as `job.toml`. It reads back to the same job.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        // a String takes every write
        let _ = write!(
            text,
            "model = {}\ntask = {:?}\nseed = {}\n",
            toml::Value::from(self.model.clone()),
            self.task.name(),
            self.seed
        );
        match &self.origin {
            Origin::Events(events) => put_events(&mut text, events),
            Origin::Table(table) => put(&mut text, "table", table),
        }
        put(&mut text, "split", &self.split);
        put(&mut text, "preflight", &self.preflight);
        put(&mut text, "learner", &with_defaults(&self.learner, self.task.answer(), self.seed));
        put(&mut text, "compare", &self.compare);
        put(&mut text, "slices", &self.slices);
        put(&mut text, "gates", &self.gates);
        for segment in &self.segments {
            let body = toml::to_string(segment).unwrap_or_default();
            let _ = write!(text, "\n[[segments]]\n{body}");
        }
        text
    }
}

fn put_events(text: &mut String, events: &EventsJob) {
    put(text, "events", &events.source);
    put(text, "roles", &events.roles);
    put(text, "features", &events.features);
    put(text, "label", &events.label);
    let when = events.eligibility.clone().unwrap_or_default();
    let _ = write!(text, "\n[eligibility]\nwhen = {}\n", toml::Value::from(when));
    put(text, "spine", &events.spine);
}

/// A section with its sub-tables, whose headers toml writes relative to it.
fn put(text: &mut String, name: &str, section: &impl Serialize) {
    let table = toml::Table::from_iter([(
        name.to_owned(),
        toml::Value::try_from(section).unwrap_or_else(|_| toml::Table::new().into()),
    )]);
    let body = toml::to_string(&table).unwrap_or_default();
    let _ = write!(text, "\n{body}");
}

/// The learner's parameters as they will be used.
fn with_defaults(section: &LearnerSection, answer: Answer, seed: u64) -> LearnerSection {
    use segue_learners::{Learner, Objective};
    let kind = section.kind;
    let size = |n: usize| u32::try_from(n).ok();
    match learner_of(section, answer, seed) {
        Learner::Boosting(params) => LearnerSection {
            kind,
            objective: Some(section.objective.unwrap_or(ObjectiveKind::usual(answer))),
            alpha: match params.objective {
                Some(Objective::Quantile { alpha } | Objective::Focal { alpha, .. }) => Some(alpha),
                _ => None,
            },
            gamma: match params.objective {
                Some(Objective::Focal { gamma, .. }) => Some(gamma),
                _ => None,
            },
            power: match params.objective {
                Some(Objective::Tweedie { power }) => Some(power),
                _ => None,
            },
            rounds: size(params.n_rounds),
            learning_rate: Some(match section.learning_rate {
                Some(OrAuto::Auto) => OrAuto::Auto,
                _ => OrAuto::Fixed(params.learning_rate),
            }),
            leaves: match section.leaves {
                Some(OrAuto::Auto) => Some(OrAuto::Auto),
                _ => size(params.n_leaves).map(OrAuto::Fixed),
            },
            max_depth: size(params.max_depth),
            min_rows_per_leaf: size(params.min_rows_in_leaf),
            min_hessian_per_leaf: Some(params.min_hessian_in_leaf),
            l1: Some(params.lambda_l1),
            l2: Some(params.lambda_l2),
            min_gain: Some(params.min_gain),
            row_share: Some(params.row_share),
            goss: section.goss,
            dart: section.dart,
            column_share: Some(params.column_share),
            column_share_by_node: Some(params.column_share_by_node),
            extra_trees: Some(params.extra_trees),
            monotone: section.monotone.clone(),
            interactions: section.interactions.clone(),
            max_bins: size(params.max_bins),
            cat_smooth: Some(params.categories.smooth),
            cat_l2: Some(params.categories.l2),
            max_cat_threshold: size(params.categories.max_categories),
            max_cat_to_onehot: size(params.categories.one_vs_rest_up_to),
            min_data_per_group: size(params.categories.min_rows_per_group),
            early_stopping_rounds: size(params.early_stopping_rounds),
            positive_weight: section
                .positive_weight
                .or((answer == Answer::YesNo && section.class_weight.is_none()).then_some(1.0)),
            class_weight: section
                .class_weight
                .clone()
                .or((answer == Answer::Class).then_some(ClassWeightSection::Equal)),
            start_from: section.start_from.clone(),
            ..LearnerSection::default()
        },
        Learner::Forest(params) => LearnerSection {
            kind,
            trees: size(params.n_trees),
            max_depth: size(params.max_depth),
            min_rows_per_leaf: size(params.min_rows_in_leaf),
            min_gain: Some(params.min_gain),
            column_share: section.column_share,
            extra_trees: Some(params.extra_trees),
            max_bins: size(params.max_bins),
            bootstrap: Some(params.bootstrap),
            out_of_bag: Some(params.out_of_bag),
            ..LearnerSection::default()
        },
        Learner::LinfaTree(params) => LearnerSection {
            kind,
            max_depth: size(params.max_depth),
            min_rows_per_leaf: size(params.min_rows_in_leaf),
            sample_rows: Some(params.max_rows),
            ..LearnerSection::default()
        },
        Learner::SmartcoreForest(params) => LearnerSection {
            kind: LearnerKind::SmartcoreForest,
            trees: size(params.n_trees),
            max_depth: size(params.max_depth),
            min_rows_per_leaf: size(params.min_rows_in_leaf),
            sample_rows: Some(params.max_rows),
            ..LearnerSection::default()
        },
    }
}
