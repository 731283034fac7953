//! A server that does as it is told, and writes down what it was asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use segue_client::proto as pb;
use segue_client::proto::scoring_service_server::{ScoringService, ScoringServiceServer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::metadata::MetadataMap;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// What to do with a request.
pub(crate) enum Act {
    Refuse(Status),
    NeverAnswer,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<(MetadataMap, pb::ScoreRequest)>,
    pub(crate) n_connections: usize,
}

/// Answers OK when nothing is left of the script.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    script: Arc<Mutex<VecDeque<Act>>>,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

impl Fake {
    pub(crate) fn acting(script: impl IntoIterator<Item = Act>) -> Self {
        let script = Arc::new(Mutex::new(script.into_iter().collect()));
        Self { script, ..Self::default() }
    }

    pub(crate) fn refusing(n_times: usize, status: impl Fn() -> Status) -> Self {
        Self::acting((0..n_times).map(|_| Act::Refuse(status())))
    }

    pub(crate) fn n_requests(&self) -> usize {
        self.seen.lock().unwrap().requests.len()
    }

    /// Serves on a port of the system's choice until the sender is dropped.
    pub(crate) async fn start(&self) -> (SocketAddr, oneshot::Sender<()>) {
        self.start_on("127.0.0.1:0".parse().unwrap(), None).await
    }

    pub(crate) async fn start_on(
        &self,
        address: SocketAddr,
        tls: Option<ServerTlsConfig>,
    ) -> (SocketAddr, oneshot::Sender<()>) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let seen = Arc::clone(&self.seen);
        let incoming = TcpListenerStream::new(listener).map(move |connection| {
            seen.lock().unwrap().n_connections += 1;
            connection
        });
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let service = ScoringServiceServer::new(self.clone());
        let serving = server
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, async { drop(stopped.await) });
        tokio::spawn(async { serving.await.unwrap() });
        (address, stop)
    }
}

pub(crate) fn identity_config(identity: Identity) -> ServerTlsConfig {
    ServerTlsConfig::new().identity(identity)
}

fn answer(request: pb::ScoreRequest) -> pb::ScoreResponse {
    let predictions = vec![pb::Prediction { score: 0.25, ..Default::default() }];
    let served_by = vec![pb::ServedBy { model: "churn".into(), version: 3, ..Default::default() }];
    let result = Some(pb::ScoredRow { predictions, ..Default::default() });
    pb::ScoreResponse { result, served_by, request_id: request.request_id }
}

#[tonic::async_trait]
impl ScoringService for Fake {
    async fn score(
        &self,
        request: Request<pb::ScoreRequest>,
    ) -> Result<Response<pb::ScoreResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.seen.lock().unwrap().requests.push((metadata, request.clone()));
        let act = self.script.lock().unwrap().pop_front();
        match act {
            None => {}
            Some(Act::Refuse(status)) => return Err(status),
            Some(Act::NeverAnswer) => std::future::pending().await,
        }
        Ok(Response::new(answer(request)))
    }

    async fn score_batch(
        &self,
        _: Request<pb::ScoreBatchRequest>,
    ) -> Result<Response<pb::ScoreBatchResponse>, Status> {
        // No result for the row that was sent.
        Ok(Response::new(pb::ScoreBatchResponse::default()))
    }

    type ScoreStreamStream = ReceiverStream<Result<pb::ScoreStreamResponse, Status>>;

    async fn score_stream(
        &self,
        request: Request<Streaming<pb::ScoreStreamRequest>>,
    ) -> Result<Response<Self::ScoreStreamStream>, Status> {
        use pb::score_stream_response::Result as Outcome;
        let mut requests = request.into_inner();
        let script = Arc::clone(&self.script);
        let (sender, answers) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                let act = script.lock().unwrap().pop_front();
                let result = match act {
                    Some(Act::NeverAnswer) => continue,
                    Some(Act::Refuse(status)) => return drop(sender.send(Err(status)).await),
                    None => Outcome::Response(answer(request.request.unwrap())),
                };
                let (sequence, result) = (request.sequence, Some(result));
                let answer = pb::ScoreStreamResponse { sequence, result };
                // Whoever asked may have left.
                let _ = sender.send(Ok(answer)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn get_model_schema(
        &self,
        _: Request<pb::GetModelSchemaRequest>,
    ) -> Result<Response<pb::GetModelSchemaResponse>, Status> {
        Ok(Response::new(pb::GetModelSchemaResponse::default()))
    }
}
