//! The RPCs that change a model: checked, carried out by the registry, and in service when answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use segue_api::v1 as pb;
use segue_registry::{
    AliasRequest, Applied, ArchiveRequest, LoadedVersion, PromoteRequest, Registry, RegistryError,
    RollbackRequest, Traffic, TrafficRequest,
};

use super::ModelRegistry;
use super::checks::{Check, alias_or_champion, given};
use crate::ServingError;
use crate::guard::AUDIT_TARGET;
use crate::live::{LiveModels, LoadError, check, prove};
use crate::metrics::ResultLabels;
use crate::to_proto::{self, gate_result, wire_version};

impl ModelRegistry {
    pub(super) async fn promote(
        &self,
        request: pb::PromoteModelVersionRequest,
    ) -> Result<pb::PromoteModelVersionResponse, ServingError> {
        let alias = alias_or_champion(request.alias);
        let version = Check::default()
            .model(&request.model)
            .alias(&alias)
            .terms(&request.etag, &request.request_id, &request.actor, &request.reason)
            .version("version", request.version)
            .end()?;
        let name = request.model.clone();
        let asked = Asked {
            what: format!("promotion of version {version} to {alias}"),
            actor: request.actor.clone(),
            validate_only: request.validate_only,
        };
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
            distinct_approver: self.distinct_approver,
        };
        let (shadows, live) = (Arc::clone(&self.shadows), Arc::clone(&self.live));
        let promote = move |registry: &Registry| {
            // So that it is judged by the rows of this moment.
            shadows.evidence.keep(&promotion.model)?;
            registry.promote_with(&promotion, |loaded| check_servable(&live, loaded))
        };
        let promote = move |registry: &Registry| {
            promote(registry).map(|(promoted, loaded)| (promoted, loaded.into_iter().collect()))
        };
        let promoted = self.change(&name, asked, promote).await?;
        Ok(pb::PromoteModelVersionResponse {
            model: Some(self.model_now(name).await?),
            gates: promoted.gates.into_iter().map(gate_result).collect(),
            previous_version: promoted.previous_version.map_or(0, wire_version),
            event_id: promoted.event_id.unwrap_or_default(),
        })
    }

    /// What a promotion would say, gates that fail included.
    pub(super) async fn validate(
        &self,
        request: pb::ValidateModelVersionRequest,
    ) -> Result<pb::ValidateModelVersionResponse, ServingError> {
        let alias = alias_or_champion(request.alias);
        let version = Check::default()
            .model(&request.model)
            .alias(&alias)
            .texts([("actor", &request.actor)])
            .version("version", request.version)
            .end()?;
        let name = request.model.clone();
        let promotion = PromoteRequest {
            model: request.model,
            version,
            alias,
            actor: request.actor,
            validate_only: true,
            distinct_approver: self.distinct_approver,
            ..PromoteRequest::default()
        };
        let (shadows, live) = (Arc::clone(&self.shadows), Arc::clone(&self.live));
        let judged = move |registry: &Registry| {
            shadows.evidence.keep(&promotion.model)?;
            match registry.promote_with(&promotion, |loaded| check_servable(&live, loaded)) {
                Ok((promoted, _)) => Ok((promoted.gates, true)),
                Err(ServingError::Registry(RegistryError::GateFailed(gates))) => Ok((gates, false)),
                Err(error) => Err(error),
            }
        };
        let (gates, promotable) = self.ask(judged).await?;
        Ok(pb::ValidateModelVersionResponse {
            model: Some(self.model_now(name).await?),
            gates: gates.into_iter().map(gate_result).collect(),
            promotable,
        })
    }

    pub(super) async fn archive(
        &self,
        request: pb::ArchiveModelVersionRequest,
    ) -> Result<pb::ArchiveModelVersionResponse, ServingError> {
        let (model, event_id) = self.set_archived(request, "archiving", Registry::archive).await?;
        Ok(pb::ArchiveModelVersionResponse { model: Some(model), event_id })
    }

    pub(super) async fn restore(
        &self,
        request: pb::RestoreModelVersionRequest,
    ) -> Result<pb::RestoreModelVersionResponse, ServingError> {
        let request = pb::ArchiveModelVersionRequest {
            model: request.model,
            version: request.version,
            etag: request.etag,
            request_id: request.request_id,
            validate_only: request.validate_only,
            actor: request.actor,
            reason: request.reason,
        };
        let (model, event_id) = self.set_archived(request, "restoring", Registry::restore).await?;
        Ok(pb::RestoreModelVersionResponse { model: Some(model), event_id })
    }

    /// Takes a version out of use, or back.
    async fn set_archived(
        &self,
        request: pb::ArchiveModelVersionRequest,
        word: &str,
        set: fn(&Registry, &ArchiveRequest) -> Result<Applied, RegistryError>,
    ) -> Result<(pb::Model, String), ServingError> {
        let version = Check::default()
            .model(&request.model)
            .terms(&request.etag, &request.request_id, &request.actor, &request.reason)
            .version("version", request.version)
            .end()?;
        let change = ArchiveRequest {
            model: request.model,
            version,
            etag: given(request.etag),
            request_id: request.request_id,
            actor: request.actor,
            reason: request.reason,
            validate_only: request.validate_only,
        };
        let name = change.model.clone();
        let asked = Asked {
            what: format!("{word} of version {version}"),
            actor: change.actor.clone(),
            validate_only: change.validate_only,
        };
        let set = move |registry: &Registry| Ok((set(registry, &change)?, Vec::new()));
        self.applied(&name, asked, set).await
    }

    pub(super) async fn roll_back(
        &self,
        request: pb::RollbackModelRequest,
    ) -> Result<pb::RollbackModelResponse, ServingError> {
        let alias = alias_or_champion(request.alias);
        let check = Check::default().model(&request.model).alias(&alias).terms(
            &request.etag,
            &request.request_id,
            &request.actor,
            &request.reason,
        );
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
            validate_only: request.validate_only,
        };
        let asked = Asked {
            what: format!("rollback of {}", rollback.alias),
            actor: rollback.actor.clone(),
            validate_only: rollback.validate_only,
        };
        let roll_back = move |registry: &Registry| {
            let (back, loaded) = registry.rollback_with_version(&rollback)?;
            Ok((back, loaded.into_iter().collect()))
        };
        let back = self.change(&name, asked, roll_back).await?;
        Ok(pb::RollbackModelResponse {
            model: Some(self.model_now(name).await?),
            previous_version: wire_version(back.from),
            event_id: back.event_id.unwrap_or_default(),
        })
    }

    pub(super) async fn set_alias(
        &self,
        request: pb::SetModelAliasRequest,
    ) -> Result<pb::SetModelAliasResponse, ServingError> {
        let version = Check::default()
            .model(&request.model)
            .alias(&request.alias)
            .terms(&request.etag, &request.request_id, &request.actor, &request.reason)
            .version("version", request.version)
            .end()?;
        let change = AliasRequest {
            model: request.model,
            moves: BTreeMap::from([(request.alias, Some(version))]),
            etag: given(request.etag),
            request_id: request.request_id,
            actor: request.actor,
            reason: request.reason,
            validate_only: request.validate_only,
        };
        let name = change.model.clone();
        let asked = Asked {
            what: "aliases set".to_owned(),
            actor: change.actor.clone(),
            validate_only: change.validate_only,
        };
        let live = Arc::clone(&self.live);
        let set = move |registry: &Registry| {
            let mut proven = Proven::new(registry, &live, &change.model);
            let applied = registry.move_aliases_with(&change, |version| proven.add(version))?;
            Ok((applied, proven.versions))
        };
        let (model, event_id) = self.applied(&name, asked, set).await?;
        Ok(pb::SetModelAliasResponse { model: Some(model), event_id })
    }

    pub(super) async fn delete_alias(
        &self,
        request: pb::DeleteModelAliasRequest,
    ) -> Result<pb::DeleteModelAliasResponse, ServingError> {
        Check::default()
            .model(&request.model)
            .alias(&request.alias)
            .terms(&request.etag, &request.request_id, &request.actor, &request.reason)
            .end()?;
        let change = AliasRequest {
            model: request.model,
            moves: BTreeMap::from([(request.alias, None)]),
            etag: given(request.etag),
            request_id: request.request_id,
            actor: request.actor,
            reason: request.reason,
            validate_only: request.validate_only,
        };
        let name = change.model.clone();
        let asked = Asked {
            what: "alias deleted".to_owned(),
            actor: change.actor.clone(),
            validate_only: change.validate_only,
        };
        let delete = move |registry: &Registry| Ok((registry.move_aliases(&change)?, Vec::new()));
        let (model, event_id) = self.applied(&name, asked, delete).await?;
        Ok(pb::DeleteModelAliasResponse { model: Some(model), event_id })
    }

    pub(super) async fn update_traffic(
        &self,
        request: pb::UpdateTrafficPolicyRequest,
    ) -> Result<pb::UpdateTrafficPolicyResponse, ServingError> {
        let salt = request.traffic.as_ref().map(|traffic| traffic.salt.clone()).unwrap_or_default();
        let check = Check::default()
            .model(&request.model)
            .terms(&request.etag, &request.request_id, &request.actor, &request.reason)
            .texts([("traffic.salt", &salt)]);
        let (check, traffic) = match request.traffic {
            Some(policy) => traffic_of(check, policy),
            None => (check, None),
        };
        check.end()?;
        let change = TrafficRequest {
            model: request.model,
            traffic,
            etag: given(request.etag),
            request_id: request.request_id,
            actor: request.actor,
            reason: request.reason,
            validate_only: request.validate_only,
            override_gates: request.override_gates,
            distinct_approver: self.distinct_approver,
        };
        let name = change.model.clone();
        let asked = Asked {
            what: "traffic set".to_owned(),
            actor: change.actor.clone(),
            validate_only: change.validate_only,
        };
        let live = Arc::clone(&self.live);
        let set = move |registry: &Registry| {
            // Before requests go there, because afterwards it would be too late.
            let mut proven = Proven::new(registry, &live, &change.model);
            let applied = registry.set_traffic_with(&change, |version| proven.add(version))?;
            Ok((applied, proven.versions))
        };
        let (model, event_id) = self.applied(&name, asked, set).await?;
        Ok(pb::UpdateTrafficPolicyResponse { model: Some(model), event_id })
    }

    /// Carries out `work`, counts it, and has what it changed in service when this returns. The versions
    /// that `work` has loaded on the way are not loaded again.
    async fn change<T: Send + 'static>(
        &self,
        model: &str,
        asked: Asked,
        work: impl FnOnce(&Registry) -> Result<(T, Vec<LoadedVersion>), ServingError> + Send + 'static,
    ) -> Result<T, ServingError> {
        let outcome = self.ask(work).await;
        if asked.validate_only {
            return outcome.map(|(done, _)| done);
        }
        let result = match &outcome {
            Ok(_) => "ok",
            Err(ServingError::Registry(RegistryError::GateFailed(_))) => "gate_failed",
            Err(_) => "failed",
        };
        self.metrics.models.promotions.get_or_create(&ResultLabels { result }).inc();
        let Asked { what, actor, .. } = asked;
        let error = outcome.as_ref().err().map(ToString::to_string);
        tracing::info!(target: AUDIT_TARGET, event = "model", model, what, actor, result, error);
        let (done, loaded) = outcome?;
        self.in_service(model, loaded).await?;
        Ok(done)
    }

    /// A change that answers with the model after it.
    async fn applied(
        &self,
        model: &str,
        asked: Asked,
        work: impl FnOnce(&Registry) -> Result<(Applied, Vec<LoadedVersion>), ServingError>
        + Send
        + 'static,
    ) -> Result<(pb::Model, String), ServingError> {
        let Applied { state, event_id } = self.change(model, asked, work).await?;
        Ok((to_proto::model(state, &self.live.status.newest()), event_id.unwrap_or_default()))
    }
}

/// What the audit trail says of a request, whatever becomes of it.
struct Asked {
    what: String,
    /// Who was authenticated, and whom they name.
    actor: String,
    /// Asks what would happen; nothing to be told.
    validate_only: bool,
}

/// Versions that have shown that they could be served.
struct Proven<'a> {
    registry: &'a Registry,
    live: &'a LiveModels,
    model: &'a str,
    versions: Vec<LoadedVersion>,
}

impl<'a> Proven<'a> {
    fn new(registry: &'a Registry, live: &'a LiveModels, model: &'a str) -> Self {
        Self { registry, live, model, versions: Vec::new() }
    }

    fn add(&mut self, version: u64) -> Result<(), ServingError> {
        let proven = prove(self.registry, self.live, self.model, version);
        self.versions.push(proven.map_err(|error| not_servable(self.model, version, error))?);
        Ok(())
    }
}

fn check_servable(live: &LiveModels, loaded: &LoadedVersion) -> Result<(), ServingError> {
    let (model, version) = (&loaded.manifest.model, loaded.manifest.version);
    check(live, loaded).map(drop).map_err(|error| not_servable(model, version, error))
}

fn not_servable(model: &str, version: u64, error: LoadError) -> ServingError {
    match error {
        LoadError::Registry(error) => error.into(),
        error => {
            let (model, detail) = (model.to_owned(), error.to_string());
            ServingError::NotServable { model, version, detail }
        }
    }
}

/// A policy that sends nothing anywhere is none.
fn traffic_of(mut check: Check, policy: pb::TrafficPolicy) -> (Check, Option<Traffic>) {
    if policy == pb::TrafficPolicy::default() {
        return (check, None);
    }
    let mut number = |field: String, version: i64| {
        let (next, number) = std::mem::take(&mut check).number(&field, version);
        check = next;
        number
    };
    let canary_version = (policy.canary_version != 0)
        .then(|| number("traffic.canary_version".to_owned(), policy.canary_version));
    let shadows = policy.shadow_versions.iter().enumerate();
    let shadow_versions = shadows
        .map(|(index, &version)| number(format!("traffic.shadow_versions[{index}]"), version))
        .collect();
    let traffic = Traffic {
        canary_version,
        canary_basis_points: policy.canary_basis_points,
        salt: policy.salt,
        shadow_versions,
        shadow_basis_points: policy.shadow_basis_points,
    };
    (check, Some(traffic))
}
