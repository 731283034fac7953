//! `grpc.health.v1`: what is loaded, service by service and model by model.
//!
//! tonic-health brings the messages. Its own service ends a watch of a name that it does not know yet
//! with NOT_FOUND, where the protocol asks for SERVICE_UNKNOWN and patience, so that a watch may be
//! opened before the model is published.

use segue_api::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use segue_api::v1::model_registry_service_server::ModelRegistryServiceServer;
use segue_api::v1::scoring_service_server::ScoringServiceServer;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::ServingError;
use crate::from_proto::shown;
use crate::inference_service::Inference;
use crate::live::Readiness;
use crate::registry_service::ModelRegistry;
use crate::scoring_service::Scoring;

const SCORING: &str = <ScoringServiceServer<Scoring> as NamedService>::NAME;
const INFERENCE: &str = <GrpcInferenceServiceServer<Inference> as NamedService>::NAME;
const REGISTRY: &str = <ModelRegistryServiceServer<ModelRegistry> as NamedService>::NAME;

/// Tells readiness by name: `""` for the server as a whole, a service, or `model/NAME`.
#[derive(Debug, Clone)]
pub(crate) struct HealthChecks {
    pub(crate) readiness: watch::Receiver<Readiness>,
    /// True from the moment when open watches must end.
    pub(crate) closing: watch::Receiver<bool>,
}

/// `None` for a name that means nothing here, or nothing yet.
fn status_of(name: &str, readiness: &Readiness) -> Option<ServingStatus> {
    let serving = match name {
        "" | SCORING | INFERENCE => readiness.ready,
        // A first version must be promoted before there is anything to score with.
        REGISTRY => readiness.registry_read && !readiness.draining,
        _ => *readiness.models.get(name.strip_prefix("model/")?)? && !readiness.draining,
    };
    Some(if serving { ServingStatus::Serving } else { ServingStatus::NotServing })
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthChecks {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        match status_of(&name, &self.readiness.borrow()) {
            Some(status) => Ok(Response::new(answer(status))),
            None => Err(ServingError::HealthUnknown { name: shown(&name).to_owned() }.into()),
        }
    }

    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (answers, receiver) = mpsc::channel(1);
        tokio::spawn(self.clone().follow(request.into_inner().service, answers));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl HealthChecks {
    /// Tells the status of now and every other one after it, until the server closes or the reader
    /// leaves.
    async fn follow(
        mut self,
        name: String,
        answers: mpsc::Sender<Result<HealthCheckResponse, Status>>,
    ) {
        let mut told = None;
        loop {
            let status = status_of(&name, &self.readiness.borrow_and_update());
            let status = status.unwrap_or(ServingStatus::ServiceUnknown);
            if told != Some(status) {
                told = Some(status);
                if answers.send(Ok(answer(status))).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                // First, so that NOT_SERVING is told before the end.
                biased;
                changed = self.readiness.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = answers.closed() => return,
                _ = self.closing.wait_for(|closing| *closing) => break,
            }
        }
        // A reader that has gone does not see how it ended.
        let _ = answers.send(Err(ServingError::Draining.into())).await;
    }
}
