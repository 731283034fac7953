//! Raw events in, one scored row a user out.

use segue_events::{EventLog, Micros};
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

/// Scores every user of a log as of one instant.
///
/// # Errors
/// A model without a feature set, or a file that cannot be written; then no output is left.
pub fn score_events(
    scorers: &[FileScorer],
    log: &EventLog,
    scoring: EventScoring,
    target: ScoreTarget<'_>,
) -> Result<ScoreSummary, ScoreError> {
    let evaluators = scorers
        .iter()
        .map(|scorer| match &scorer.feature_set {
            Some(set) => Ok(set.bind(&log.symbols)),
            None => Err(ScoreError::NoFeatureSet { model: scorer.name.clone() }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let t = scoring.at.unwrap_or(log.last_known_ts.max(log.last_ts).saturating_add(1));
    let mut writer = TableWriter::new(target.path)?;
    let (mut summary, request) = (ScoreSummary::default(), RequestFields::new());
    let mut scratch = Scratch::default();
    let mut feature_scratch: Vec<FeatureScratch> =
        scorers.iter().map(|_| FeatureScratch::default()).collect();
    let mut rows: Vec<Vec<f64>> =
        scorers.iter().map(|scorer| vec![f64::NAN; scorer.model.schema().len()]).collect();
    for histories in log.histories.chunks(BATCH_USERS) {
        let mut batch = Batch::new(scorers, target.n_reasons);
        for history in histories {
            for ((evaluator, scratch), row) in
                evaluators.iter().zip(&mut feature_scratch).zip(&mut rows)
            {
                evaluator.row_with(scratch, history, t, &request, row);
            }
            batch.push(answer(scorers, &rows, target.n_reasons, &mut scratch));
        }
        let users: Vec<&str> =
            histories.iter().map(|history| log.symbols.text(history.user())).collect();
        let mut columns = vec![column("user", users), column("t", vec![t; histories.len()])];
        columns.extend(batch.into_columns());
        writer.write(histories.len(), columns)?;
        summary.n_rows += histories.len() as u64;
        (target.progress)(summary.n_rows, log.histories.len() as u64);
    }
    writer.finish()?;
    Ok(summary)
}
