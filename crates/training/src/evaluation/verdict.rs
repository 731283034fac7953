//! Plain sentences for the person who decides whether to promote.
//!
//! Every sentence states the figure, the bound it was held against, and what follows. None hides
//! behind an average: the worst slice, the strongest drift and the smallest segment are named.

use serde::{Deserialize, Serialize};

use super::bootstrap::Estimate;
use super::compare::{Comparison, Contender};
use super::detail::Detail;
use super::metric::Metric;
use super::{Evaluation, EvaluationOptions, TargetSummary};

/// Positives in the test part under which no figure is firm.
const FEW_POSITIVES: usize = 100;
/// An AUC that real behaviour seldom allows.
const SUSPICIOUS_AUC: f64 = 0.98;
/// Population stability: worth a look, and no longer the same population.
const PSI_NOTABLE: f64 = 0.10;
const PSI_STRONG: f64 = 0.25;
/// AUC by which a slice may trail the whole.
const SLICE_AUC_MARGIN: f64 = 0.05;
/// A feature this empty is hardly a feature.
const MOSTLY_MISSING: f64 = 0.95;

/// What a sentence means for promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Speaks for promotion.
    Good,
    /// To be known; neither for nor against.
    Note,
    /// To be looked at first.
    Warning,
    /// Speaks against promotion.
    Bad,
}

/// One sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it means for promotion.
    pub level: Level,
    /// The sentence.
    pub text: String,
}

/// What the sentences add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recommendation {
    /// Nothing speaks against it.
    Promote,
    /// There are warnings.
    LookFirst,
    /// Something speaks against it.
    DoNotPromote,
}

impl Recommendation {
    /// The worst sentence decides.
    #[must_use]
    pub fn of(verdicts: &[Verdict]) -> Self {
        let any = |level| verdicts.iter().any(|verdict| verdict.level == level);
        if any(Level::Bad) {
            Self::DoNotPromote
        } else if any(Level::Warning) {
            Self::LookFirst
        } else {
            Self::Promote
        }
    }
}

pub(super) fn verdicts(evaluation: &Evaluation, options: &EvaluationOptions) -> Vec<Verdict> {
    let mut list = Vec::new();
    let headline = match evaluation.target {
        TargetSummary::Binary => Metric::Auc,
        TargetSummary::Multiclass { .. } => Metric::LogLoss,
        // A single feature has an order but seldom the scale of the value.
        TargetSummary::Regression => Metric::Spearman,
    };
    discrimination(evaluation, headline, &mut list);
    for comparison in &evaluation.comparisons {
        beats(comparison, headline, &mut list);
    }
    calibration(evaluation, options, &mut list);
    enough_data(evaluation, &mut list);
    slices(evaluation, &mut list);
    drift(evaluation, &mut list);
    columns(evaluation, &mut list);
    segments(evaluation, &mut list);
    // Worst first among equals of reading order: what speaks against promotion must not be last.
    list.sort_by_key(|verdict| match verdict.level {
        Level::Bad => 0,
        Level::Warning => 1,
        Level::Good => 2,
        Level::Note => 3,
    });
    list
}

fn say(list: &mut Vec<Verdict>, level: Level, text: String) {
    list.push(Verdict { level, text });
}

/// `0.812 (95 % CI 0.801 to 0.823)`.
fn with_interval(estimate: &Estimate) -> String {
    match (estimate.value, estimate.interval) {
        (None, _) => "not defined".to_owned(),
        (Some(value), None) => format!("{value:.3}"),
        (Some(value), Some((low, high))) => {
            format!("{value:.3} (95 % CI {low:.3} to {high:.3})")
        }
    }
}

fn discrimination(evaluation: &Evaluation, headline: Metric, list: &mut Vec<Verdict>) {
    let estimate = evaluation.scorecard.get(&headline).copied().unwrap_or_default();
    let Some(value) = estimate.value else {
        let why = "the test rows hold one outcome only, or too few rows";
        let text = format!("{} is not defined: {why}", headline.title());
        return say(list, Level::Bad, text);
    };
    if headline != Metric::Auc {
        let text = format!("{} is {}", headline.title(), with_interval(&estimate));
        return say(list, Level::Note, text);
    }
    let (level, word) = match value {
        v if v >= 0.85 => (Level::Good, "excellent"),
        v if v >= 0.75 => (Level::Good, "good"),
        v if v >= 0.65 => (Level::Note, "fair"),
        v if v >= 0.55 => (Level::Warning, "weak"),
        _ => (Level::Bad, "no better than chance"),
    };
    say(list, level, format!("ranking is {word}: AUC {}", with_interval(&estimate)));
    if value >= SUSPICIOUS_AUC {
        let text = "AUC is too good for human behaviour: look for a feature that knows the outcome";
        say(list, Level::Warning, text.to_owned());
    }
}

fn beats(comparison: &Comparison, headline: Metric, list: &mut Vec<Verdict>) {
    // A ranking metric says nothing against a constant: the base rate is met on its own ground.
    let metric = match (comparison.contender, headline) {
        (Contender::BaseRate, Metric::Spearman) => Metric::Rmse,
        (Contender::BaseRate, _) => Metric::LogLoss,
        _ => headline,
    };
    let Some(advantage) = comparison.advantage.get(&metric) else { return };
    let Some(value) = advantage.value else { return };
    let name = match comparison.contender {
        Contender::BaseRate => "the base rate".to_owned(),
        Contender::SingleFeature => format!("the best single feature ({})", comparison.name),
        Contender::Learner => comparison.name.clone(),
    };
    let unit = if metric == Metric::LogLoss { "log loss" } else { metric.title() };
    let (low, high) = advantage.interval.unwrap_or((value, value));
    let figures = format!("{:.3} {unit} (95 % CI {low:.3} to {high:.3})", value.abs());
    let must_beat = comparison.contender != Contender::Learner;
    if low > 0.0 {
        say(list, Level::Good, format!("beats {name} by {figures}"));
    } else if high < 0.0 {
        let level = if must_beat { Level::Bad } else { Level::Warning };
        // The interval of the advantage, read from the other side.
        let figures = format!("{:.3} {unit} (95 % CI {:.3} to {:.3})", value.abs(), -high, -low);
        say(list, level, format!("is worse than {name} by {figures}"));
    } else {
        let level = if must_beat { Level::Warning } else { Level::Note };
        let text = format!(
            "is not clearly better than {name}: difference {value:+.3} {unit} (95 % CI {low:+.3} to {high:+.3})"
        );
        say(list, level, text);
    }
}

fn calibration(evaluation: &Evaluation, options: &EvaluationOptions, list: &mut Vec<Verdict>) {
    let Some(error) =
        evaluation.scorecard.get(&Metric::CalibrationError).and_then(|estimate| estimate.value)
    else {
        return;
    };
    let bound = options.calibration_bound;
    let before = evaluation.uncalibrated.get(&Metric::CalibrationError);
    let before = before.map_or_else(String::new, |raw| format!(" ({raw:.3} before calibration)"));
    if error <= bound {
        let text = format!("calibration error {error:.3}{before}: within {bound}");
        return say(list, Level::Good, text);
    }
    let hint = match &evaluation.detail {
        Detail::Binary { line: Some(line), .. } if line.slope < 0.9 => {
            "; probabilities are too extreme"
        }
        Detail::Binary { line: Some(line), .. } if line.slope > 1.1 => {
            "; probabilities are too timid"
        }
        _ => "",
    };
    let text = format!(
        "calibration error {error:.3}{before}: above {bound}, do not read scores as probabilities{hint}"
    );
    say(list, Level::Warning, text);
}

fn enough_data(evaluation: &Evaluation, list: &mut Vec<Verdict>) {
    let (train, test) = (&evaluation.train, &evaluation.test);
    let positives = match evaluation.target {
        TargetSummary::Binary => "positives",
        TargetSummary::Multiclass { .. } => "rows of the rarest class",
        TargetSummary::Regression => return,
    };
    if test.n_positives < FEW_POSITIVES {
        let text = format!(
            "only {} {positives} in the test rows: intervals are wide, wait for more data",
            test.n_positives
        );
        say(list, Level::Warning, text);
    }
    if let (TargetSummary::Binary, Some(before), Some(after)) =
        (&evaluation.target, train.mean_label, test.mean_label)
        && before > 0.0
        && !(0.67..=1.5).contains(&(after / before))
    {
        let text = format!(
            "the outcome rate moved from {:.1} % in training to {:.1} % in the test rows",
            before * 100.0,
            after * 100.0
        );
        say(list, Level::Warning, text);
    }
}

fn slices(evaluation: &Evaluation, list: &mut Vec<Verdict>) {
    let overall = evaluation.scorecard.get(&Metric::Auc).and_then(|estimate| estimate.value);
    let (Some(overall), false) = (overall, evaluation.slices.is_empty()) else { return };
    let mut n_judged = 0;
    let mut failing = 0;
    for (table, row) in evaluation.slices.iter().flat_map(|t| t.rows.iter().map(move |r| (t, r))) {
        let Some(auc) = row.scorecard.get(&Metric::Auc) else { continue };
        let (Some(value), Some((_, high))) = (auc.value, auc.interval) else { continue };
        n_judged += 1;
        // Behind, and not by chance.
        if value < overall - SLICE_AUC_MARGIN && high < overall {
            failing += 1;
            let text = format!(
                "slice {} = {} trails: AUC {} against {overall:.3} overall",
                table.column,
                row.label,
                with_interval(auc)
            );
            say(list, Level::Warning, text);
        }
    }
    if n_judged > 0 && failing == 0 {
        let text = format!(
            "holds in all {n_judged} slices: none clearly trails the whole by more than {SLICE_AUC_MARGIN} AUC"
        );
        say(list, Level::Good, text);
    }
}

fn drift(evaluation: &Evaluation, list: &mut Vec<Verdict>) {
    let Some(worst) = evaluation.drift.first() else { return };
    let count = |bound: f64| evaluation.drift.iter().filter(|drift| drift.psi > bound).count();
    let named = format!("most in {} (PSI {:.2})", worst.feature, worst.psi);
    if count(PSI_STRONG) > 0 {
        let text = format!(
            "{} moved strongly from train to test (PSI above {PSI_STRONG}), {named}",
            features(count(PSI_STRONG))
        );
        say(list, Level::Warning, text);
    } else if count(PSI_NOTABLE) > 0 {
        let text = format!(
            "{} moved from train to test (PSI above {PSI_NOTABLE}), {named}",
            features(count(PSI_NOTABLE))
        );
        say(list, Level::Note, text);
    } else {
        let text = format!("features are stable from train to test: {named}");
        say(list, Level::Good, text);
    }
}

fn features(count: usize) -> String {
    if count == 1 { "1 feature".to_owned() } else { format!("{count} features") }
}

fn columns(evaluation: &Evaluation, list: &mut Vec<Verdict>) {
    let constant = evaluation.quality.iter().filter(|quality| quality.constant).count();
    let empty = evaluation
        .quality
        .iter()
        .filter(|quality| !quality.constant && quality.missing_train > MOSTLY_MISSING)
        .count();
    if constant > 0 {
        let text = format!("{} never varied in the training rows", features(constant));
        say(list, Level::Note, text);
    }
    if empty > 0 {
        let text = format!("{} missing in more than 95 % of the training rows", features(empty));
        say(list, Level::Note, text);
    }
    // New columns of nothing after training: a broken feed looks like this.
    for quality in &evaluation.quality {
        if quality.missing_test > 0.5 && quality.missing_test > quality.missing_train + 0.3 {
            let text = format!(
                "feature {} went missing: {:.0} % of the test rows against {:.0} % in training",
                quality.feature,
                quality.missing_test * 100.0,
                quality.missing_train * 100.0
            );
            say(list, Level::Warning, text);
        }
    }
    let single = evaluation.comparisons.iter().find(|c| c.contender == Contender::SingleFeature);
    if let Some(single) = single
        && let Some(Some(auc)) = single.scorecard.get(&Metric::Auc).map(|auc| auc.value)
        && auc >= SUSPICIOUS_AUC
    {
        let text = format!(
            "feature {} alone reaches AUC {auc:.3}: it may be written after the outcome",
            single.name
        );
        say(list, Level::Warning, text);
    }
}

fn segments(evaluation: &Evaluation, list: &mut Vec<Verdict>) {
    for segment in &evaluation.segments {
        if let (Some(name), Some(why)) = (&segment.name, &segment.too_small) {
            say(list, Level::Warning, format!("segment {name}: {why}"));
        }
    }
}
