//! `inference.GRPCInferenceService`: the Open Inference Protocol over the same versions, the same row
//! evaluation and the same limits as `segue.v1.ScoringService`.
//!
//! Tensors of either port become an [`InferRequest`], are read into rows, and answered by
//! [`Job::answer`](crate::score::Job::answer): there is no second way of scoring.

mod describe;
mod infer;
mod output;
mod parameters;
mod rows;
mod tensor;

use segue_api::inference as pb;
use segue_api::inference::grpc_inference_service_server::GrpcInferenceService;
use tokio_stream::Empty;
use tonic::{Request, Response, Status, Streaming};

pub(crate) use self::describe::server as server_metadata;
pub(crate) use self::infer::{InferAnswer, InferRequest, RequestedOutput};
pub(crate) use self::output::{OutputTensor, OutputValues};
pub(crate) use self::tensor::{Data, DataType, InputTensor, Values};
use crate::ServingError;
use crate::registry_service::ModelRegistry;
use crate::scoring_service::{Scoring, deadline_of};

/// Answers generic clients of model servers.
#[derive(Debug, Clone)]
pub(crate) struct Inference {
    pub(crate) scoring: Scoring,
    pub(crate) registry: ModelRegistry,
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(
        &self,
        _request: Request<pb::ServerLiveRequest>,
    ) -> Result<Response<pb::ServerLiveResponse>, Status> {
        Ok(Response::new(pb::ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _request: Request<pb::ServerReadyRequest>,
    ) -> Result<Response<pb::ServerReadyResponse>, Status> {
        Ok(Response::new(pb::ServerReadyResponse { ready: self.is_ready() }))
    }

    async fn model_ready(
        &self,
        request: Request<pb::ModelReadyRequest>,
    ) -> Result<Response<pb::ModelReadyResponse>, Status> {
        let pb::ModelReadyRequest { name, version } = request.into_inner();
        Ok(Response::new(pb::ModelReadyResponse { ready: self.is_model_ready(&name, &version) }))
    }

    async fn server_metadata(
        &self,
        _request: Request<pb::ServerMetadataRequest>,
    ) -> Result<Response<pb::ServerMetadataResponse>, Status> {
        Ok(Response::new(describe::server()))
    }

    async fn model_metadata(
        &self,
        request: Request<pb::ModelMetadataRequest>,
    ) -> Result<Response<pb::ModelMetadataResponse>, Status> {
        let pb::ModelMetadataRequest { name, version } = request.into_inner();
        Ok(Response::new(self.model_metadata_of(&name, &version)?))
    }

    async fn model_infer(
        &self,
        request: Request<pb::ModelInferRequest>,
    ) -> Result<Response<pb::ModelInferResponse>, Status> {
        let deadline = deadline_of(&request);
        let request = request.into_inner();
        let is_raw = !request.raw_input_contents.is_empty();
        let request = InferRequest::from_wire(request)?;
        let answer = if self.is_large(&request) {
            let this = self.clone();
            let deadline = deadline.capped(request.timeout());
            let answer = self.on_pool(deadline, move || this.infer(request, deadline));
            answer.await?
        } else {
            if request.is_explained() {
                // The other requests of its connection need not wait for it.
                tokio::task::yield_now().await;
            }
            self.infer(request, deadline)?
        };
        Ok(Response::new(answer.into_wire(is_raw)))
    }

    type ModelStreamInferStream = Empty<Result<pb::ModelStreamInferResponse, Status>>;

    async fn model_stream_infer(
        &self,
        _request: Request<Streaming<pb::ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let what = "ModelStreamInfer is not served; send ModelInfer on one connection, or use \
                    segue.v1.ScoringService/ScoreStream";
        Err(ServingError::Unimplemented { what }.into())
    }

    async fn model_config(
        &self,
        request: Request<pb::ModelConfigRequest>,
    ) -> Result<Response<pb::ModelConfigResponse>, Status> {
        let pb::ModelConfigRequest { name, version } = request.into_inner();
        let config = Some(self.model_config_of(&name, &version)?);
        Ok(Response::new(pb::ModelConfigResponse { config }))
    }

    async fn model_statistics(
        &self,
        request: Request<pb::ModelStatisticsRequest>,
    ) -> Result<Response<pb::ModelStatisticsResponse>, Status> {
        let pb::ModelStatisticsRequest { name, version } = request.into_inner();
        Ok(Response::new(self.statistics_of(&name, &version)?))
    }

    async fn repository_index(
        &self,
        request: Request<pb::RepositoryIndexRequest>,
    ) -> Result<Response<pb::RepositoryIndexResponse>, Status> {
        Ok(Response::new(self.index(&request.into_inner())?))
    }

    async fn repository_model_load(
        &self,
        request: Request<pb::RepositoryModelLoadRequest>,
    ) -> Result<Response<pb::RepositoryModelLoadResponse>, Status> {
        let request = request.into_inner();
        describe::check_repository(&request.repository_name)?;
        parameters::check_none(request.parameters.keys())?;
        self.registry.load_now(request.model_name).await?;
        Ok(Response::new(pb::RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        _request: Request<pb::RepositoryModelUnloadRequest>,
    ) -> Result<Response<pb::RepositoryModelUnloadResponse>, Status> {
        let what = "a version stays in memory as long as an alias points at it; move the alias with \
                    PromoteModelVersion, RollbackModel or SetModelAlias of \
                    segue.v1.ModelRegistryService";
        Err(ServingError::Unimplemented { what }.into())
    }
}
