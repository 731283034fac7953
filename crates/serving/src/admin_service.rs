//! `segue.v1.AdminService`: what this server is doing.

mod repeats;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use segue_api::v1 as pb;
use segue_api::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

use self::repeats::Repeats;
use crate::limits::Limits;
use crate::live::LiveModels;
use crate::prediction_log::{ALL_BASIS_POINTS, Recorder};
use crate::registry_service::{Check, Page};
use crate::scoring_service::now_us;
use crate::to_proto::{duration, loaded_versions, timestamp};
use crate::{Reason, ServeOptions, ServingError};

/// Answers questions about the server.
#[derive(Debug, Clone)]
pub(crate) struct Admin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    live: Arc<LiveModels>,
    limits: Arc<Limits>,
    options: ServeOptions,
    registry: String,
    recorder: Arc<Recorder>,
    /// Held while a change is made: a repeat waits for what it repeats.
    repeats: Mutex<Repeats>,
    start_us: i64,
    started: Instant,
}

impl Admin {
    /// Of a server that starts now, over the registry at `registry`.
    pub(crate) fn new(
        live: Arc<LiveModels>,
        limits: Arc<Limits>,
        options: ServeOptions,
        registry: String,
        recorder: Arc<Recorder>,
    ) -> Self {
        let (start_us, started) = (now_us(), Instant::now());
        let repeats = Mutex::default();
        Self(Arc::new(Inner {
            live,
            limits,
            options,
            registry,
            recorder,
            repeats,
            start_us,
            started,
        }))
    }
}

impl Inner {
    fn status(&self) -> pb::GetServerStatusResponse {
        let readiness = self.live.readiness();
        let statuses = self.live.status.newest();
        let models = statuses.models.iter().map(|(name, status)| pb::ServedModel {
            model: name.clone(),
            generation: status.generation,
            ready: status.aliases.contains_key(segue_registry::CHAMPION),
            load_error: status.error.clone().unwrap_or_default(),
        });
        let limit = |(name, in_use, limit): (&str, usize, usize)| pb::LimitStatus {
            name: name.to_owned(),
            in_use: in_use as u64,
            limit: limit as u64,
        };
        let options = &self.options;
        pb::GetServerStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: Some(timestamp(self.start_us)),
            uptime: Some(duration(self.started.elapsed())),
            ready: readiness.ready,
            draining: readiness.draining,
            limits: self.limits.in_use().map(limit).to_vec(),
            request_limits: Some(pb::RequestLimits {
                max_message_bytes: options.max_message_bytes as u64,
                max_batch_rows: options.max_batch_rows as u64,
                max_row_events: options.max_row_events as u64,
                max_upload_bytes: options.max_upload_bytes,
                max_request_time: Some(duration(options.max_request_time)),
            }),
            registry: self.registry.clone(),
            registry_age: self.live.registry_age().map(duration),
            models: models.collect(),
        }
    }
}

impl Inner {
    fn set_log_sampling(
        &self,
        request: &pb::SetLogSamplingRequest,
    ) -> Result<pb::SetLogSamplingResponse, ServingError> {
        let pb::SetLogSamplingRequest { basis_points, model, request_id } = request;
        let check = Check::default().texts([("request_id", request_id)]);
        if model.is_empty() { check } else { check.model(model) }.end()?;
        if *basis_points > ALL_BASIS_POINTS {
            let description = format!("expected at most {ALL_BASIS_POINTS}, found {basis_points}");
            let reason = Reason::FieldInvalid;
            return Err(ServingError::invalid("basis_points", reason, description));
        }
        let log = self.recorder.log().ok_or(ServingError::FeedbackOff)?;
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        // Before anything else: the change was made, however the model has fared since.
        if let Some(answer) = repeats.find(request)? {
            return Ok(answer);
        }
        if !model.is_empty() && !self.live.snapshot().models.contains_key(model) {
            return Err(ServingError::ModelNotFound { model: model.clone() });
        }
        log.sampling.set(Some(model.as_str()).filter(|model| !model.is_empty()), *basis_points);
        let rates = log.sampling.rates();
        tracing::info!(model, basis_points, "share of the predictions that is logged was set");
        let answer = pb::SetLogSamplingResponse {
            basis_points: rates.default,
            basis_points_by_model: rates.by_model,
        };
        repeats.keep(request, &answer);
        Ok(answer)
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn set_log_sampling(
        &self,
        request: Request<pb::SetLogSamplingRequest>,
    ) -> Result<Response<pb::SetLogSamplingResponse>, Status> {
        Ok(Response::new(self.0.set_log_sampling(&request.into_inner())?))
    }

    async fn get_server_status(
        &self,
        _request: Request<pb::GetServerStatusRequest>,
    ) -> Result<Response<pb::GetServerStatusResponse>, Status> {
        Ok(Response::new(self.0.status()))
    }

    async fn list_loaded_versions(
        &self,
        request: Request<pb::ListLoadedVersionsRequest>,
    ) -> Result<Response<pb::ListLoadedVersionsResponse>, Status> {
        let pb::ListLoadedVersionsRequest { model, page_size, page_token } = request.into_inner();
        if !model.is_empty() {
            Check::default().model(&model).end()?;
        }
        let key = |text: &str| {
            let (name, version) = text.split_once('/')?;
            Some((name.to_owned(), version.parse().ok()?))
        };
        let page = Page::read(format!("loaded/{model}"), page_size, &page_token, key)?;
        let statuses = self.0.live.status.newest();
        let wanted = statuses.models.iter().filter(|(name, _)| model.is_empty() || **name == model);
        let versions = wanted
            .flat_map(|(name, status)| loaded_versions(status).map(move |version| (name, version)));
        let is_next = |(name, version): &(&String, pb::LoadedVersion)| {
            page.after.as_ref().is_none_or(|after: &(String, i64)| {
                (name.as_str(), version.version) > (after.0.as_str(), after.1)
            })
        };
        let key =
            |(name, version): &(&String, pb::LoadedVersion)| format!("{name}/{}", version.version);
        let (versions, next_page_token) = page.cut(versions.filter(is_next), key);
        let with_model = |(name, version): (&String, pb::LoadedVersion)| pb::LoadedModelVersion {
            model: name.clone(),
            version: Some(version),
        };
        let versions = versions.into_iter().map(with_model).collect();
        Ok(Response::new(pb::ListLoadedVersionsResponse { versions, next_page_token }))
    }
}
