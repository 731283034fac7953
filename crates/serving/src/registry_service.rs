//! `segue.v1.ModelRegistryService`. The registry blocks on its storage, so it runs beside the runtime.

use std::collections::BTreeMap;
use std::sync::Arc;

use segue_api::v1 as pb;
use segue_api::v1::model_registry_service_server::ModelRegistryService;
use segue_registry::{
    AliasRequest, CHAMPION, PromoteRequest, Registry, RegistryError, RollbackRequest,
    check_alias_name, check_model_name,
};
use tonic::{Request, Response, Status};

use crate::guard::panic_text;
use crate::live::{LiveModels, LoaderHandle};
use crate::metrics::{Metrics, ReasonLabels};
use crate::to_proto::{gate_result, model, model_event, model_version, wire_version};
use crate::{Reason, ServingError, Violation};

/// Largest page, and the size if none is asked for.
const MAX_PAGE: usize = 1000;

/// Longest text of a request that goes into the audit trail.
const MAX_TEXT_BYTES: usize = 1024;

/// Answers questions about models and moves their aliases.
#[derive(Debug, Clone)]
pub(crate) struct ModelRegistry {
    pub(crate) registry: Registry,
    pub(crate) live: Arc<LiveModels>,
    pub(crate) loader: LoaderHandle,
    pub(crate) metrics: Arc<Metrics>,
}

impl ModelRegistry {
    /// Runs `work` on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, ServingError> {
        let registry = self.registry.clone();
        match tokio::task::spawn_blocking(move || work(&registry)).await {
            Ok(outcome) => Ok(outcome?),
            Err(died) => {
                if let Ok(panic) = died.try_into_panic() {
                    self.metrics.panics.inc();
                    tracing::error!(panic = panic_text(&*panic), "the registry panicked");
                }
                Err(ServingError::Internal)
            }
        }
    }

    /// As [`ask`](Self::ask) for a change: counted, and in service when this returns.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, ServingError> {
        let outcome = self.ask(work).await;
        let reason = match &outcome {
            Ok(_) => "ok",
            Err(ServingError::Registry(RegistryError::GateFailed(_))) => "gate_failed",
            Err(_) => "failed",
        };
        self.metrics.promotions.get_or_create(&ReasonLabels { reason }).inc();
        let done = outcome?;
        self.loader.refresh().await?;
        Ok(done)
    }

    async fn model_now(&self, name: String) -> Result<pb::Model, ServingError> {
        let state = self.ask(move |registry| registry.model(&name)).await?;
        Ok(model(state, &self.live.snapshot()))
    }
}

#[tonic::async_trait]
impl ModelRegistryService for ModelRegistry {
    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        let request = request.into_inner();
        let page = Page::read(request.page_size, &request.page_token)?;
        let listed = move |registry: &Registry| {
            let (names, next_page_token) = page.cut(registry.models()?);
            let states = names.iter().map(|name| registry.model(name));
            Ok((states.collect::<Result<Vec<_>, _>>()?, next_page_token))
        };
        let (states, next_page_token) = self.ask(listed).await?;
        let snapshot = self.live.snapshot();
        let models = states.into_iter().map(|state| model(state, &snapshot)).collect();
        Ok(Response::new(pb::ListModelsResponse { models, next_page_token }))
    }

    async fn get_model(
        &self,
        request: Request<pb::GetModelRequest>,
    ) -> Result<Response<pb::GetModelResponse>, Status> {
        let name = request.into_inner().model;
        Check::default().model(&name).end()?;
        let model = Some(self.model_now(name).await?);
        Ok(Response::new(pb::GetModelResponse { model }))
    }

    async fn list_model_versions(
        &self,
        request: Request<pb::ListModelVersionsRequest>,
    ) -> Result<Response<pb::ListModelVersionsResponse>, Status> {
        let request = request.into_inner();
        Check::default().model(&request.model).end()?;
        let page = Page::read(request.page_size, &request.page_token)?;
        let mut manifests = self.ask(move |registry| registry.versions(&request.model)).await?;
        manifests.sort_by_key(|manifest| std::cmp::Reverse(manifest.version));
        let (manifests, next_page_token) = page.cut(manifests);
        let model_versions = manifests.into_iter().map(model_version).collect();
        Ok(Response::new(pb::ListModelVersionsResponse { model_versions, next_page_token }))
    }

    async fn get_model_version(
        &self,
        request: Request<pb::GetModelVersionRequest>,
    ) -> Result<Response<pb::GetModelVersionResponse>, Status> {
        let pb::GetModelVersionRequest { model, version } = request.into_inner();
        let number = Check::default().model(&model).version("version", version).end()?;
        let manifest = self.ask(move |registry| registry.manifest(&model, number)).await?;
        let model_version = Some(model_version(manifest));
        Ok(Response::new(pb::GetModelVersionResponse { model_version }))
    }

    async fn list_model_events(
        &self,
        request: Request<pb::ListModelEventsRequest>,
    ) -> Result<Response<pb::ListModelEventsResponse>, Status> {
        let request = request.into_inner();
        Check::default().model(&request.model).end()?;
        let page = Page::read(request.page_size, &request.page_token)?;
        let mut records = self.ask(move |registry| registry.log(&request.model)).await?;
        records.sort_by_key(|record| std::cmp::Reverse(record.generation));
        let (records, next_page_token) = page.cut(records);
        let events = records.into_iter().map(model_event).collect();
        Ok(Response::new(pb::ListModelEventsResponse { events, next_page_token }))
    }

    async fn promote_model_version(
        &self,
        request: Request<pb::PromoteModelVersionRequest>,
    ) -> Result<Response<pb::PromoteModelVersionResponse>, Status> {
        let request = request.into_inner();
        let alias = alias_or_champion(request.alias);
        let version = Check::default()
            .model(&request.model)
            .alias(&alias)
            .texts([
                ("etag", &request.etag),
                ("request_id", &request.request_id),
                ("actor", &request.actor),
                ("reason", &request.reason),
            ])
            .version("version", request.version)
            .end()?;
        let name = request.model.clone();
        let promotion = PromoteRequest {
            model: request.model,
            version,
            alias,
            etag: given(request.etag),
            request_id: request.request_id,
            actor: request.actor,
            reason: request.reason,
            validate_only: request.validate_only,
            override_gates: request.override_gates,
        };
        let promoted = self.change(move |registry| registry.promote(&promotion)).await?;
        Ok(Response::new(pb::PromoteModelVersionResponse {
            model: Some(self.model_now(name).await?),
            gates: promoted.gates.into_iter().map(gate_result).collect(),
            previous_version: promoted.previous_version.map_or(0, wire_version),
            event_id: promoted.event_id.unwrap_or_default(),
        }))
    }

    async fn rollback_model(
        &self,
        request: Request<pb::RollbackModelRequest>,
    ) -> Result<Response<pb::RollbackModelResponse>, Status> {
        let request = request.into_inner();
        let alias = alias_or_champion(request.alias);
        let check = Check::default().model(&request.model).alias(&alias).texts([
            ("etag", &request.etag),
            ("request_id", &request.request_id),
            ("actor", &request.actor),
            ("reason", &request.reason),
        ]);
        let to_version = match request.to_version {
            Some(version) => Some(check.version("to_version", version).end()?),
            None => check.end().map(|_| None)?,
        };
        let name = request.model.clone();
        let rollback = RollbackRequest {
            model: request.model,
            alias,
            to_version,
            etag: given(request.etag),
            request_id: request.request_id,
            actor: request.actor,
            reason: request.reason,
        };
        let back = self.change(move |registry| registry.rollback(&rollback)).await?;
        Ok(Response::new(pb::RollbackModelResponse {
            model: Some(self.model_now(name).await?),
            previous_version: wire_version(back.from),
            event_id: back.event_id.unwrap_or_default(),
        }))
    }

    async fn set_model_alias(
        &self,
        request: Request<pb::SetModelAliasRequest>,
    ) -> Result<Response<pb::SetModelAliasResponse>, Status> {
        let request = request.into_inner();
        let version = Check::default()
            .model(&request.model)
            .alias(&request.alias)
            .texts([
                ("etag", &request.etag),
                ("request_id", &request.request_id),
                ("actor", &request.actor),
                ("reason", &request.reason),
            ])
            .version("version", request.version)
            .end()?;
        let change = AliasRequest {
            model: request.model,
            moves: BTreeMap::from([(request.alias, Some(version))]),
            etag: given(request.etag),
            request_id: request.request_id,
            actor: request.actor,
            reason: request.reason,
        };
        let state = self.change(move |registry| registry.move_aliases(&change)).await?;
        let model = Some(model(state, &self.live.snapshot()));
        Ok(Response::new(pb::SetModelAliasResponse { model }))
    }
}

fn alias_or_champion(alias: String) -> String {
    if alias.is_empty() { CHAMPION.to_owned() } else { alias }
}

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Every bad field of a request, found at once.
#[derive(Debug, Default)]
struct Check {
    violations: Vec<Violation>,
    version: u64,
}

impl Check {
    fn bad(&mut self, field: &str, reason: Reason, description: &str) {
        let (field, description) = (field.to_owned(), description.to_owned());
        self.violations.push(Violation { field, reason, description });
    }

    fn model(mut self, name: &str) -> Self {
        if check_model_name(name).is_err() {
            self.bad("model", Reason::ModelNameInvalid, "expected [a-z0-9][a-z0-9._-]{0,127}");
        }
        self
    }

    fn alias(mut self, alias: &str) -> Self {
        if check_alias_name(alias).is_err() {
            let expected = "expected [a-z0-9][a-z0-9._-]{0,127}, not a number";
            self.bad("alias", Reason::AliasInvalid, expected);
        }
        self
    }

    fn texts<'a>(mut self, texts: impl IntoIterator<Item = (&'a str, &'a String)>) -> Self {
        for (field, text) in texts {
            if text.len() > MAX_TEXT_BYTES {
                let description =
                    format!("{} bytes, at most {MAX_TEXT_BYTES} are allowed", text.len());
                self.bad(field, Reason::FieldInvalid, &description);
            }
        }
        self
    }

    fn version(mut self, field: &str, version: i64) -> Self {
        match u64::try_from(version) {
            Ok(number) if number > 0 => self.version = number,
            _ => self.bad(field, Reason::FieldInvalid, "versions count from 1"),
        }
        self
    }

    /// The version, if there was one to check.
    fn end(self) -> Result<u64, ServingError> {
        if self.violations.is_empty() {
            Ok(self.version)
        } else {
            Err(ServingError::Invalid(self.violations))
        }
    }
}

/// A part of a list: a token is the number of items before it.
#[derive(Debug, Clone, Copy)]
struct Page {
    start: usize,
    size: usize,
}

impl Page {
    fn read(size: i32, token: &str) -> Result<Self, ServingError> {
        let invalid = |field, description: &str| {
            Err(ServingError::invalid(field, Reason::FieldInvalid, description))
        };
        let start = if token.is_empty() { Ok(0) } else { token.parse() };
        let Ok(start) = start else {
            return invalid("page_token", "not a token of an earlier answer");
        };
        match usize::try_from(size) {
            Err(_) => invalid("page_size", "must not be negative"),
            Ok(0) => Ok(Self { start, size: MAX_PAGE }),
            Ok(size) => Ok(Self { start, size: size.min(MAX_PAGE) }),
        }
    }

    fn cut<T>(self, items: Vec<T>) -> (Vec<T>, String) {
        let n_items = items.len();
        let end = self.start.saturating_add(self.size);
        let next = if end < n_items { end.to_string() } else { String::new() };
        (items.into_iter().skip(self.start).take(self.size).collect(), next)
    }
}
