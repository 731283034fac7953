//! Raw events in, one scored row a user out.

use segue_events::{History, Micros, Symbols};
use segue_features::{Evaluator, RequestFields, Scratch as FeatureScratch};
use segue_model::Scratch;

use super::answers::{Answers, BLOCK_ROWS, Rows, answer};
use super::output::columns_of;
use super::{Explain, FileScorer, ScoreError, ScoreSummary, ScoreTarget};
use crate::export::column;
use crate::read::{ArrangedLog, in_order};
use crate::write::TableWriter;

/// Users in memory as scored rows at a time, and in a row group of the output.
const BATCH_USERS: usize = 20_000;

/// When the users of a log are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventScoring {
    /// The instant, microseconds UTC; `None` is just after the last thing that became known.
    pub at: Option<Micros>,
}

/// Scores every user of a log as of one instant, in the order of their names. The rows do not depend
/// on whether the log lies in memory or on disk, nor on the number of threads.
///
/// # Errors
/// A model without a feature set, a file that cannot be written, or temporary files that cannot be
/// read; then no output is left.
pub fn score_events(
    scorers: &[FileScorer],
    log: ArrangedLog,
    scoring: EventScoring,
    target: ScoreTarget<'_>,
) -> Result<ScoreSummary, ScoreError> {
    for scorer in scorers {
        scorer.features()?;
    }
    let t = scoring.at.unwrap_or(log.last_instant().saturating_add(1));
    let n_threads = target.n_threads;
    let mut output = Output {
        scorers,
        t,
        target,
        n_users: log.n_users().unwrap_or_default(),
        writer: TableWriter::new(target.path)?,
        users: Vec::new(),
        answers: Answers::none(scorers),
        summary: ScoreSummary::default(),
    };
    match log {
        ArrangedLog::Whole(log) => {
            let users = Users::new(scorers, &log.symbols, t, target.explain)?;
            let blocks: Vec<&[History]> = log.histories.chunks(BLOCK_ROWS).collect();
            let score = |block: usize, room: &mut Room| Ok(users.score(blocks[block], room));
            in_order(
                blocks.len(),
                n_threads,
                || users.room(),
                score,
                |scored| output.take(scored),
            )?;
        }
        ArrangedLog::Grouped(log) => {
            let score = |part: usize, (): &mut ()| {
                let log = log.part(part)?;
                let users = Users::new(scorers, &log.symbols, t, target.explain)?;
                let mut room = users.room();
                let blocks = log.histories.chunks(BLOCK_ROWS);
                Ok(blocks.map(|block| users.score(block, &mut room)).collect())
            };
            in_order(
                log.n_parts(),
                n_threads,
                || (),
                score,
                |scored: Vec<Scored>| scored.into_iter().try_for_each(|scored| output.take(scored)),
            )?;
        }
    }
    output.finish()
}

/// The models and their features, ready for histories of one symbol table.
struct Users<'a> {
    scorers: &'a [FileScorer],
    evaluators: Vec<Evaluator<'a>>,
    symbols: &'a Symbols,
    t: Micros,
    explain: Explain,
}

/// Working memory of a thread.
struct Room {
    features: Vec<FeatureScratch>,
    model: Scratch,
}

/// Neighbouring users with their answers.
struct Scored {
    users: Vec<String>,
    answers: Answers,
}

impl<'a> Users<'a> {
    fn new(
        scorers: &'a [FileScorer],
        symbols: &'a Symbols,
        t: Micros,
        explain: Explain,
    ) -> Result<Self, ScoreError> {
        let bind = |scorer: &'a FileScorer| Ok(scorer.features()?.bind(symbols));
        let evaluators = scorers.iter().map(bind).collect::<Result<_, ScoreError>>()?;
        Ok(Self { scorers, evaluators, symbols, t, explain })
    }

    fn room(&self) -> Room {
        let features = self.evaluators.iter().map(|_| FeatureScratch::default()).collect();
        Room { features, model: Scratch::default() }
    }

    fn score(&self, histories: &[History], room: &mut Room) -> Scored {
        let request = RequestFields::new();
        let mut rows = Rows::with_capacity(self.scorers, histories.len());
        rows.n_rows = histories.len();
        let models = self.scorers.iter().zip(&self.evaluators);
        for (((scorer, evaluator), scratch), values) in
            models.zip(&mut room.features).zip(&mut rows.values)
        {
            let width = scorer.model.schema().len();
            values.resize(histories.len() * width, f64::NAN);
            // a model without columns has rows without values
            for (history, row) in histories.iter().zip(values.chunks_exact_mut(width.max(1))) {
                evaluator.row_with(scratch, history, self.t, &request, row);
            }
        }
        let answers = answer(self.scorers, &rows, self.explain, &mut room.model);
        let name = |history: &History| self.symbols.text(history.user()).to_owned();
        Scored { users: histories.iter().map(name).collect(), answers }
    }
}

/// Where scored users go: batches of one size, however they come.
struct Output<'a> {
    scorers: &'a [FileScorer],
    t: Micros,
    target: ScoreTarget<'a>,
    /// 0 if not known.
    n_users: u64,
    writer: TableWriter,
    users: Vec<String>,
    answers: Answers,
    summary: ScoreSummary,
}

impl Output<'_> {
    fn take(&mut self, scored: Scored) -> Result<(), ScoreError> {
        self.summary.n_segment_errors += scored.answers.n_segment_errors;
        self.users.extend(scored.users);
        self.answers.append(scored.answers);
        while self.users.len() > BATCH_USERS {
            let (users, answers) =
                (self.users.split_off(BATCH_USERS), self.answers.split_off(BATCH_USERS));
            let users = std::mem::replace(&mut self.users, users);
            let answers = std::mem::replace(&mut self.answers, answers);
            self.write(users, answers)?;
        }
        (self.target.progress)(self.summary.n_rows + self.users.len() as u64, self.n_users);
        Ok(())
    }

    fn write(&mut self, users: Vec<String>, answers: Answers) -> Result<(), ScoreError> {
        let n_rows = users.len();
        let mut columns = vec![column("user", users), column("t", vec![self.t; n_rows])];
        columns.extend(columns_of(self.scorers, self.target.explain, answers));
        self.writer.write(n_rows, columns)?;
        self.summary.n_rows += n_rows as u64;
        Ok(())
    }

    /// What is left is written even if it is nothing: a log without users has scores with a head.
    fn finish(mut self) -> Result<ScoreSummary, ScoreError> {
        let users = std::mem::take(&mut self.users);
        let answers = std::mem::take(&mut self.answers);
        self.write(users, answers)?;
        self.writer.finish()?;
        Ok(self.summary)
    }
}
