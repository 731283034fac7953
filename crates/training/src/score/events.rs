//! Raw events in, one scored row a user out.

use segue_events::{EventLog, History, Micros};
use segue_features::{RequestFields, Scratch as FeatureScratch};
use segue_model::Scratch;

use super::output::Batch;
use super::{FileScorer, ScoreError, ScoreSummary, ScoreTarget, answer};
use crate::export::column;
use crate::write::TableWriter;

/// Users in memory as scored rows at a time.
const BATCH_USERS: usize = 20_000;

/// When the users of a log are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventScoring {
    /// The instant, microseconds UTC; `None` is just after the last thing that became known.
    pub at: Option<Micros>,
}

/// Scores every user of a log as of one instant. Histories are freed as soon as their rows are
/// written.
///
/// # Errors
/// A model without a feature set, or a file that cannot be written; then no output is left.
pub fn score_events(
    scorers: &[FileScorer],
    log: EventLog,
    scoring: EventScoring,
    target: ScoreTarget<'_>,
) -> Result<ScoreSummary, ScoreError> {
    let t = scoring.at.unwrap_or(log.last_known_ts.max(log.last_ts).saturating_add(1));
    let EventLog { symbols, histories, .. } = log;
    let evaluators = scorers
        .iter()
        .map(|scorer| match &scorer.feature_set {
            Some(set) => Ok(set.bind(&symbols)),
            None => Err(ScoreError::NoFeatureSet { model: scorer.name.clone() }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut writer = TableWriter::new(target.path)?;
    let (mut summary, request) = (ScoreSummary::default(), RequestFields::new());
    let mut scratch = Scratch::default();
    let mut feature_scratch: Vec<FeatureScratch> =
        scorers.iter().map(|_| FeatureScratch::default()).collect();
    let mut rows: Vec<Vec<f64>> =
        scorers.iter().map(|scorer| vec![f64::NAN; scorer.model.schema().len()]).collect();
    let n_users = histories.len() as u64;
    let mut histories = histories.into_iter();
    loop {
        let histories: Vec<History> = histories.by_ref().take(BATCH_USERS).collect();
        if histories.is_empty() {
            break;
        }
        let mut batch = Batch::new(scorers, target.n_reasons);
        for history in &histories {
            for ((evaluator, scratch), row) in
                evaluators.iter().zip(&mut feature_scratch).zip(&mut rows)
            {
                evaluator.row_with(scratch, history, t, &request, row);
            }
            let answers = answer(scorers, &rows, target.n_reasons, &mut scratch);
            summary.n_segment_errors += answers.n_segment_errors;
            batch.push(answers);
        }
        let users: Vec<&str> =
            histories.iter().map(|history| symbols.text(history.user())).collect();
        let mut columns = vec![column("user", users), column("t", vec![t; histories.len()])];
        columns.extend(batch.into_columns());
        writer.write(histories.len(), columns)?;
        summary.n_rows += histories.len() as u64;
        (target.progress)(summary.n_rows, n_users);
    }
    writer.finish()?;
    Ok(summary)
}
