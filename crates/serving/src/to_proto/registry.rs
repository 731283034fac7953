//! Models, versions and events.

use std::time::Duration;

use segue_api::v1 as pb;
use segue_registry::{
    Action, AliasMove, DIFFERENCE_BOUNDS, EventRecord, GateOutcome, GateResult, Manifest,
    ModelState, RegistryError, ShadowCounts, Traffic,
};

use super::{duration, schema, target, timestamp, wire_version};
use crate::live::{ModelStatus, Stage, Statuses, VersionStatus};

/// A model as the registry has it, beside what this server has of it.
pub(crate) fn model(state: ModelState, statuses: &Statuses) -> pb::Model {
    pb::Model {
        aliases: state.aliases.into_iter().map(|(alias, to)| (alias, wire_version(to))).collect(),
        etag: state.etag,
        traffic: state.traffic.map(traffic_policy),
        archived_versions: state.archived.into_iter().map(wire_version).collect(),
        generation: state.generation,
        ..served(state.model, statuses)
    }
}

/// A model whose state cannot be read: what is served of it, and why there is no more to say.
pub(crate) fn unreadable_model(
    name: String,
    error: &RegistryError,
    statuses: &Statuses,
) -> pb::Model {
    pb::Model { load_error: error.to_string(), ..served(name, statuses) }
}

fn served(name: String, statuses: &Statuses) -> pb::Model {
    let none = ModelStatus::default();
    let status = statuses.models.get(&name).map_or(&none, |status| &**status);
    pb::Model {
        loaded: loaded_versions(status).collect(),
        load_error: status.error.clone().unwrap_or_default(),
        name,
        ..pb::Model::default()
    }
}

/// A model as it is served, whatever the registry says of it by now.
pub(crate) fn watched_model(name: &str, status: &ModelStatus) -> pb::Model {
    let wire = |(alias, version): (&String, &u64)| (alias.clone(), wire_version(*version));
    pb::Model {
        name: name.to_owned(),
        aliases: status.aliases.iter().map(wire).collect(),
        etag: status.etag.clone(),
        generation: status.generation,
        loaded: loaded_versions(status).collect(),
        load_error: status.error.clone().unwrap_or_default(),
        traffic: status.traffic.clone().map(traffic_policy),
        archived_versions: status.archived.iter().copied().map(wire_version).collect(),
    }
}

/// Versions in memory, on their way there or away.
pub(crate) fn loaded_versions(
    status: &ModelStatus,
) -> impl Iterator<Item = pb::LoadedVersion> + '_ {
    status.versions.iter().map(|(version, status)| {
        let mut wire = pb::LoadedVersion {
            version: wire_version(*version),
            state: state(status).into(),
            state_reason: status.reason.clone(),
            state_time: Some(timestamp(status.since_us)),
            ..pb::LoadedVersion::default()
        };
        if let Some(facts) = &status.loaded {
            wire.digest.clone_from(&facts.digest);
            wire.load_duration = Some(duration(Duration::from_micros(facts.load_us)));
            wire.file_bytes = i64::try_from(facts.file_bytes).unwrap_or(i64::MAX);
            wire.rows_scored = facts.stats.n_rows();
        }
        wire
    })
}

fn state(status: &VersionStatus) -> pb::ModelVersionState {
    match status.stage {
        Stage::Loading => pb::ModelVersionState::Loading,
        Stage::Warming => pb::ModelVersionState::Warming,
        Stage::Ready => pb::ModelVersionState::Ready,
        Stage::Serving => pb::ModelVersionState::Serving,
        Stage::Draining => pb::ModelVersionState::Draining,
        Stage::Failed => pb::ModelVersionState::Failed,
    }
}

/// Where a published version is on its way through this server, and why it is not further.
fn state_of(
    manifest: &Manifest,
    archived: bool,
    statuses: &Statuses,
) -> (pb::ModelVersionState, String) {
    if archived {
        let reason = "nothing may point at it until it is restored".to_owned();
        return (pb::ModelVersionState::Archived, reason);
    }
    let status = statuses.models.get(&manifest.model);
    match status.and_then(|status| status.versions.get(&manifest.version)) {
        Some(status) => (state(status), status.reason.clone()),
        None => {
            let reason = "no alias and no traffic points at it".to_owned();
            (pb::ModelVersionState::Registered, reason)
        }
    }
}

/// A version, and where it is on its way through this server.
pub(crate) fn model_version(
    manifest: Manifest,
    archived: bool,
    statuses: &Statuses,
) -> pb::ModelVersion {
    let (state, state_reason) = state_of(&manifest, archived, statuses);
    let summary = manifest.summary;
    pb::ModelVersion {
        model: manifest.model,
        version: wire_version(manifest.version),
        digest: manifest.digest,
        task: summary.task,
        // The words of features are in the version's own file, which a manifest does not carry.
        schema: Some(schema(&summary.schema, |_| String::new())),
        feature_set_hash: summary.feature_set_hash.unwrap_or_default(),
        metrics: summary.metrics,
        lineage: summary.lineage,
        create_time: Some(timestamp(manifest.created_at_us)),
        created_by: summary.created_by,
        target: Some(target(&summary.target)),
        state: state.into(),
        state_reason,
    }
}

/// How traffic is split.
pub(crate) fn traffic_policy(traffic: Traffic) -> pb::TrafficPolicy {
    pb::TrafficPolicy {
        canary_version: traffic.canary_version.map_or(0, wire_version),
        canary_basis_points: traffic.canary_basis_points,
        salt: traffic.salt,
        shadow_versions: traffic.shadow_versions.into_iter().map(wire_version).collect(),
        shadow_basis_points: traffic.shadow_basis_points,
    }
}

/// What a gate found.
pub(crate) fn gate_result(result: GateResult) -> pb::GateResult {
    let outcome = match result.outcome {
        GateOutcome::Passed => pb::GateOutcome::Passed,
        GateOutcome::Failed => pb::GateOutcome::Failed,
        GateOutcome::Skipped => pb::GateOutcome::Skipped,
    };
    pb::GateResult {
        gate: result.gate,
        gate_version: result.gate_version,
        outcome: outcome.into(),
        message: result.message,
        measured: result.measured,
    }
}

/// One entry of the audit trail.
pub(crate) fn model_event(record: EventRecord) -> pb::ModelEvent {
    let mut event = pb::ModelEvent {
        event_id: record.event_id,
        generation: record.generation,
        actor: record.actor,
        reason: record.reason,
        request_id: record.request_id,
        gates: record.gates.into_iter().map(gate_result).collect(),
        gates_overridden: record.gates_overridden,
        create_time: Some(timestamp(record.time_us)),
        sha256: record.sha256,
        previous_sha256: record.prev_sha256.unwrap_or_default(),
        ..pb::ModelEvent::default()
    };
    let action = tell(record.action, &mut event);
    event.set_action(action);
    event
}

/// Fills in what only some actions have.
fn tell(action: Action, event: &mut pb::ModelEvent) -> pb::ModelAction {
    let moved = |alias: String, step: AliasMove| pb::AliasMove {
        alias,
        from_version: step.from.map(wire_version),
        to_version: step.to.map(wire_version),
    };
    match action {
        Action::Published { version, .. } => {
            event.version = wire_version(version);
            pb::ModelAction::Published
        }
        Action::Promoted { alias, from, to, .. } => {
            event.moves = vec![moved(alias, AliasMove { from, to: Some(to) })];
            pb::ModelAction::Promoted
        }
        Action::RolledBack { alias, from, to, .. } => {
            event.moves = vec![moved(alias, AliasMove { from: Some(from), to: Some(to) })];
            pb::ModelAction::RolledBack
        }
        Action::AliasesMoved { moves } => {
            event.moves = moves.into_iter().map(|(alias, step)| moved(alias, step)).collect();
            pb::ModelAction::AliasesMoved
        }
        Action::TrafficChanged { from, to } => {
            event.previous_traffic = from.map(traffic_policy);
            event.traffic = to.map(traffic_policy);
            pb::ModelAction::TrafficChanged
        }
        Action::Archived { version, .. } => {
            event.version = wire_version(version);
            pb::ModelAction::Archived
        }
        Action::Restored { version, .. } => {
            event.version = wire_version(version);
            pb::ModelAction::Restored
        }
        // An event of a newer build.
        _ => pb::ModelAction::Unspecified,
    }
}

/// What is known of a shadow.
pub(crate) fn shadow_report(counts: ShadowCounts) -> pb::ShadowReport {
    let bounds = DIFFERENCE_BOUNDS.into_iter().chain([f64::INFINITY]);
    let bucket = |(upper_bound, rows)| pb::DifferenceBucket { upper_bound, rows };
    pb::ShadowReport {
        champion_version: wire_version(counts.champion_version),
        shadow_version: wire_version(counts.shadow_version),
        rows: counts.n_rows,
        equal_rows: counts.n_equal,
        mean_absolute_difference: counts.mean_abs_difference(),
        max_absolute_difference: counts.max_abs_difference,
        mean_shift: counts.mean_shift(),
        segment_flips: counts.n_segment_flips,
        unreadable_rows: counts.n_unreadable,
        failed_rows: counts.n_failed,
        buckets: bounds.zip(counts.buckets).map(bucket).collect(),
        first_time: Some(timestamp(counts.first_us)),
        last_time: Some(timestamp(counts.last_us)),
    }
}
