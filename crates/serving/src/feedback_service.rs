//! `segue.v1.FeedbackService`: outcomes of predictions, and what they and the rows say of models.

mod files;
mod join;
mod known;
mod outcome;
mod performance;
mod store;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use segue_api::v1 as pb;
use segue_api::v1::feedback_service_server::FeedbackService;
use segue_model::Drift;
use segue_registry::check_model_name;
use tonic::{Request, Response, Status, Streaming};

pub use self::join::{JoinError, JoinRequest, Joined, join_predictions};
use self::performance::{Question, measured};
use self::store::{OutcomeStore, Recorded, Recording};
use crate::drift::{MIN_DRIFT_ROWS, MOVED_ABOVE, STABLE_BELOW};
use crate::error::rpc_status;
use crate::from_proto::micros_of;
use crate::metrics::LogMetrics;
use crate::pool::catch;
use crate::prediction_log::{Log, Recorder};
use crate::scoring_service::{Scoring, now_us};
use crate::to_proto::{timestamp, wire_version};
use crate::{Reason, ServeError, ServingError, Violation};

/// Outcomes of a stream that are recorded together.
const STREAM_CHUNK: usize = 512;

/// Refusals that the answer to a stream lists.
const MAX_STREAM_ERRORS: usize = 100;

/// What a performance is measured on if the request does not say: 30 days, in microseconds.
const DEFAULT_WINDOW_US: i64 = 30 * 24 * 3_600_000_000;

/// Answers for outcomes, performance and drift.
#[derive(Debug, Clone)]
pub(crate) struct Feedback {
    pub(crate) scoring: Scoring,
    /// Absent without a prediction log.
    store: Option<Arc<OutcomeStore>>,
}

impl Feedback {
    /// Reads the outcomes beside the log, if there is one.
    pub(crate) fn start(scoring: Scoring) -> Result<Self, ServeError> {
        let metrics: &LogMetrics = &scoring.0.metrics.log;
        let log = scoring.0.recorder.log();
        let store = log.map(|log| OutcomeStore::start(log, metrics.clone())).transpose()?;
        Ok(Self { store: store.map(Arc::new), scoring })
    }

    /// Writes what was given. Not for a thread that must not wait.
    pub(crate) fn finish(&self) {
        if let Some(store) = &self.store {
            store.finish();
        }
    }

    fn parts(&self) -> Result<(&OutcomeStore, &Log), ServingError> {
        let log = self.scoring.0.recorder.log();
        self.store.as_deref().zip(log).ok_or(ServingError::FeedbackOff)
    }

    /// Records those that can be read; each is answered for itself.
    async fn record(
        &self,
        outcomes: Vec<(Option<pb::Outcome>, String, String)>,
    ) -> Result<Vec<Recording>, ServingError> {
        let (store, _) = self.parts()?;
        let now_us = now_us();
        let mut answers: Vec<Option<Recording>> = Vec::with_capacity(outcomes.len());
        let mut good = Vec::with_capacity(outcomes.len());
        for (outcome, request_id, path) in outcomes {
            match wire::read(outcome, &request_id, &path, now_us) {
                Ok(outcome) => {
                    good.push(outcome);
                    answers.push(None);
                }
                Err(error) => {
                    self.scoring.0.metrics.log.refused("invalid").inc();
                    answers.push(Some(Err(error)));
                }
            }
        }
        let mut recorded = store.record(good).await?.into_iter();
        let missing = || Err(ServingError::Internal);
        let fill = |answer: Option<Recording>| {
            answer.unwrap_or_else(|| recorded.next().unwrap_or_else(missing))
        };
        Ok(answers.into_iter().map(fill).collect())
    }

    /// Reads the log on a thread that may wait.
    async fn measure(&self, question: Question) -> Result<Vec<pb::Performance>, ServingError> {
        self.parts()?;
        // Held while the log is read, also by those whose caller has left.
        let permit = self.scoring.0.limits.enter_performance()?;
        let this = self.clone();
        let work = move || {
            let _permit = permit;
            let (store, log) = this.parts()?;
            this.scoring.0.recorder.flush(false);
            let outcomes = store.known().between(question.start_us, question.end_us);
            measured(&log.folder, &outcomes, &question)
                .map_err(|error| ServingError::LogUnreadable { detail: error.to_string() })
        };
        let metrics = Arc::clone(&self.scoring.0.metrics);
        let work = tokio::task::spawn_blocking(move || catch(&metrics, work).flatten());
        work.await.map_err(|_| ServingError::Internal)?
    }

    fn drift(
        &self,
        request: &pb::GetDriftReportRequest,
    ) -> Result<pb::GetDriftReportResponse, ServingError> {
        let choice = request.version.map(pb::model_selector::Choice::Version);
        let selector = pb::ModelSelector { model: request.model.clone(), choice };
        let selection = self.scoring.0.live.snapshot().select(&selector, "")?;
        let served = &selection.served;
        if served.logged.profile.is_none() {
            let (model, version) = (served.name.clone(), served.version);
            return Err(ServingError::ProfileAbsent { model, version });
        }
        let recorder: &Recorder = &self.scoring.0.recorder;
        let now_us = now_us();
        let report = recorder.drift.report(&served.name, served.version, now_us);
        let report = report.filter(|report| report.digest == served.digest);
        let n_rows = report.as_ref().map_or(0, |report| report.n_rows);
        let variable = |drift: Drift| pb::VariableDrift {
            level: level(drift.psi, n_rows).into(),
            name: drift.name,
            psi: drift.psi,
            training_missing: drift.missing_before,
            missing: drift.missing_after,
        };
        let mut response = pb::GetDriftReportResponse {
            model: served.name.clone(),
            version: wire_version(served.version),
            digest: served.digest.clone(),
            row_count: i64::try_from(n_rows).unwrap_or(i64::MAX),
            min_row_count: i64::try_from(MIN_DRIFT_ROWS).unwrap_or(i64::MAX),
            end_time: Some(timestamp(now_us)),
            stable_below: STABLE_BELOW,
            moved_above: MOVED_ABOVE,
            ..Default::default()
        };
        if let Some(report) = report {
            response.training_row_count = i64::try_from(report.n_training_rows).unwrap_or(i64::MAX);
            response.start_time = Some(timestamp(report.start_us));
            response.features = report.features.into_iter().map(variable).collect();
            response.outputs = report.outputs.into_iter().map(variable).collect();
        }
        Ok(response)
    }
}

fn level(psi: f64, n_rows: u64) -> pb::DriftLevel {
    match psi {
        _ if n_rows < MIN_DRIFT_ROWS => pb::DriftLevel::NotEnough,
        psi if psi < STABLE_BELOW => pb::DriftLevel::Stable,
        psi if psi <= MOVED_ABOVE => pb::DriftLevel::Shifted,
        _ => pb::DriftLevel::Moved,
    }
}

#[tonic::async_trait]
impl FeedbackService for Feedback {
    async fn record_outcome(
        &self,
        request: Request<pb::RecordOutcomeRequest>,
    ) -> Result<Response<pb::RecordOutcomeResponse>, Status> {
        let pb::RecordOutcomeRequest { outcome, request_id } = request.into_inner();
        let one = (outcome, request_id, "outcome".to_owned());
        let recorded = self.record(vec![one]).await?.pop();
        let recorded = recorded.unwrap_or(Err(ServingError::Internal))?;
        Ok(Response::new(wire::response(recorded)))
    }

    async fn batch_record_outcomes(
        &self,
        request: Request<pb::BatchRecordOutcomesRequest>,
    ) -> Result<Response<pb::BatchRecordOutcomesResponse>, Status> {
        let pb::BatchRecordOutcomesRequest { outcomes, request_id } = request.into_inner();
        let max = self.scoring.0.options.max_batch_rows;
        if outcomes.len() > max {
            let description = format!(
                "{} outcomes, at most {max} are allowed; send several batches",
                outcomes.len()
            );
            let reason = Reason::BatchTooLarge;
            return Err(ServingError::invalid("outcomes", reason, description).into());
        }
        let one =
            |(index, outcome)| (Some(outcome), request_id.clone(), format!("outcomes[{index}]"));
        let outcomes = outcomes.into_iter().enumerate().map(one).collect();
        let results = self.record(outcomes).await?.into_iter().map(wire::result).collect();
        Ok(Response::new(pb::BatchRecordOutcomesResponse { results }))
    }

    async fn stream_outcomes(
        &self,
        request: Request<Streaming<pb::StreamOutcomesRequest>>,
    ) -> Result<Response<pb::StreamOutcomesResponse>, Status> {
        self.parts()?;
        let mut closing = self.scoring.0.closing.clone();
        let mut stream = request.into_inner();
        let mut summary = pb::StreamOutcomesResponse::default();
        let mut chunk = Vec::new();
        loop {
            let next = tokio::select! {
                biased;
                next = stream.message() => next?,
                _ = closing.wait_for(|closing| *closing) => {
                    return Err(ServingError::Draining.into());
                }
            };
            let is_over = next.is_none();
            if let Some(pb::StreamOutcomesRequest { outcome, request_id }) = next {
                chunk.push((outcome, request_id, "outcome".to_owned()));
            }
            if chunk.len() >= STREAM_CHUNK || (is_over && !chunk.is_empty()) {
                for recording in self.record(std::mem::take(&mut chunk)).await? {
                    add(&mut summary, recording);
                }
            }
            if is_over {
                return Ok(Response::new(summary));
            }
        }
    }

    async fn get_model_performance(
        &self,
        request: Request<pb::GetModelPerformanceRequest>,
    ) -> Result<Response<pb::GetModelPerformanceResponse>, Status> {
        let question = question(&request.into_inner())?;
        let (start, end) = (timestamp(question.start_us), timestamp(question.end_us));
        let performances = self.measure(question).await?;
        Ok(Response::new(pb::GetModelPerformanceResponse {
            performances,
            start_time: Some(start),
            end_time: Some(end),
        }))
    }

    async fn get_drift_report(
        &self,
        request: Request<pb::GetDriftReportRequest>,
    ) -> Result<Response<pb::GetDriftReportResponse>, Status> {
        Ok(Response::new(self.drift(&request.into_inner())?))
    }
}

fn add(summary: &mut pb::StreamOutcomesResponse, recording: Recording) {
    let index = summary.received_count;
    summary.received_count += 1;
    match recording {
        Ok(Recorded { is_matched, is_duplicate, is_correction }) => {
            summary.recorded_count += 1;
            summary.unmatched_count += i64::from(!is_matched);
            summary.duplicate_count += i64::from(is_duplicate);
            summary.correction_count += i64::from(is_correction);
        }
        Err(error) => {
            summary.refused_count += 1;
            if summary.errors.len() < MAX_STREAM_ERRORS {
                summary.errors.push(pb::OutcomeError { index, error: Some(rpc_status(error)) });
            }
        }
    }
}

fn question(request: &pb::GetModelPerformanceRequest) -> Result<Question, ServingError> {
    let mut violations = Vec::new();
    let mut bad = |field: &str, reason, description: &str| {
        let (field, description) = (field.to_owned(), description.to_owned());
        violations.push(Violation { field, reason, description });
    };
    if check_model_name(&request.model).is_err() {
        bad("model", Reason::ModelNameInvalid, "expected [a-z0-9][a-z0-9._-]{0,127}");
    }
    let version = request.version.map(|version| u64::try_from(version).unwrap_or(0));
    if version == Some(0) {
        bad("version", Reason::FieldInvalid, "versions count from 1");
    }
    let Ok(variant) = pb::Variant::try_from(request.variant) else {
        let description = "expected one of the variants, or none for all";
        return Err(ServingError::invalid("variant", Reason::FieldInvalid, description));
    };
    let mut time = |field: &str, given: Option<&prost_types::Timestamp>, default: i64| {
        let micros = given.map_or(Some(default), micros_of);
        if micros.is_none() {
            bad(field, Reason::FieldInvalid, "expected a time of the years 0001 to 9999");
        }
        micros.unwrap_or(default)
    };
    let now_us = now_us();
    let end_us = time("end_time", request.end_time.as_ref(), now_us.saturating_add(1));
    let default_start = end_us.saturating_sub(DEFAULT_WINDOW_US);
    let start_us = time("start_time", request.start_time.as_ref(), default_start);
    if start_us >= end_us {
        bad("start_time", Reason::FieldInvalid, "must be before end_time");
    }
    let ripe_after = request.ripe_after.as_ref().map(length_of).unwrap_or(Some(0));
    if ripe_after.is_none() {
        bad("ripe_after", Reason::FieldInvalid, "expected a duration of 0 or more");
    }
    // Nothing may be ripe yet: then nothing is measured.
    let ripe_us = now_us.saturating_add(1).saturating_sub(ripe_after.unwrap_or(0));
    let end_us = end_us.min(ripe_us).max(start_us);
    if !violations.is_empty() {
        return Err(ServingError::Invalid(violations));
    }
    Ok(Question { model: request.model.clone(), version, variant, start_us, end_us })
}

/// Microseconds of a duration that is not below zero; `None` of any other.
fn length_of(duration: &prost_types::Duration) -> Option<i64> {
    let is_good = duration.seconds >= 0 && (0..1_000_000_000).contains(&duration.nanos);
    let micros = || {
        duration.seconds.saturating_mul(1_000_000).saturating_add((duration.nanos / 1000).into())
    };
    is_good.then(micros)
}
