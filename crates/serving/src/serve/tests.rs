//! A handler that panics, behind the guard and a real socket. The server's own handlers have no way to
//! be made to, so another one takes their place in the same transport.

use std::sync::atomic::{AtomicBool, Ordering};

use segue_api::v1 as pb;
use segue_api::v1::scoring_service_client::ScoringServiceClient;
use segue_api::v1::scoring_service_server::ScoringService;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::StatusExt;

use super::*;

/// Panics at the first `Score`, and answers the others. Streams answer once and end with an error.
#[derive(Debug, Default)]
struct PanicsOnce {
    has_panicked: AtomicBool,
}

#[tonic::async_trait]
impl ScoringService for PanicsOnce {
    async fn score(
        &self,
        _request: Request<pb::ScoreRequest>,
    ) -> Result<Response<pb::ScoreResponse>, Status> {
        assert!(self.has_panicked.swap(true, Ordering::SeqCst), "secret words of a panic");
        Ok(Response::new(pb::ScoreResponse::default()))
    }

    async fn score_batch(
        &self,
        _request: Request<pb::ScoreBatchRequest>,
    ) -> Result<Response<pb::ScoreBatchResponse>, Status> {
        std::future::pending().await
    }

    type ScoreStreamStream = ReceiverStream<Result<pb::ScoreStreamResponse, Status>>;

    async fn score_stream(
        &self,
        _request: Request<Streaming<pb::ScoreStreamRequest>>,
    ) -> Result<Response<Self::ScoreStreamStream>, Status> {
        let (answers, receiver) = tokio::sync::mpsc::channel(2);
        answers.send(Ok(pb::ScoreStreamResponse::default())).await.unwrap();
        answers.send(Err(Status::unavailable("gone"))).await.unwrap();
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn get_model_schema(
        &self,
        _request: Request<pb::GetModelSchemaRequest>,
    ) -> Result<Response<pb::GetModelSchemaResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }
}

/// [`PanicsOnce`] over a socket: its client, its metrics, and the task to end it by.
async fn started(
    options: ServeOptions,
) -> (ScoringServiceClient<tonic::transport::Channel>, Arc<Metrics>, tokio::task::JoinHandle<()>) {
    let metrics = Arc::new(Metrics::new());
    let guard = Arc::new(Guard {
        routes: Routes::new(&metrics),
        limits: Arc::new(Limits::new(&options, Arc::clone(&metrics))),
        metrics: Arc::clone(&metrics),
        max_request_time: options.max_request_time,
        max_stream_silence: options.net.max_stream_silence,
        access: None,
        observer: Observer::new(None, None),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = Port {
        name: "grpc",
        listener,
        tls: None,
        max_connections: 1,
        max_in_turn: 1,
        options: options.net.clone(),
        budgets: Arc::new(Budgets::new(&options)),
        metrics: Arc::clone(&metrics),
    };
    let (closing, is_closing) = watch::channel(false);
    let service = ScoringServiceServer::new(PanicsOnce::default());
    let served = port.serve_grpc(service, guard, 8, is_closing);
    let server = tokio::spawn(async move {
        served.await;
        drop(closing);
    });
    let client = ScoringServiceClient::connect(format!("http://{address}")).await.unwrap();
    (client, metrics, server)
}

#[tokio::test]
async fn a_panic_is_answered_counted_and_over() {
    // One permit: the panic must give it back.
    let options = ServeOptions { max_in_flight: 1, ..ServeOptions::default() };
    let (mut client, metrics, server) = started(options).await;
    let status = client.score(pb::ScoreRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "INTERNAL");
    assert!(status.message().contains("log") && !status.message().contains("secret"), "{status}");
    client.score(pb::ScoreRequest::default()).await.expect("the server and the connection live");
    let page = metrics.page().unwrap();
    assert!(page.contains("segue_panics_total 1\n"), "{page}");
    let method = "grpc_service=\"segue.v1.ScoringService\",grpc_method=\"Score\"";
    for code in ["INTERNAL", "OK"] {
        let line = format!("grpc_server_handled_total{{{method},grpc_code=\"{code}\"}} 1\n");
        assert!(page.contains(&line), "{page}");
    }
    server.abort();
}

/// A caller who goes away has its request dropped where it stands. It was not counted, and a change
/// left no line in the audit trail.
#[tokio::test]
async fn a_request_that_is_taken_back_is_counted_too() {
    let (mut client, metrics, server) = started(ServeOptions::default()).await;
    let method = "grpc_service=\"segue.v1.ScoringService\",grpc_method=\"ScoreBatch\"";
    let has = |line: String| metrics.page().unwrap().contains(&line);
    let asked =
        tokio::spawn(async move { client.score_batch(pb::ScoreBatchRequest::default()).await });
    while !has(format!("grpc_server_started_total{{{method}}} 1\n")) {
        tokio::task::yield_now().await;
    }
    asked.abort();
    let counted = async {
        while !has(format!("grpc_server_handled_total{{{method},grpc_code=\"CANCELLED\"}} 1\n")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), counted).await.expect("it is counted");
    server.abort();
}

/// The headers of a stream say OK, whatever comes after.
#[tokio::test]
async fn a_stream_is_counted_by_the_status_that_it_ends_with() {
    let method = "grpc_service=\"segue.v1.ScoringService\",grpc_method=\"ScoreStream\"";
    let mut no_room = ServeOptions::default();
    no_room.net.max_unread_bytes = 1;
    for (options, n_answers, code, name) in [
        (ServeOptions::default(), 1, Code::Unavailable, "UNAVAILABLE"),
        (no_room, 0, Code::ResourceExhausted, "RESOURCE_EXHAUSTED"),
    ] {
        let (mut client, metrics, server) = started(options).await;
        let answers = client.score_stream(tokio_stream::pending()).await.expect("it begins");
        let mut answers = answers.into_inner();
        for _ in 0..n_answers {
            answers.message().await.unwrap().unwrap();
        }
        assert_eq!(answers.message().await.unwrap_err().code(), code);
        let page = metrics.page().unwrap();
        let handled: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("grpc_server_handled_total{"))
            .filter(|line| line.starts_with(method))
            .collect();
        assert_eq!(handled, [format!("{method},grpc_code=\"{name}\"}} 1")], "{page}");
        let shed = page.contains("segue_requests_shed_total{reason=\"unread_answers\"} 1\n");
        assert_eq!(shed, code == Code::ResourceExhausted, "{page}");
        server.abort();
    }
}
