//! Rows of an event log: spine, eligibility, maturity, labels, split, features.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use segue_dataset::{Dataset, Matrix, RowKeys, Split, SplitPlan, Target, split_rows};
use segue_events::{EventLog, Micros, Scalar};
use segue_features::{Condition, FeatureSet, LogSummary, Measure, RequestFields, Scratch};
use sha2::{Digest, Sha256};

use super::label::labels;
use super::prepared::slices_of;
use super::{DataFacts, Prepared, RowsError, parse_instant, spine_of};
use crate::job::{EventsJob, Job, Spine, SplitBy, nearest};
use crate::read::ReadSummary;
use crate::train::with_threads;
use crate::watch::Watch;

/// Rows that one thread computes at a time.
pub(super) const CHUNK_ROWS: usize = 512;

/// Instants with their histories, labels, and what was left out.
#[derive(Debug)]
pub struct LogRows {
    /// Index of the history and instant of each row.
    pub rows: Vec<(usize, Micros)>,
    /// Labels.
    pub target: Target,
    /// Instants left out, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// Makes the rows of a job from its log and divides them.
///
/// Category vocabularies and everything else that is learned from values is learned on the training
/// rows only; with `fixed`, rows are computed by that feature set instead.
///
/// # Errors
/// [`RowsError`] names the key and what would help.
pub fn rows_of_log(
    job: &Job,
    events: &EventsJob,
    log: &EventLog,
    read: &ReadSummary,
    fixed: Option<&FeatureSet>,
    n_threads: usize,
    watch: &dyn Watch,
) -> Result<Prepared, RowsError> {
    with_threads(n_threads, || prepared(job, events, log, read, fixed, watch))
}

/// [`rows_of_log`] on the threads of the caller's pool.
fn prepared(
    job: &Job,
    events: &EventsJob,
    log: &EventLog,
    read: &ReadSummary,
    fixed: Option<&FeatureSet>,
    watch: &dyn Watch,
) -> Result<Prepared, RowsError> {
    watch.stage("labelling", 0);
    let summary = LogSummary::of(log);
    let LogRows { rows, target, dropped } = label_rows(job, events, log, &summary)?;
    let (keys, split) = divide(job, events, log, &rows)?;

    watch.stage("computing features", rows.len() as u64);
    let (set, left_out) = match fixed {
        Some(set) => (set.clone(), Vec::new()),
        None => {
            let expansion = events.features.expand(&events.roles, &summary)?;
            let train: Vec<_> = split.train.iter().map(|&row| rows[row as usize]).collect();
            let (roles, visibility) = (events.roles.clone(), events.features.visibility);
            let set = FeatureSet::learn(expansion.specs, roles, visibility, log, &train)?;
            (set, expansion.left_out)
        }
    };
    let features = compute(&set, log, &rows, watch);
    let dataset = Dataset::new(Arc::clone(set.schema()), features, target, None, keys)?;

    let by = job.slices.by.as_deref();
    let slices = slices_of(&dataset, by, |column| is_trait(&set, column), |_| false)
        .map_err(|known| RowsError::Slices { names: by.unwrap_or_default().to_vec(), known })?;
    let unread = read.unread.iter().map(|(column, found)| {
        (format!("column {column}"), format!("holds {found}, which no property can"))
    });
    let facts = DataFacts {
        digest: None,
        counts: counts(log, read),
        span_us: Some((log.first_ts, log.last_ts)),
        dropped,
        n_users: log.histories.len(),
        features_left_out: unread
            .chain(left_out.into_iter().map(|left_out| (left_out.what, left_out.reason)))
            .collect(),
    };
    Ok(Prepared { dataset, split, feature_set: Some(set), slices, facts })
}

/// Who and when each row is, and which rows fit, calibrate and test.
pub(crate) fn divide(
    job: &Job,
    events: &EventsJob,
    log: &EventLog,
    rows: &[(usize, Micros)],
) -> Result<(RowKeys, Split), RowsError> {
    let keys = RowKeys { user: users_of(log, rows), t: rows.iter().map(|&(_, t)| t).collect() };
    let embargo = job.split.embargo.unwrap_or(events.label.reach()).us;
    let (calibrate, test) = (job.split.calibrate, job.split.test);
    let plan = match job.split.by {
        SplitBy::Time => {
            let calibrate_seed = job.calibrate_seed();
            SplitPlan::ByTime { calibrate, test, embargo, calibrate_seed }
        }
        SplitBy::User => SplitPlan::ByUser { calibrate, test, seed: job.seed },
    };
    let split = split_rows(&keys, rows.len(), &plan)?;
    Ok((keys, split))
}

/// The user of each row; neighbouring rows of one user share the text.
fn users_of(log: &EventLog, rows: &[(usize, Micros)]) -> Vec<Arc<str>> {
    let mut users: Vec<Arc<str>> = Vec::with_capacity(rows.len());
    for (index, &(at, _)) in rows.iter().enumerate() {
        let user = match users.last() {
            Some(before) if rows[index - 1].0 == at => Arc::clone(before),
            _ => log.symbols.text(log.histories[at].user()).into(),
        };
        users.push(user);
    }
    users
}

/// The instants of a job that are mature and eligible, with their labels.
pub(crate) fn label_rows(
    job: &Job,
    events: &EventsJob,
    log: &EventLog,
    summary: &LogSummary,
) -> Result<LogRows, RowsError> {
    let reach = events.label.reach().us + events.source.lateness.us;
    let complete_until = events.source.complete_until.as_deref().and_then(parse_instant);
    let data_end = complete_until.unwrap_or(log.last_known_ts.max(log.last_ts));
    let latest = data_end.saturating_sub(reach);
    // a label that names nothing in the log is told before rows are counted
    labels(&events.label, log, summary, &events.roles, &[])?;
    let (mut rows, n_without_history) =
        spine_of(&events.spine, log, &events.roles, latest, &job.folder)?;
    let n_points = rows.len() + n_without_history as usize;
    let mut dropped = BTreeMap::new();
    dropped.insert("the spine's user is in no event of the log".to_owned(), n_without_history);
    let before = rows.len();
    rows.retain(|&(_, t)| t <= latest);
    dropped.insert(
        "label window not over when the data ends".to_owned(),
        (before - rows.len()) as u64,
    );
    if let Some(when) = &events.eligibility {
        let condition = Condition::parse_with(when, &events.roles, events.features.visibility)?;
        let bound = condition.bind(&log.symbols);
        let before = rows.len();
        rows = rows
            .par_chunks(CHUNK_ROWS)
            .flat_map_iter(|rows| {
                let mut scratch = Scratch::default();
                let holds = |&(at, t): &(usize, Micros)| {
                    bound.holds_with(&mut scratch, &log.histories[at], t)
                };
                rows.iter().copied().filter(holds).collect::<Vec<_>>()
            })
            .collect();
        dropped.insert(format!("not eligible ({when})"), (before - rows.len()) as u64);
    }
    dropped.retain(|_, n| *n > 0);
    if rows.is_empty() {
        let reasons: Vec<String> =
            dropped.iter().map(|(reason, n)| format!("{n} dropped: {reason}")).collect();
        return Err(RowsError::NoRows {
            n_points,
            dropped: if reasons.is_empty() {
                "none was dropped".to_owned()
            } else {
                reasons.join("; ")
            },
            hint: no_rows_hint(events, summary, n_points),
        });
    }
    let target = labels(&events.label, log, summary, &events.roles, &rows)?;
    Ok(LogRows { rows, target, dropped })
}

/// What would give rows: another event, if the spine's is not in the log, or more time.
fn no_rows_hint(events: &EventsJob, summary: &LogSummary, n_points: usize) -> String {
    match &events.spine {
        Spine::AfterStart { event, .. } | Spine::AtEvent { event, .. } if n_points == 0 => {
            let names: Vec<&str> =
                summary.most_frequent_events().into_iter().map(|(name, _)| name).collect();
            format!("no user has the event spine.event = {event:?}; {}", nearest(event, &names))
        }
        Spine::Table { user, .. } if n_points == 0 => {
            format!("no user of the column spine.user = {user:?} is in the log")
        }
        _ => "a shorter label.window, an earlier spine or a wider eligibility.when would keep rows"
            .to_owned(),
    }
}

/// Traits say who someone is; a slice by what they did would only repeat the prediction.
fn is_trait(set: &FeatureSet, column: usize) -> bool {
    matches!(set.specs()[column].measure, Measure::Trait { .. })
}

/// All rows through the one evaluator, a chunk a thread; chunks do not affect values.
fn compute(
    set: &FeatureSet,
    log: &EventLog,
    rows: &[(usize, Micros)],
    watch: &dyn Watch,
) -> Matrix {
    let evaluator = set.bind(&log.symbols);
    let request = RequestFields::new();
    let n_columns = set.schema().len();
    let done = AtomicU64::new(0);
    let chunk = |rows: &[(usize, Micros)]| {
        let mut scratch = Scratch::default();
        let mut values = vec![f64::NAN; rows.len() * n_columns];
        for (&(at, t), out) in rows.iter().zip(values.chunks_mut(n_columns.max(1))) {
            evaluator.row_with(&mut scratch, &log.histories[at], t, &request, out);
        }
        let n = rows.len() as u64;
        watch.done(done.fetch_add(n, Ordering::Relaxed) + n);
        values
    };
    let chunks: Vec<Vec<f64>> = rows.par_chunks(CHUNK_ROWS).map(chunk).collect();
    let column = |column: usize| {
        let mut values = Vec::with_capacity(rows.len());
        for chunk in &chunks {
            values.extend(chunk.iter().skip(column).step_by(n_columns));
        }
        values
    };
    Matrix::from_columns(rows.len(), (0..n_columns).into_par_iter().map(column).collect())
}

fn counts(log: &EventLog, read: &ReadSummary) -> Vec<(String, u64)> {
    let mut counts = vec![("records read".to_owned(), read.n_records)];
    for (reason, n, _) in &read.rejects {
        counts.push((format!("rejected: {}", reason.description()), *n));
    }
    let of_log = log.counts.table().into_iter().filter(|(key, _, n)| *n > 0 && *key != "read");
    counts.extend(of_log.map(|(_, words, n)| (words.to_owned(), n)));
    if read.notes.without_known_time > 0 {
        let words = "events without a time of receipt: taken as known when they happened";
        counts.push((words.to_owned(), read.notes.without_known_time));
    }
    if read.notes.skew_corrected > 0 {
        counts.push((
            "event times corrected for a wrong client clock".to_owned(),
            read.notes.skew_corrected,
        ));
    }
    counts
}

/// SHA-256 over all histories by text, so that it depends on no file, order or symbol number.
pub(crate) fn digest_of(log: &EventLog) -> String {
    let mut hash = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for history in &log.histories {
        put(log.symbols.text(history.user()).as_bytes());
        for at in 0..history.len() {
            put(&history.event_ts()[at].to_le_bytes());
            put(&history.known_ts()[at].to_le_bytes());
            put(log.symbols.text(history.name()[at]).as_bytes());
            put(log.symbols.text(history.session(at)).as_bytes());
            let mut properties: Vec<_> = history
                .properties(at)
                .iter()
                .map(|(key, value)| (log.symbols.text(*key), value))
                .collect();
            properties.sort_by_key(|(key, _)| *key);
            for (key, value) in properties {
                put(key.as_bytes());
                match value {
                    Scalar::Number(number) => put(&number.to_bits().to_le_bytes()),
                    Scalar::Text(text) => put(log.symbols.text(*text).as_bytes()),
                    Scalar::Flag(flag) => put(&[u8::from(*flag)]),
                }
            }
        }
    }
    hex::encode(hash.finalize())
}
