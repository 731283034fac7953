//! A server on sockets of its own over a registry in a temporary folder, and tiny models for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use segue_api::inference as oip;
use segue_api::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use segue_api::v1 as pb;
use segue_api::v1::admin_service_client::AdminServiceClient;
use segue_api::v1::model_registry_service_client::ModelRegistryServiceClient;
use segue_api::v1::scoring_service_client::ScoringServiceClient;
use segue_dataset::{Feature, Schema, TargetKind};
use segue_events::{AssembleOptions, LogBuilder, RoleMap};
use segue_features::{FeatureSet, FeatureSpec, Visibility};
use segue_model::{
    Calibration, CategorySet, Child, Combine, Ensemble, GoldenRow, Link, MissingRule, Model,
    ModelParts, Node, Scratch, Split, Tree, encode_golden,
};
use segue_registry::{
    Draft, GatePolicy, PromoteRequest, Registry, Traffic, TrafficRequest, VersionSummary,
};
use segue_serving::{ServeError, ServeOptions, run};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Longer than anything here takes, shorter than anyone's patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct TestServer {
    pub(crate) grpc: SocketAddr,
    pub(crate) channel: Channel,
    pub(crate) http: SocketAddr,
    pub(crate) registry: Registry,
    pub(crate) folder: TempDir,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<Result<(), ServeError>>,
}

pub(crate) fn quick() -> ServeOptions {
    ServeOptions {
        poll_interval: Duration::from_millis(5),
        pre_drain: Duration::ZERO,
        n_scoring_threads: 2,
        ..ServeOptions::default()
    }
}

impl TestServer {
    /// Two versions of `churn` (champion 1), and one of `visits` with a feature set and segments.
    pub(crate) async fn start() -> Self {
        Self::start_with(quick()).await
    }

    pub(crate) async fn start_with(options: ServeOptions) -> Self {
        let (folder, registry) = prepared();
        let server = Self::over(folder, registry, options).await;
        server.wait_for_health("", ServingStatus::Serving).await;
        server.wait_for_health("model/visits", ServingStatus::Serving).await;
        server
    }

    pub(crate) async fn over(folder: TempDir, registry: Registry, options: ServeOptions) -> Self {
        let connect = |address| async move {
            Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
        };
        Self::over_with(folder, registry, options, connect).await
    }

    /// With a channel of the caller's making.
    pub(crate) async fn over_with<C: Future<Output = Channel>>(
        folder: TempDir,
        registry: Registry,
        options: ServeOptions,
        connect: impl FnOnce(SocketAddr) -> C,
    ) -> Self {
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (grpc_addr, http_addr) = (grpc.local_addr().unwrap(), http.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let task = tokio::spawn(run(grpc, http, options, registry.clone(), shutdown));
        let channel = connect(grpc_addr).await;
        Self { grpc: grpc_addr, channel, http: http_addr, registry, folder, stop, task }
    }

    pub(crate) fn scoring(&self) -> ScoringServiceClient<Channel> {
        ScoringServiceClient::new(self.channel.clone())
    }

    pub(crate) fn models(&self) -> ModelRegistryServiceClient<Channel> {
        ModelRegistryServiceClient::new(self.channel.clone())
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    pub(crate) fn inference(&self) -> GrpcInferenceServiceClient<Channel> {
        GrpcInferenceServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn infer(
        &self,
        request: oip::ModelInferRequest,
    ) -> Result<oip::ModelInferResponse, tonic::Status> {
        self.inference().model_infer(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn score(
        &self,
        request: pb::ScoreRequest,
    ) -> Result<pb::ScoreResponse, tonic::Status> {
        self.scoring().score(request).await.map(tonic::Response::into_inner)
    }

    /// Follows the health of a service until it is `wanted`.
    pub(crate) async fn wait_for_health(&self, service: &str, wanted: ServingStatus) {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut client = HealthClient::new(self.channel.clone());
        let follow = async {
            let mut watch = client.watch(request).await.unwrap().into_inner();
            while let Some(answer) = watch.message().await.unwrap() {
                if answer.status() == wanted {
                    return;
                }
            }
            panic!("the watch of {service:?} ended before {wanted:?}");
        };
        tokio::time::timeout(PATIENCE, follow).await.expect(service);
    }

    /// Status line and body of a page of the HTTP port.
    pub(crate) async fn get(&self, path: &str) -> (String, String) {
        let answer = self.http("GET", path, "", b"").await;
        let line = answer.head.lines().next().unwrap().to_owned();
        (line, String::from_utf8(answer.body).unwrap())
    }

    /// Asks the HTTP port; `headers` are whole lines, each with its end.
    pub(crate) async fn http(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> HttpAnswer {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        read_answer(&mut stream).await
    }
}

/// A server for all cases of a property, and what runs it.
pub(crate) fn started() -> (tokio::runtime::Runtime, TestServer) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(TestServer::start());
    (runtime, server)
}

/// So many cases, and no file about those that failed.
pub(crate) fn cases(n_cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        failure_persistence: None,
        ..proptest::test_runner::Config::with_cases(n_cases)
    }
}

/// An answer of the HTTP port.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl HttpAnswer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a header, named in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// The answer of a connection that the server closes after it.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> HttpAnswer {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    HttpAnswer { code, head, body: answer[end + 4..].to_vec() }
}

/// What [`TestServer::start`] serves.
pub(crate) fn prepared() -> (TempDir, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    publish(&registry, &churn_draft(0.0));
    publish(&registry, &churn_draft(0.5));
    promote(&registry, "churn", 1);
    publish(&registry, &visits_draft());
    promote(&registry, "visits", 1);
    (folder, registry)
}

pub(crate) fn publish(registry: &Registry, draft: &Draft) -> u64 {
    registry.publish(draft).unwrap().version
}

pub(crate) fn promote(registry: &Registry, model: &str, version: u64) {
    let request = PromoteRequest {
        model: model.into(),
        version,
        // The tiny models come without a holdout to judge them on.
        override_gates: true,
        ..PromoteRequest::default()
    };
    registry.promote(&request).unwrap();
}

fn node(feature: u32, split: Split, left: Child, right: Child, cover: f64) -> Node {
    Node { feature, split, missing: MissingRule::Right, left, right, gain: 1.0, cover }
}

/// Binary over `age`, `plan` (free, pro) and `visits`; `shift` tells versions apart.
pub(crate) fn churn_model(shift: f64) -> Model {
    let by_age = Tree {
        nodes: vec![
            node(0, Split::AtMost(30.0), Child::Leaf(0), Child::Node(1), 10.0),
            node(1, Split::In(CategorySet::from_codes([1])), Child::Leaf(1), Child::Leaf(2), 6.0),
        ],
        leaf_values: vec![0.7, -0.4, 0.1],
        leaf_cover: vec![4.0, 3.0, 3.0],
        leaf_width: 1,
    };
    let by_visits = Tree {
        nodes: vec![node(2, Split::Below(2.5), Child::Leaf(0), Child::Leaf(1), 10.0)],
        leaf_values: vec![0.3 + shift, -0.9],
        leaf_cover: vec![5.0, 5.0],
        leaf_width: 1,
    };
    let plans = vec!["free".to_owned(), "pro".to_owned()];
    let features =
        vec![Feature::number("age"), Feature::category("plan", plans), Feature::number("visits")];
    model(features, vec![by_age, by_visits], "churn", None)
}

pub(crate) fn model(
    features: Vec<Feature>,
    trees: Vec<Tree>,
    task: &str,
    hash: Option<String>,
) -> Model {
    let tree_output = vec![0; trees.len()];
    Model::new(ModelParts {
        schema: Arc::new(Schema::new(features).unwrap()),
        target: TargetKind::Binary,
        task: task.to_owned(),
        ensemble: Ensemble {
            trees,
            tree_output,
            base: vec![-0.2],
            combine: Combine::Sum,
            link: Link::Logistic,
        },
        calibration: Calibration::None,
        behaviours: Vec::new(),
        feature_set_hash: hash,
    })
    .unwrap()
}

pub(crate) fn churn_draft(shift: f64) -> Draft {
    let model = churn_model(shift);
    let rows = [[25.0, 0.0, 1.0], [40.0, 1.0, f64::NAN], [40.0, -1.0, 3.0]];
    draft("churn", &model, &rows.map(|row| row.to_vec()), BTreeMap::new())
}

/// Counts visits and sums amounts from events.
pub(crate) fn visits_features() -> FeatureSet {
    visits_features_over("7d")
}

/// The same columns, the visits over another window: another feature set.
pub(crate) fn visits_features_over(window: &str) -> FeatureSet {
    let spec = |text: &str| FeatureSpec::from_table("test", text.parse().unwrap()).unwrap();
    let visits =
        format!("name = \"visits_7d\"\nop = \"count\"\nevents = [\"visit\"]\nwindow = {window:?}");
    let specs = vec![
        spec(&visits),
        spec("name = \"spent\"\nop = \"sum\"\nproperty = \"amount\"\nwindow = \"lifetime\""),
    ];
    let log = LogBuilder::new(AssembleOptions::default()).finish();
    FeatureSet::learn(specs, RoleMap::well_known(), Visibility::AsKnown, &log, &[]).unwrap()
}

pub(crate) fn visits_model() -> Model {
    let features = visits_features();
    let tree = Tree {
        nodes: vec![node(
            features.schema().index_of("visits_7d").unwrap() as u32,
            Split::AtMost(1.5),
            Child::Leaf(0),
            Child::Leaf(1),
            10.0,
        )],
        leaf_values: vec![1.25, -1.25],
        leaf_cover: vec![5.0, 5.0],
        leaf_width: 1,
    };
    let hash = features.hash().to_owned();
    model(features.schema().features().to_vec(), vec![tree], "visits", Some(hash))
}

const SEGMENTS: &str = r#"
[[segment]]
name = "lost_cause"
when = "score > 0.5 && scores.churn > 0.6"

[[segment]]
name = "vip"
when = "traits.tier == 'gold'"

[[segment]]
name = "quiet"
when = "features.visits_7d < 2.0"
"#;

pub(crate) fn visits_draft() -> Draft {
    let files = BTreeMap::from([
        ("features.toml".to_owned(), visits_features().to_toml().into_bytes()),
        ("segments.toml".to_owned(), SEGMENTS.as_bytes().to_vec()),
    ]);
    draft("visits", &visits_model(), &[vec![0.0, f64::NAN], vec![2.0, 9.5]], files)
}

pub(crate) fn draft(
    name: &str,
    model: &Model,
    rows: &[Vec<f64>],
    mut files: BTreeMap<String, Vec<u8>>,
) -> Draft {
    let golden: Vec<GoldenRow> = rows.iter().map(|row| GoldenRow::of(model, row)).collect();
    files.insert("model.bin".to_owned(), model.encode());
    files.insert("golden.jsonl".to_owned(), encode_golden(&golden).into_bytes());
    Draft {
        model: name.to_owned(),
        files,
        summary: VersionSummary {
            task: model.task().to_owned(),
            target: model.target().clone(),
            schema: Arc::clone(model.schema()),
            feature_set_hash: model.feature_set_hash().map(str::to_owned),
            metrics: BTreeMap::from([("auc".to_owned(), 0.75)]),
            slice_metrics: BTreeMap::new(),
            lineage: BTreeMap::from([("seed".to_owned(), "7".to_owned())]),
            created_by: "ada".to_owned(),
            gates: GatePolicy::default(),
        },
    }
}

/// What the model itself says of a row.
pub(crate) fn offline(model: &Model, row: &[f64]) -> f64 {
    model.score(row, &mut Scratch::default()).score()
}

pub(crate) fn selector(model: &str) -> pb::ModelSelector {
    pb::ModelSelector { model: model.to_owned(), choice: None }
}

pub(crate) fn value(kind: pb::feature_value::Kind) -> pb::FeatureValue {
    pb::FeatureValue { kind: Some(kind) }
}

pub(crate) fn number(number: f64) -> pb::FeatureValue {
    value(pb::feature_value::Kind::Number(number))
}

pub(crate) fn category(text: &str) -> pb::FeatureValue {
    value(pb::feature_value::Kind::Category(text.to_owned()))
}

pub(crate) fn named<'a>(
    values: impl IntoIterator<Item = (&'a str, pb::FeatureValue)>,
) -> pb::FeatureRow {
    let features = pb::feature_row::Features::Named(values.into_iter().collect());
    pb::FeatureRow { features: Some(features), ..Default::default() }
}

pub(crate) fn packed(values: &[f64], schema_digest: &str) -> pb::FeatureRow {
    let packed =
        pb::PackedFeatures { values: values.to_vec(), schema_digest: schema_digest.to_owned() };
    let features = pb::feature_row::Features::Packed(packed);
    pb::FeatureRow { features: Some(features), ..Default::default() }
}

pub(crate) fn request(models: &[&str], row: pb::FeatureRow) -> pb::ScoreRequest {
    let models = models.iter().map(|model| selector(model)).collect();
    pb::ScoreRequest { models, row: Some(row), ..Default::default() }
}

/// Splits the traffic of `churn`, and waits until the server has followed.
pub(crate) async fn split(server: &TestServer, traffic: Traffic) {
    split_of(server, "churn", traffic).await;
}

pub(crate) async fn split_of(server: &TestServer, model: &str, traffic: Traffic) {
    let change = TrafficRequest {
        model: model.to_owned(),
        traffic: Some(traffic),
        actor: "ada".to_owned(),
        ..TrafficRequest::default()
    };
    let state = server.registry.set_traffic(&change).unwrap();
    until_generation(server, model, state.state.generation).await;
}

/// Waits until the server answers from this state of a model, or a later one. Asks for no score.
pub(crate) async fn until_generation(server: &TestServer, model: &str, generation: u64) {
    let request = pb::GetModelSchemaRequest { model: Some(selector(model)) };
    let followed = async {
        loop {
            let schema = server.scoring().get_model_schema(request.clone()).await.unwrap();
            if schema.into_inner().served_by.unwrap().generation >= generation {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, followed).await.expect("the registry is followed");
}

/// The promotion of a version, whatever its gates say.
pub(crate) fn promotion(model: &str, version: i64) -> pb::PromoteModelVersionRequest {
    pb::PromoteModelVersionRequest {
        model: model.to_owned(),
        version,
        override_gates: true,
        ..Default::default()
    }
}

/// Waits until something of a model could not be loaded.
pub(crate) async fn until_load_error(server: &TestServer, model: &str) -> pb::Model {
    let failed = async {
        loop {
            let ask = pb::GetModelRequest { model: model.to_owned() };
            let told = server.models().get_model(ask).await.unwrap().into_inner().model.unwrap();
            if !told.load_error.is_empty() {
                return told;
            }
        }
    };
    tokio::time::timeout(PATIENCE, failed).await.expect("the version fails")
}

/// Version 2 as the canary of `churn`.
pub(crate) fn canary(basis_points: u32) -> Traffic {
    Traffic { canary_version: Some(2), canary_basis_points: basis_points, ..Traffic::default() }
}

/// The row of a subject.
pub(crate) fn of_subject(subject_id: &str, row: pb::FeatureRow) -> pb::FeatureRow {
    pb::FeatureRow { subject_id: subject_id.to_owned(), ..row }
}

/// The value of a line of the metrics page, 0 if there is none.
pub(crate) async fn metric(server: &TestServer, name: &str) -> f64 {
    let (_, page) = server.get("/metrics").await;
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    page.lines().find_map(value).unwrap_or(0.0)
}

/// A row of `churn` that is good.
pub(crate) fn good_row() -> pb::FeatureRow {
    named([("age", number(40.0)), ("plan", category("pro")), ("visits", number(1.0))])
}
