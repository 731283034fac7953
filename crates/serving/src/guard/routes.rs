//! Which RPCs there are. A path that is none of them shares one label, so that strangers cannot
//! make metrics grow.

use std::collections::HashMap;

use crate::access::{Need, Role};
use crate::limits::Lane;
use crate::metrics::{MethodCalls, MethodLabels, Metrics};

/// What the guard knows of a method.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) labels: MethodLabels,
    pub(super) lane: Lane,
    /// Whether it may run for longer than a request.
    pub(super) is_stream: bool,
    /// Whether its answer is a stream.
    pub(super) is_streamed: bool,
    /// Whether it is mostly over in less time than a task takes to start.
    pub(super) is_short: bool,
    /// Whether its work may go on elsewhere after its caller has left.
    pub(super) is_leased: bool,
    /// Who may call it.
    pub(super) need: Need,
    /// Place of its counters.
    calls: usize,
}

/// Every method by its path.
#[derive(Debug)]
pub(crate) struct Routes {
    by_path: HashMap<String, Route>,
    unknown: Route,
    calls: Vec<MethodCalls>,
}

const SCORING: &str = "segue.v1.ScoringService";
const REGISTRY: &str = "segue.v1.ModelRegistryService";
const FEEDBACK_SERVICE: &str = "segue.v1.FeedbackService";
const ADMIN_SERVICE: &str = "segue.v1.AdminService";
const INFERENCE: &str = "inference.GRPCInferenceService";
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

const VIEWER: Need = Need::Role(Role::Viewer);
const SCORER: Need = Need::Role(Role::Scorer);
const FEEDBACK: Need = Need::Role(Role::Feedback);
const PUBLISHER: Need = Need::Role(Role::Publisher);
const PROMOTER: Need = Need::Role(Role::Promoter);
const ADMIN: Need = Need::Role(Role::Admin);

/// Service, method, permit, whether it is a stream, and who may call it. The table of
/// `docs/security.md`.
const METHODS: [(&str, &str, Lane, bool, Need); 44] = [
    (SCORING, "Score", Lane::Scoring, false, SCORER),
    (SCORING, "ScoreBatch", Lane::Scoring, false, SCORER),
    // Takes its permits itself: one for the stream, one a message.
    (SCORING, "ScoreStream", Lane::Free, true, SCORER),
    (SCORING, "GetModelSchema", Lane::Scoring, false, Need::Known),
    (REGISTRY, "ListModels", Lane::Registry, false, VIEWER),
    (REGISTRY, "GetModel", Lane::Registry, false, VIEWER),
    (REGISTRY, "ListModelVersions", Lane::Registry, false, VIEWER),
    (REGISTRY, "GetModelVersion", Lane::Registry, false, VIEWER),
    (REGISTRY, "ListModelEvents", Lane::Registry, false, VIEWER),
    // Takes its permit itself: one for the stream.
    (REGISTRY, "WatchModels", Lane::Free, true, VIEWER),
    // Takes its permit itself, and has more time than a request.
    (REGISTRY, "RegisterModelVersion", Lane::Free, true, PUBLISHER),
    (REGISTRY, "ValidateModelVersion", Lane::Registry, false, PROMOTER),
    (REGISTRY, "ArchiveModelVersion", Lane::Changes, false, PUBLISHER),
    (REGISTRY, "RestoreModelVersion", Lane::Changes, false, PUBLISHER),
    (REGISTRY, "PromoteModelVersion", Lane::Changes, false, PROMOTER),
    (REGISTRY, "RollbackModel", Lane::Changes, false, PROMOTER),
    (REGISTRY, "SetModelAlias", Lane::Changes, false, PROMOTER),
    (REGISTRY, "DeleteModelAlias", Lane::Changes, false, PROMOTER),
    (REGISTRY, "UpdateTrafficPolicy", Lane::Changes, false, PROMOTER),
    (REGISTRY, "GetShadowReport", Lane::Registry, false, VIEWER),
    (ADMIN_SERVICE, "GetServerStatus", Lane::Status, false, VIEWER),
    (ADMIN_SERVICE, "ListLoadedVersions", Lane::Status, false, VIEWER),
    (ADMIN_SERVICE, "SetLogSampling", Lane::Status, false, ADMIN),
    (FEEDBACK_SERVICE, "RecordOutcome", Lane::Feedback, false, FEEDBACK),
    (FEEDBACK_SERVICE, "BatchRecordOutcomes", Lane::Feedback, false, FEEDBACK),
    (FEEDBACK_SERVICE, "StreamOutcomes", Lane::Feedback, true, FEEDBACK),
    (FEEDBACK_SERVICE, "GetModelPerformance", Lane::Status, false, VIEWER),
    (FEEDBACK_SERVICE, "GetDriftReport", Lane::Status, false, VIEWER),
    (INFERENCE, "ServerLive", Lane::Free, false, Need::Nothing),
    (INFERENCE, "ServerReady", Lane::Free, false, Need::Nothing),
    (INFERENCE, "ModelReady", Lane::Free, false, Need::Nothing),
    (INFERENCE, "ServerMetadata", Lane::Free, false, Need::Known),
    (INFERENCE, "ModelMetadata", Lane::Scoring, false, Need::Known),
    (INFERENCE, "ModelInfer", Lane::Scoring, false, SCORER),
    // Refused at once.
    (INFERENCE, "ModelStreamInfer", Lane::Free, true, SCORER),
    (INFERENCE, "ModelConfig", Lane::Scoring, false, Need::Known),
    (INFERENCE, "ModelStatistics", Lane::Status, false, VIEWER),
    (INFERENCE, "RepositoryIndex", Lane::Status, false, VIEWER),
    (INFERENCE, "RepositoryModelLoad", Lane::Registry, false, ADMIN),
    (INFERENCE, "RepositoryModelUnload", Lane::Registry, false, ADMIN),
    (HEALTH, "Check", Lane::Free, false, Need::Nothing),
    (HEALTH, "Watch", Lane::Watch, true, Need::Nothing),
    (REFLECTION, "ServerReflectionInfo", Lane::Watch, true, Need::Known),
    (REFLECTION_ALPHA, "ServerReflectionInfo", Lane::Watch, true, Need::Known),
];

/// Streams with one answer, at their end.
const ONE_ANSWER: [(&str, &str); 2] =
    [(REGISTRY, "RegisterModelVersion"), (FEEDBACK_SERVICE, "StreamOutcomes")];

/// One row: scored where it is read, and nowhere else.
const SCORE: (&str, &str) = (SCORING, "Score");

/// Few rows, mostly. What turns out to be more, or is to be explained, steps aside.
const SHORT: [(&str, &str); 2] = [SCORE, (INFERENCE, "ModelInfer")];

impl Routes {
    /// The routes of this server.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let mut calls = Vec::with_capacity(METHODS.len() + 1);
        let mut route = |(grpc_service, grpc_method, lane, is_stream, need)| {
            let labels = MethodLabels { grpc_service, grpc_method };
            calls.push(metrics.requests.calls(labels));
            let method = (grpc_service, grpc_method);
            Route {
                labels,
                lane,
                is_stream,
                is_streamed: is_stream && !ONE_ANSWER.contains(&method),
                is_short: SHORT.contains(&method),
                is_leased: method != SCORE
                    && matches!(lane, Lane::Scoring | Lane::Registry | Lane::Changes),
                need,
                calls: calls.len() - 1,
            }
        };
        let unknown = route(("unknown", "unknown", Lane::Free, false, Need::Known));
        let path =
            |(service, method, ..): (&str, &str, Lane, bool, Need)| format!("/{service}/{method}");
        let by_path = METHODS.into_iter().map(|one| (path(one), route(one))).collect();
        Self { by_path, unknown, calls }
    }

    /// The route of a path; an unknown one is let through to be answered with UNIMPLEMENTED.
    pub(super) fn find(&self, path: &str) -> Route {
        self.by_path.get(path).copied().unwrap_or(self.unknown)
    }

    /// The counters of a route.
    pub(super) fn calls(&self, route: Route) -> &MethodCalls {
        &self.calls[route.calls]
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_of_the_protos_has_a_route() {
        let files = FileDescriptorSet::decode(segue_api::FILE_DESCRIPTOR_SET).unwrap();
        let routes = Routes::new(&Metrics::new());
        let mut n_methods = 0;
        for file in &files.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let route = routes.by_path.get(&path).unwrap_or_else(|| panic!("{path}"));
                    let is_stream = method.server_streaming() || method.client_streaming();
                    assert_eq!(route.is_stream, is_stream, "{path}");
                    assert_eq!(route.is_streamed, method.server_streaming(), "{path}");
                    n_methods += 1;
                }
            }
        }
        assert_eq!(n_methods, 40);
    }
}
