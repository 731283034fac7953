//! `segue.v1.ScoringService`.

mod chunks;
mod stream;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use segue_api::v1 as pb;
use segue_api::v1::scoring_service_server::ScoringService;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::error::rpc_status;
use crate::from_proto::{Reading, RowPath};
use crate::guard::Deadline;
use crate::limits::Limits;
use crate::live::{LiveModels, Selected, Snapshot, Variant};
use crate::metrics::Metrics;
use crate::observe;
use crate::pool::{ScoringPool, catch};
use crate::prediction_log::Recorder;
use crate::score::{Job, Scored};
use crate::to_proto::{schema, served_by, target};
use crate::traffic::{Input, Shadows};
use crate::{Reason, ServeOptions, ServingError};

/// Answers scoring requests.
#[derive(Debug, Clone)]
pub(crate) struct Scoring(pub(crate) Arc<Shared>);

/// What scores, whatever the protocol that asks.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) live: Arc<LiveModels>,
    pub(crate) pool: ScoringPool,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shadows: Arc<Shadows>,
    pub(crate) options: ServeOptions,
    /// True from the moment when open streams must end.
    pub(crate) closing: watch::Receiver<bool>,
    pub(crate) request_ids: RequestIds,
    pub(crate) recorder: Arc<Recorder>,
}

impl Scoring {
    pub(crate) fn new(
        live: Arc<LiveModels>,
        pool: ScoringPool,
        limits: Arc<Limits>,
        (metrics, shadows): (Arc<Metrics>, Arc<Shadows>),
        options: ServeOptions,
        closing: watch::Receiver<bool>,
        recorder: Arc<Recorder>,
    ) -> Self {
        let request_ids = RequestIds::new();
        Self(Arc::new(Shared {
            live,
            pool,
            limits,
            metrics,
            shadows,
            options,
            closing,
            request_ids,
            recorder,
        }))
    }
}

#[tonic::async_trait]
impl ScoringService for Scoring {
    async fn score(
        &self,
        request: Request<pb::ScoreRequest>,
    ) -> Result<Response<pb::ScoreResponse>, Status> {
        let deadline = deadline_of(&request);
        let request = request.into_inner();
        if is_long(&request) {
            // The other requests of its connection need not wait for it.
            tokio::task::yield_now().await;
        }
        let snapshot = self.0.live.snapshot();
        Ok(Response::new(self.0.score(&snapshot, request, deadline)?))
    }

    async fn score_batch(
        &self,
        request: Request<pb::ScoreBatchRequest>,
    ) -> Result<Response<pb::ScoreBatchResponse>, Status> {
        let deadline = deadline_of(&request);
        // Once: every row is scored by the same versions.
        let snapshot = self.0.live.snapshot();
        let request = request.into_inner();
        let n_rows = request.rows.len();
        if n_rows > self.0.options.max_batch_rows {
            let max = self.0.options.max_batch_rows;
            let description =
                format!("{n_rows} rows, at most {max} are allowed; send several batches");
            return Err(ServingError::invalid("rows", Reason::BatchTooLarge, description).into());
        }
        let shared = Arc::clone(&self.0);
        let pool = &self.0.pool;
        let response = if shared.is_large(n_rows) {
            pool.run(move || shared.score_batch(&snapshot, request, deadline)).await??
        } else {
            shared.score_batch(&snapshot, request, deadline)?
        };
        Ok(Response::new(response))
    }

    type ScoreStreamStream = ReceiverStream<Result<pb::ScoreStreamResponse, Status>>;

    async fn score_stream(
        &self,
        request: Request<Streaming<pb::ScoreStreamRequest>>,
    ) -> Result<Response<Self::ScoreStreamStream>, Status> {
        let deadline = deadline_of(&request);
        let permit = self.0.limits.enter_stream()?;
        let answers = stream::answer(Arc::clone(&self.0), request.into_inner(), deadline, permit);
        Ok(Response::new(answers))
    }

    async fn get_model_schema(
        &self,
        request: Request<pb::GetModelSchemaRequest>,
    ) -> Result<Response<pb::GetModelSchemaResponse>, Status> {
        let selector = request.into_inner().model.unwrap_or_default();
        let selected = self.0.live.snapshot().select(&selector, "model")?;
        let served = &selected.served;
        let words = |column| {
            served.features.as_ref().map(|features| features.words(column)).unwrap_or_default()
        };
        let segments = served.segments.iter().flat_map(|segments| segments.names());
        Ok(Response::new(pb::GetModelSchemaResponse {
            served_by: Some(served_by(&selected)),
            schema: Some(schema(served.model.schema(), words)),
            target: Some(target(served.model.target())),
            task: served.model.task().to_owned(),
            accepts_events: served.features.is_some(),
            segments: segments.map(str::to_owned).collect(),
        }))
    }
}

impl Shared {
    pub(crate) fn score(
        &self,
        snapshot: &Snapshot,
        request: pb::ScoreRequest,
        deadline: Deadline,
    ) -> Result<pb::ScoreResponse, ServingError> {
        let started = Instant::now();
        deadline.check()?;
        let job = self.job(snapshot, &request.models, request.options, request.request_id)?;
        let scored = self.observed(&job, started, || job.score(request.row.as_ref(), RowPath::Row));
        let Scored { mut row, versions } = scored?;
        self.answered(&job, started, versions.iter().map(|version| (version, 1)));
        if job.selection.is_mirrored()
            && let Some(mut given) = request.row
        {
            self.mirror_row(&job, &row, &mut given);
        }
        // These versions alone have answered, so they alone are listed.
        for (index, prediction) in row.predictions.iter_mut().enumerate() {
            prediction.served_by_index = index as u32;
        }
        Ok(pb::ScoreResponse {
            result: Some(row),
            served_by: versions.iter().map(served_by).collect(),
            request_id: job.request_id,
        })
    }

    fn score_batch(
        &self,
        snapshot: &Snapshot,
        request: pb::ScoreBatchRequest,
        deadline: Deadline,
    ) -> Result<pb::ScoreBatchResponse, ServingError> {
        let started = Instant::now();
        let job = self.job(snapshot, &request.models, request.options, request.request_id)?;
        let (rows, partial) = (&request.rows, request.allow_partial);
        let score = |some: Range<usize>| job.score_rows(&rows[some.clone()], some.start, partial);
        let results: Vec<pb::RowResult> = self.observed(&job, started, || {
            let scored = self.each_chunk(rows.len(), deadline, score)?.into_iter().flatten();
            if partial {
                return Ok(scored.map(row_result).collect());
            }
            Ok(all_rows(scored)?.into_iter().map(|row| row_result(Ok(row))).collect())
        })?;
        let versions = job.selection.versions();
        self.answered(&job, started, versions.iter().zip(rows_by_slot(&results, versions.len())));
        if job.selection.is_mirrored() {
            for (mut row, result) in request.rows.into_iter().zip(&results) {
                if let Some(pb::row_result::Result::Row(scored)) = &result.result {
                    self.mirror_row(&job, scored, &mut row);
                }
            }
        }
        Ok(pb::ScoreBatchResponse {
            results,
            served_by: versions.iter().map(served_by).collect(),
            request_id: job.request_id,
        })
    }

    /// Works on ranges of rows that cover `0..n_rows`, looking at the deadline before each. Many rows
    /// are shared among the threads of the pool that this must then run on.
    pub(crate) fn each_chunk<T: Send>(
        &self,
        n_rows: usize,
        deadline: Deadline,
        work: impl Fn(Range<usize>) -> T + Sync,
    ) -> Result<Vec<T>, ServingError> {
        chunks::each(n_rows, self.is_large(n_rows), deadline, work)
    }

    /// Whether so many rows are for the pool.
    pub(crate) fn is_large(&self, n_rows: usize) -> bool {
        n_rows > self.options.inline_rows
    }

    /// Works on a request that has found its versions; counts it if it is refused.
    pub(crate) fn observed<T>(
        &self,
        job: &Job,
        started: Instant,
        work: impl FnOnce() -> Result<T, ServingError>,
    ) -> Result<T, ServingError> {
        let outcome = work();
        if outcome.is_err() {
            let took = started.elapsed();
            for selected in job.selection.unsplit() {
                selected.served.stats.refused(took);
            }
            observe::name(&job.request_id, started + took);
        }
        outcome
    }

    /// Hands a row that was answered to the shadows of its champions, if any want it.
    pub(crate) fn mirror(
        &self,
        job: &Job,
        scored: &pb::ScoredRow,
        key: &str,
        input: impl FnOnce() -> Input,
    ) {
        let wanted = Shadows::wanted(&job.selection, scored, key);
        if !wanted.is_empty() {
            self.shadows.offer(&job.selection, scored, wanted, job.reading, input());
        }
    }

    /// Takes the row away.
    fn mirror_row(&self, job: &Job, scored: &pb::ScoredRow, row: &mut pb::FeatureRow) {
        let key =
            if row.routing_key.is_empty() { &mut row.subject_id } else { &mut row.routing_key };
        let key = std::mem::take(key);
        self.mirror(job, scored, &key, || Input::Row(Box::new(std::mem::take(row))));
    }

    /// Counts a request that was answered, and how many of its rows by which version.
    pub(crate) fn answered<'a>(
        &self,
        job: &Job,
        started: Instant,
        rows: impl IntoIterator<Item = (&'a Selected, usize)>,
    ) {
        let took = started.elapsed();
        self.metrics.scoring.compute.observe(took.as_secs_f64());
        observe::name(&job.request_id, started + took);
        for (selected, n_rows) in rows {
            // A canary that none of the rows went to has answered nothing.
            if n_rows > 0 || selected.variant != Variant::Canary {
                selected.served.stats.answered(n_rows, took, job.reading.now_us);
                observe::note(selected, n_rows, started + took);
            }
        }
    }

    /// The versions and options of a request.
    fn job(
        &self,
        snapshot: &Snapshot,
        models: &[pb::ModelSelector],
        options: Option<pb::ScoreOptions>,
        request_id: String,
    ) -> Result<Job, ServingError> {
        if models.len() > MAX_MODELS {
            let n_models = models.len();
            let description = format!("{n_models} models, at most {MAX_MODELS} are allowed");
            return Err(ServingError::invalid("models", Reason::FieldInvalid, description));
        }
        let options = options.unwrap_or_default();
        let reading = Reading {
            allow_missing: options.allow_missing,
            strict: options.strict,
            max_row_events: self.options.max_row_events,
            now_us: now_us(),
        };
        Ok(Job {
            selection: snapshot.select_all(models)?,
            options,
            reading,
            recorder: Arc::clone(&self.recorder),
            request_id: self.request_ids.or_new(request_id, "request_id")?,
        })
    }
}

/// Whether a row takes longer than a task of its own costs.
fn is_long(request: &pb::ScoreRequest) -> bool {
    let is_explained = request.options.as_ref().is_some_and(|options| options.explain);
    let features = request.row.as_ref().and_then(|row| row.features.as_ref());
    is_explained || matches!(features, Some(pb::feature_row::Features::Events(_)))
}

/// Models that a request may select.
const MAX_MODELS: usize = 64;

/// Bytes of an id: it is kept and answered once a row and once a request.
pub(crate) const MAX_TEXT_BYTES: usize = 1024;

/// How many rows each of so many versions has answered.
fn rows_by_slot(results: &[pb::RowResult], n_versions: usize) -> Vec<usize> {
    let mut n_rows = vec![0; n_versions];
    for result in results {
        let Some(pb::row_result::Result::Row(row)) = &result.result else { continue };
        for prediction in &row.predictions {
            n_rows[prediction.served_by_index as usize] += 1;
        }
    }
    n_rows
}

fn row_result(row: Result<pb::ScoredRow, ServingError>) -> pb::RowResult {
    use pb::row_result::Result as Outcome;
    let outcome = match row {
        Ok(row) => Outcome::Row(row),
        Err(error) => Outcome::Error(rpc_status(error)),
    };
    pb::RowResult { result: Some(outcome) }
}

/// All rows, or everything that is wrong with any of them.
fn all_rows<T>(
    rows: impl Iterator<Item = Result<T, ServingError>>,
) -> Result<Vec<T>, ServingError> {
    let (mut good, mut violations) = (Vec::new(), Vec::new());
    for row in rows {
        match row {
            Ok(row) => good.push(row),
            Err(ServingError::Invalid(more)) => violations.extend(more),
            Err(error) => return Err(error),
        }
    }
    if violations.is_empty() { Ok(good) } else { Err(ServingError::Invalid(violations)) }
}

/// The guard puts a deadline on every request.
pub(crate) fn deadline_of<T>(request: &Request<T>) -> Deadline {
    let now = || Deadline(tokio::time::Instant::now());
    request.extensions().get::<Deadline>().copied().unwrap_or_else(now)
}

pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Makes ids for requests that have none: unique in this process, and by its start among others.
#[derive(Debug)]
pub(crate) struct RequestIds {
    start_us: i64,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        Self { start_us: now_us(), next: AtomicU64::new(1) }
    }

    /// The id that the request gives in `field`, if it gives one.
    pub(crate) fn or_new(&self, given: String, field: &str) -> Result<String, ServingError> {
        if given.is_empty() {
            Ok(format!("{:x}-{:x}", self.start_us, self.next.fetch_add(1, Ordering::Relaxed)))
        } else if given.len() > MAX_TEXT_BYTES {
            let description =
                format!("{} bytes, at most {MAX_TEXT_BYTES} are allowed", given.len());
            Err(ServingError::invalid(field, Reason::FieldInvalid, description))
        } else {
            Ok(given)
        }
    }
}
