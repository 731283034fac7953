//! What a simulation reports: sizes, dirt by kind, base rates and the best score that anyone can reach.

use serde::Serialize;

use crate::truth::Truth;

/// What was written, and how well its outcomes can be known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimulationSummary {
    /// People who signed up: rows of the truth file.
    pub users: u64,
    /// Things that people did: every one once, without bots, repeats and inventions.
    pub events: u64,
    /// Lines of the event file, of every kind.
    pub lines: u64,
    /// Dirt by kind, counted in lines unless the name says otherwise.
    pub dirt: DirtCounts,
    /// No event in the label window.
    pub churn: TaskSummary,
    /// A `Support Ticket Opened` in the label window.
    pub support_need: TaskSummary,
    /// A `Plan Upgraded` in the label window.
    pub conversion: TaskSummary,
}

/// How often an outcome came true, and how well the true probabilities rank it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TaskSummary {
    /// People with the outcome.
    pub positives: u64,
    /// Their share, 0 to 1.
    pub base_rate: f64,
    /// Area under the ROC curve of the true probabilities on the outcomes drawn: no model beats it but
    /// by luck. None if everyone or no one has the outcome.
    pub bayes_auc: Option<f64>,
}

/// Dirt that was added, by kind. See [`crate::Dirt`] for what each is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DirtCounts {
    /// Lines sent a second time.
    pub duplicates: u64,
    /// Events received one hour to six days late.
    pub late: u64,
    /// Events received eight to twenty days late.
    pub too_late: u64,
    /// Users with a wrong clock.
    pub skewed_users: u64,
    /// Lines by a wrong clock, repeats included.
    pub skewed_events: u64,
    /// Invented lines from the future.
    pub future: u64,
    /// Crawlers.
    pub bots: u64,
    /// Lines of crawlers.
    pub bot_events: u64,
    /// Broken copies of lines.
    pub malformed: u64,
}

/// Collects probabilities and outcomes of the three tasks.
#[derive(Default)]
pub(crate) struct Tally {
    churn: Vec<(f64, bool)>,
    support_need: Vec<(f64, bool)>,
    conversion: Vec<(f64, bool)>,
}

impl Tally {
    pub(crate) fn add(&mut self, truth: &Truth) {
        self.churn.push((truth.odds.churn, truth.churned));
        self.support_need.push((truth.odds.support(), truth.needed_support));
        self.conversion.push((truth.odds.convert(), truth.converted));
    }

    /// Churn, support need and conversion.
    pub(crate) fn finish(self) -> [TaskSummary; 3] {
        [self.churn, self.support_need, self.conversion].map(|scores| {
            let positives = scores.iter().filter(|(_, outcome)| *outcome).count() as u64;
            TaskSummary {
                positives,
                base_rate: positives as f64 / scores.len().max(1) as f64,
                bayes_auc: auc(scores),
            }
        })
    }
}

/// Area under the ROC curve; pairs of equal score count half. None with fewer than two classes.
pub(crate) fn auc(mut scores: Vec<(f64, bool)>) -> Option<f64> {
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut negatives, mut positives, mut won) = (0.0, 0.0, 0.0);
    for tied in scores.chunk_by(|a, b| a.0 == b.0) {
        let tied_positives = tied.iter().filter(|(_, outcome)| *outcome).count() as f64;
        let tied_negatives = tied.len() as f64 - tied_positives;
        won += tied_positives * (negatives + 0.5 * tied_negatives);
        negatives += tied_negatives;
        positives += tied_positives;
    }
    (negatives > 0.0 && positives > 0.0).then(|| won / (negatives * positives))
}
