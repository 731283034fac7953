//! Which RPCs there are. A path that is none of them shares one label, so that strangers cannot
//! make metrics grow.

use std::collections::HashMap;

use crate::limits::Lane;
use crate::metrics::{MethodCalls, MethodLabels, Metrics};

/// What the guard knows of a method.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) labels: MethodLabels,
    pub(super) lane: Lane,
    /// Whether it may run for longer than a request.
    pub(super) is_stream: bool,
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
const ADMIN: &str = "segue.v1.AdminService";
const FEEDBACK: &str = "segue.v1.FeedbackService";
const INFERENCE: &str = "inference.GRPCInferenceService";
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

const METHODS: [(&str, &str, Lane, bool); 43] = [
    (SCORING, "Score", Lane::Scoring, false),
    (SCORING, "ScoreBatch", Lane::Scoring, false),
    // Takes its permits itself: one for the stream, one a message.
    (SCORING, "ScoreStream", Lane::Free, true),
    (SCORING, "GetModelSchema", Lane::Scoring, false),
    (REGISTRY, "ListModels", Lane::Registry, false),
    (REGISTRY, "GetModel", Lane::Registry, false),
    (REGISTRY, "ListModelVersions", Lane::Registry, false),
    (REGISTRY, "GetModelVersion", Lane::Registry, false),
    (REGISTRY, "ListModelEvents", Lane::Registry, false),
    // Takes its permit itself: one for the stream.
    (REGISTRY, "WatchModels", Lane::Free, true),
    // Takes its permit itself, and has more time than a request.
    (REGISTRY, "RegisterModelVersion", Lane::Free, true),
    (REGISTRY, "ValidateModelVersion", Lane::Registry, false),
    (REGISTRY, "ArchiveModelVersion", Lane::Registry, false),
    (REGISTRY, "RestoreModelVersion", Lane::Registry, false),
    (REGISTRY, "PromoteModelVersion", Lane::Registry, false),
    (REGISTRY, "RollbackModel", Lane::Registry, false),
    (REGISTRY, "SetModelAlias", Lane::Registry, false),
    (REGISTRY, "DeleteModelAlias", Lane::Registry, false),
    (REGISTRY, "UpdateTrafficPolicy", Lane::Registry, false),
    (REGISTRY, "GetShadowReport", Lane::Registry, false),
    (ADMIN, "GetServerStatus", Lane::Registry, false),
    (ADMIN, "ListLoadedVersions", Lane::Registry, false),
    (FEEDBACK, "RecordOutcome", Lane::Feedback, false),
    (FEEDBACK, "BatchRecordOutcomes", Lane::Feedback, false),
    (FEEDBACK, "StreamOutcomes", Lane::Feedback, true),
    (FEEDBACK, "GetModelPerformance", Lane::Registry, false),
    (FEEDBACK, "GetDriftReport", Lane::Registry, false),
    (INFERENCE, "ServerLive", Lane::Free, false),
    (INFERENCE, "ServerReady", Lane::Free, false),
    (INFERENCE, "ModelReady", Lane::Free, false),
    (INFERENCE, "ServerMetadata", Lane::Free, false),
    (INFERENCE, "ModelMetadata", Lane::Scoring, false),
    (INFERENCE, "ModelInfer", Lane::Scoring, false),
    // Refused at once.
    (INFERENCE, "ModelStreamInfer", Lane::Free, true),
    (INFERENCE, "ModelConfig", Lane::Scoring, false),
    (INFERENCE, "ModelStatistics", Lane::Registry, false),
    (INFERENCE, "RepositoryIndex", Lane::Registry, false),
    (INFERENCE, "RepositoryModelLoad", Lane::Registry, false),
    (INFERENCE, "RepositoryModelUnload", Lane::Registry, false),
    (HEALTH, "Check", Lane::Free, false),
    (HEALTH, "Watch", Lane::Free, true),
    (REFLECTION, "ServerReflectionInfo", Lane::Free, true),
    (REFLECTION_ALPHA, "ServerReflectionInfo", Lane::Free, true),
];

impl Routes {
    /// The routes of this server.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let mut calls = Vec::with_capacity(METHODS.len() + 1);
        let mut route = |(grpc_service, grpc_method, lane, is_stream)| {
            let labels = MethodLabels { grpc_service, grpc_method };
            calls.push(metrics.requests.calls(labels));
            Route { labels, lane, is_stream, calls: calls.len() - 1 }
        };
        let unknown = route(("unknown", "unknown", Lane::Free, false));
        let path = |(service, method, ..): (&str, &str, Lane, bool)| format!("/{service}/{method}");
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
                    n_methods += 1;
                }
            }
        }
        assert_eq!(n_methods, 39);
    }
}
