//! `segue.v1.ModelRegistryService`. The registry blocks on its storage, so it runs beside the runtime.

mod changes;
mod checks;
mod page;
mod upload;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use segue_api::v1 as pb;
use segue_api::v1::model_registry_service_server::ModelRegistryService;
use segue_registry::{LoadedVersion, Manifest, Registry, RegistryError, check_model_name};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub(crate) use self::checks::Check;
use self::checks::alias_or_champion;
pub(crate) use self::page::Page;
use self::page::number_key;
use crate::access::Caller;
use crate::guard::{Standing, panic_text};
use crate::limits::{Lease, Limits};
use crate::live::{LiveModels, LoaderHandle};
use crate::metrics::Metrics;
use crate::priority::{MODELS, give_way};
use crate::scoring_service::deadline_of;
use crate::to_proto::{model, model_event, model_version, shadow_report, unreadable_model};
use crate::traffic::Shadows;
use crate::{Reason, ServingError};

/// Answers questions about models and moves their aliases.
#[derive(Debug, Clone)]
pub(crate) struct ModelRegistry {
    pub(crate) registry: Registry,
    pub(crate) live: Arc<LiveModels>,
    pub(crate) loader: LoaderHandle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) max_upload_bytes: u64,
    pub(crate) max_upload_time: Duration,
    /// True from the moment when open streams must end.
    pub(crate) closing: tokio::sync::watch::Receiver<bool>,
    pub(crate) shadows: Arc<Shadows>,
    /// Asked of every promotion and every share of a canary.
    pub(crate) distinct_approver: bool,
}

impl ModelRegistry {
    /// Runs `work` on a thread that may block.
    async fn ask<T: Send + 'static, E: Into<ServingError> + Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ServingError> {
        let registry = self.registry.clone();
        let lease = Lease::here();
        let asked = tokio::task::spawn_blocking(move || {
            let _lease = lease;
            give_way(MODELS);
            work(&registry)
        });
        match asked.await {
            Ok(outcome) => outcome.map_err(Into::into),
            Err(died) => {
                if let Ok(panic) = died.try_into_panic() {
                    self.metrics.requests.panics.inc();
                    tracing::error!(panic = panic_text(&*panic), "the registry panicked");
                }
                Err(ServingError::Internal)
            }
        }
    }

    /// Has the registry read now. Afterwards what the model's aliases point at is loaded, proven and
    /// warm, or this says why not. No alias moves.
    pub(crate) async fn load_now(&self, name: String) -> Result<(), ServingError> {
        if check_model_name(&name).is_err() {
            let description = "expected [a-z0-9][a-z0-9._-]{0,127}";
            let reason = Reason::ModelNameInvalid;
            return Err(ServingError::invalid("model_name", reason, description));
        }
        let asked = name.clone();
        let newest =
            self.ask(move |registry| Ok::<_, RegistryError>(registry.model(&asked)?.generation));
        let newest = newest.await?;
        self.loader.load(&name).await?;
        let snapshot = self.live.snapshot();
        let live = snapshot.models.get(&name);
        let detail = match live {
            Some(live) if live.generation >= newest && live.load_error.is_none() => {
                if !live.aliases.is_empty() {
                    return Ok(());
                }
                "no alias points at any of its versions; promote one".to_owned()
            }
            live => live
                .and_then(|live| live.load_error.clone())
                .unwrap_or_else(|| "the registry cannot be read".to_owned()),
        };
        Err(ServingError::NotReady { model: name, detail })
    }

    /// Has a change that is committed in service here. A server that ends meanwhile has nothing in
    /// service any more, and the change is made all the same.
    async fn in_service(
        &self,
        model: &str,
        loaded: Vec<LoadedVersion>,
    ) -> Result<(), ServingError> {
        match self.loader.refresh(model, loaded).await {
            Ok(()) | Err(ServingError::Draining) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn model_now(&self, name: String) -> Result<pb::Model, ServingError> {
        let state = self.ask(move |registry| registry.model(&name)).await?;
        Ok(model(state, &self.live.status.newest()))
    }
}

#[tonic::async_trait]
impl ModelRegistryService for ModelRegistry {
    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        let pb::ListModelsRequest { page_size, page_token } = request.into_inner();
        let name = |text: &str| Some(text.to_owned());
        let page = Page::read("models".to_owned(), page_size, &page_token, name)?;
        let listed = move |registry: &Registry| {
            let is_next = |name: &String| page.after.as_ref().is_none_or(|after| name > after);
            let names = registry.models()?.into_iter().filter(is_next);
            let (names, next_page_token) = page.cut(names, String::clone);
            let read = |name: String| (registry.model(&name), name);
            Ok::<_, RegistryError>((
                names.into_iter().map(read).collect::<Vec<_>>(),
                next_page_token,
            ))
        };
        let (states, next_page_token) = self.ask(listed).await?;
        let statuses = self.live.status.newest();
        let models = states.into_iter().map(|(state, name)| match state {
            Ok(state) => model(state, &statuses),
            Err(error) => unreadable_model(name, &error, &statuses),
        });
        Ok(Response::new(pb::ListModelsResponse { models: models.collect(), next_page_token }))
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
        let pb::ListModelVersionsRequest { model, page_size, page_token } = request.into_inner();
        Check::default().model(&model).end()?;
        let page = Page::read(format!("versions/{model}"), page_size, &page_token, number_key)?;
        let listed = move |registry: &Registry| {
            // The state first: a version that it does not know is newer, and not archived.
            let archived = registry.model(&model)?.archived;
            let is_next = |one: &Manifest| page.after.is_none_or(|after| one.version < after);
            let newest_first = registry.versions(&model)?.into_iter().rev().filter(is_next);
            let (found, next_page_token) = page.cut(newest_first, |one| one.version);
            let with = |one: Manifest| (archived.contains(&one.version), one);
            let found: Vec<(bool, Manifest)> = found.into_iter().map(with).collect();
            Ok::<_, RegistryError>((found, next_page_token))
        };
        let (found, next_page_token) = self.ask(listed).await?;
        let statuses = self.live.status.newest();
        let with_state =
            |(archived, manifest): (bool, Manifest)| model_version(manifest, archived, &statuses);
        let model_versions = found.into_iter().map(with_state).collect();
        Ok(Response::new(pb::ListModelVersionsResponse { model_versions, next_page_token }))
    }

    async fn get_model_version(
        &self,
        request: Request<pb::GetModelVersionRequest>,
    ) -> Result<Response<pb::GetModelVersionResponse>, Status> {
        let pb::GetModelVersionRequest { model, version } = request.into_inner();
        let number = Check::default().model(&model).version("version", version).end()?;
        let found = self.ask(move |registry| {
            let archived = registry.model(&model)?.archived.contains(&number);
            Ok::<_, RegistryError>((archived, registry.manifest(&model, number)?))
        });
        let (archived, manifest) = found.await?;
        let statuses = self.live.status.newest();
        let model_version = Some(model_version(manifest, archived, &statuses));
        Ok(Response::new(pb::GetModelVersionResponse { model_version }))
    }

    async fn list_model_events(
        &self,
        request: Request<pb::ListModelEventsRequest>,
    ) -> Result<Response<pb::ListModelEventsResponse>, Status> {
        let pb::ListModelEventsRequest { model, page_size, page_token } = request.into_inner();
        Check::default().model(&model).end()?;
        let page = Page::read(format!("events/{model}"), page_size, &page_token, number_key)?;
        // No page reads all events.
        let (before, max) = (page.after, page.size);
        let read = move |registry: &Registry| registry.log_before(&model, before, max);
        let records = self.ask(read).await?;
        let oldest = records.last().map_or(1, |record| record.generation);
        let next_page_token = if oldest > 1 { page.token(oldest) } else { String::new() };
        let events = records.into_iter().map(model_event).collect();
        Ok(Response::new(pb::ListModelEventsResponse { events, next_page_token }))
    }

    type WatchModelsStream = ReceiverStream<Result<pb::WatchModelsResponse, Status>>;

    async fn watch_models(
        &self,
        request: Request<pb::WatchModelsRequest>,
    ) -> Result<Response<Self::WatchModelsStream>, Status> {
        let deadline = deadline_of(&request);
        Ok(Response::new(self.watch(request.into_inner(), deadline)?))
    }

    async fn register_model_version(
        &self,
        request: Request<Streaming<pb::RegisterModelVersionRequest>>,
    ) -> Result<Response<pb::RegisterModelVersionResponse>, Status> {
        let deadline = deadline_of(&request);
        let standing = request.extensions().get::<Standing>().cloned();
        let (caller, parts) = Caller::with(request)?;
        Ok(Response::new(self.register(parts, (caller, standing), deadline).await?))
    }

    async fn validate_model_version(
        &self,
        request: Request<pb::ValidateModelVersionRequest>,
    ) -> Result<Response<pb::ValidateModelVersionResponse>, Status> {
        let (caller, mut request) = Caller::with(request)?;
        let alias = alias_or_champion(request.alias.clone());
        caller.check_promoter(&request.model, &alias)?;
        request.actor = caller.actor(request.actor);
        Ok(Response::new(self.validate(request).await?))
    }

    async fn archive_model_version(
        &self,
        request: Request<pb::ArchiveModelVersionRequest>,
    ) -> Result<Response<pb::ArchiveModelVersionResponse>, Status> {
        let (caller, mut request) = Caller::with(request)?;
        caller.check_publisher(&request.model)?;
        request.actor = caller.actor(request.actor);
        Ok(Response::new(self.archive(request).await?))
    }

    async fn restore_model_version(
        &self,
        request: Request<pb::RestoreModelVersionRequest>,
    ) -> Result<Response<pb::RestoreModelVersionResponse>, Status> {
        let (caller, mut request) = Caller::with(request)?;
        caller.check_publisher(&request.model)?;
        request.actor = caller.actor(request.actor);
        Ok(Response::new(self.restore(request).await?))
    }

    async fn promote_model_version(
        &self,
        request: Request<pb::PromoteModelVersionRequest>,
    ) -> Result<Response<pb::PromoteModelVersionResponse>, Status> {
        let (caller, mut request) = Caller::with(request)?;
        let alias = alias_or_champion(request.alias.clone());
        caller.check_promoter(&request.model, &alias)?;
        if request.override_gates {
            caller.check_admin("override gates")?;
        }
        request.actor = caller.actor(request.actor);
        Ok(Response::new(self.promote(request).await?))
    }

    async fn rollback_model(
        &self,
        request: Request<pb::RollbackModelRequest>,
    ) -> Result<Response<pb::RollbackModelResponse>, Status> {
        let (caller, mut request) = Caller::with(request)?;
        let alias = alias_or_champion(request.alias.clone());
        caller.check_promoter(&request.model, &alias)?;
        request.actor = caller.actor(request.actor);
        Ok(Response::new(self.roll_back(request).await?))
    }

    async fn set_model_alias(
        &self,
        request: Request<pb::SetModelAliasRequest>,
    ) -> Result<Response<pb::SetModelAliasResponse>, Status> {
        let (caller, mut request) = Caller::with(request)?;
        caller.check_promoter(&request.model, &request.alias)?;
        request.actor = caller.actor(request.actor);
        Ok(Response::new(self.set_alias(request).await?))
    }

    async fn delete_model_alias(
        &self,
        request: Request<pb::DeleteModelAliasRequest>,
    ) -> Result<Response<pb::DeleteModelAliasResponse>, Status> {
        let (caller, mut request) = Caller::with(request)?;
        caller.check_promoter(&request.model, &request.alias)?;
        request.actor = caller.actor(request.actor);
        Ok(Response::new(self.delete_alias(request).await?))
    }

    async fn update_traffic_policy(
        &self,
        request: Request<pb::UpdateTrafficPolicyRequest>,
    ) -> Result<Response<pb::UpdateTrafficPolicyResponse>, Status> {
        let (caller, mut request) = Caller::with(request)?;
        caller.check_promoter_of_model(&request.model)?;
        if request.override_gates {
            caller.check_admin("override gates")?;
        }
        request.actor = caller.actor(request.actor);
        Ok(Response::new(self.update_traffic(request).await?))
    }

    async fn get_shadow_report(
        &self,
        request: Request<pb::GetShadowReportRequest>,
    ) -> Result<Response<pb::GetShadowReportResponse>, Status> {
        let name = request.into_inner().model;
        Check::default().model(&name).end()?;
        let shadows = Arc::clone(&self.shadows);
        let counts = self.ask(move |_| shadows.evidence.of(&name)).await?;
        let reports = counts.into_iter().map(shadow_report).collect();
        Ok(Response::new(pb::GetShadowReportResponse { reports }))
    }
}
