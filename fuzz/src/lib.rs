//! A server in this process, and callers that send it bytes.

mod foreign;
pub mod seeds;

use std::sync::OnceLock;

use segue_model::exchange::{Format, import};
use segue_model::{GoldenRow, Model, encode_golden};
use segue_registry::{Draft, GatePolicy, PromoteRequest, Registry, VersionSummary};
use segue_serving::{ServeOptions, run};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// One number and one category, one tree.
const MODEL: &str = include_str!("../model.txt");

/// The model `churn`, in memory and through the form of a foreign library.
pub fn model() -> Model {
    let imported = import(MODEL.as_bytes(), Some(Format::LightGbm)).expect("it reads");
    imported.into_model("churn").expect("it scores")
}

struct Server {
    runtime: Runtime,
    channel: Channel,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let registry = registry("memory:///models");
        let channel = runtime.block_on(async {
            let grpc = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let http = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("http://{}", grpc.local_addr().expect("an address"));
            tokio::spawn(run(
                grpc,
                http,
                ServeOptions::default(),
                registry,
                std::future::pending(),
            ));
            let channel = Channel::from_shared(url).expect("a URL").connect().await;
            channel.expect("a connection")
        });
        Server { runtime, channel }
    })
}

/// Files of a registry that others may have written.
pub const KEYS: [&str; 4] =
    ["churn/versions/1/manifest.json", "churn/events/1.json", "churn/state.json", "FORMAT"];

/// A registry at `location` with `churn` for its champion.
pub fn registry(location: &str) -> Registry {
    let model = model();
    let row = vec![0.5; model.schema().len()];
    let registry = Registry::open(location).expect("a registry");
    let golden = encode_golden(&[GoldenRow::of(&model, &row)]);
    let draft = Draft {
        model: "churn".to_owned(),
        files: [
            ("model.bin".to_owned(), model.encode()),
            ("golden.jsonl".to_owned(), golden.into_bytes()),
        ]
        .into(),
        summary: VersionSummary {
            task: model.task().to_owned(),
            target: model.target().clone(),
            schema: model.schema().clone(),
            feature_set_hash: None,
            metrics: Default::default(),
            slice_metrics: Default::default(),
            lineage: Default::default(),
            created_by: "fuzz".to_owned(),
            gates: GatePolicy::default(),
        },
    };
    registry.publish(&draft).expect("published");
    let model = "churn".to_owned();
    let promotion =
        PromoteRequest { model, version: 1, override_gates: true, ..PromoteRequest::default() };
    registry.promote(&promotion).expect("promoted");
    registry
}

/// Sends `message` as it is to `path`. Whatever it was, the server answers, and not with a fault of
/// its own.
pub fn send(path: &'static str, message: &[u8]) {
    let server = server();
    let mut client = tonic::client::Grpc::new(server.channel.clone());
    let message = message.to_vec();
    let outcome = server.runtime.block_on(async {
        client.ready().await.expect("the server lives");
        client.unary(Request::new(message), PathAndQuery::from_static(path), Raw).await
    });
    if let Err(status) = outcome {
        // INTERNAL is what tonic says of a message that is no protobuf; a panic says it differently.
        let is_fault =
            status.code() == Code::Internal && status.message().contains("log has the details");
        assert!(!is_fault, "{status:?}");
        assert!(
            !matches!(status.code(), Code::Unknown | Code::Unavailable)
                || status.message().contains("ready"),
            "{status:?}"
        );
    }
}

/// Bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use bytes::BufMut;
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        use bytes::Buf;
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}
