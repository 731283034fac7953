//! `segue serve` as a back-end meets it: a process, a port, answers bit for bit those of training.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use segue_api::v1 as pb;
use segue_api::v1::feedback_service_client::FeedbackServiceClient;
use segue_api::v1::model_registry_service_client::ModelRegistryServiceClient;
use segue_api::v1::scoring_service_client::ScoringServiceClient;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::small::small;
use crate::support::{Run, segue};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server over a registry of its own; killed when dropped.
pub(crate) struct Server {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    channel: Channel,
    pub(crate) registry: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // after a clean end there is nothing left to kill
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts on ports of the system's choice and waits until `churn` is served.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = small().copy_of_registry(folder.path());
        Self::over(registry, folder).await
    }

    /// The same over a registry in a folder that is kept as long as the server.
    pub(crate) async fn over(registry: PathBuf, folder: tempfile::TempDir) -> Self {
        Self::of("churn", &[], registry, folder).await
    }

    /// The same of another model, with more arguments.
    pub(crate) async fn of(
        model: &str,
        more: &[&str],
        registry: PathBuf,
        folder: tempfile::TempDir,
    ) -> Self {
        let mut serve = segue();
        serve.args(["serve", model]).args(more).args([
            "--grpc",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ]);
        serve.args(["--poll", "0.05", "--pre-drain", "0.1", "--drain-timeout", "10", "--registry"]);
        serve.arg(&registry).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = serve.spawn().unwrap();
        let mut lines = lines_of(&mut child);
        let address = address_in(&next_line(&mut lines, "(gRPC)").await);
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        let channel = channel.connect().await.unwrap();
        let server = Self { child, lines, channel, registry, _folder: folder };
        tokio::time::timeout(PATIENCE, server.ready()).await.unwrap();
        server
    }

    async fn ready(&self) {
        let request = HealthCheckRequest { service: String::new() };
        let mut health = HealthClient::new(self.channel.clone());
        let mut updates = health.watch(request).await.unwrap().into_inner();
        while let Some(update) = updates.message().await.unwrap() {
            if update.status() == ServingStatus::Serving {
                return;
            }
        }
        panic!("the server stopped before it was ready");
    }

    pub(crate) fn feedback(&self) -> FeedbackServiceClient<Channel> {
        FeedbackServiceClient::new(self.channel.clone())
    }

    pub(crate) fn scoring(&self) -> ScoringServiceClient<Channel> {
        ScoringServiceClient::new(self.channel.clone())
    }

    pub(crate) fn models(&self) -> ModelRegistryServiceClient<Channel> {
        ModelRegistryServiceClient::new(self.channel.clone())
    }

    /// Asks for a clean stop and waits for the end.
    pub(crate) async fn stop(mut self) -> (ExitStatus, Vec<String>) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let mut said = Vec::new();
        // stderr closes when the process ends
        let rest = async {
            while let Some(line) = self.lines.recv().await {
                said.push(line);
            }
        };
        tokio::time::timeout(PATIENCE, rest).await.expect("the server does not stop");
        (self.child.wait().unwrap(), said)
    }
}

fn lines_of(child: &mut Child) -> mpsc::UnboundedReceiver<String> {
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (send, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

async fn next_line(lines: &mut mpsc::UnboundedReceiver<String>, with: &str) -> String {
    let mut said = Vec::new();
    let found = async {
        while let Some(line) = lines.recv().await {
            if line.contains(with) {
                return line;
            }
            said.push(line);
        }
        panic!("no line with {with:?} in {said:#?}");
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap()
}

/// `serving churn on 127.0.0.1:1234 (gRPC), …`
fn address_in(line: &str) -> SocketAddr {
    let address = line.split(" on ").nth(1).and_then(|rest| rest.split(' ').next());
    address.unwrap_or_default().parse().unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// A proof row of a version: one value a column, `None` is missing, and the answer's bits.
pub(crate) struct Golden {
    pub(crate) row: Vec<Option<f64>>,
    pub(crate) bits: u64,
}

pub(crate) fn golden(registry: &Path, version: u64) -> Vec<Golden> {
    let path = registry.join(format!("churn/versions/{version}/golden.jsonl"));
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Golden> = text
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let bits = line["output_bits"][0].as_str().unwrap();
            let row = line["row"].as_array().unwrap().iter().map(Value::as_f64).collect();
            Golden { row, bits: u64::from_str_radix(bits, 16).unwrap() }
        })
        .collect();
    assert!(rows.len() > 50, "{} proof rows", rows.len());
    rows
}

fn value(feature: &pb::Feature, value: Option<f64>) -> pb::FeatureValue {
    use pb::feature_value::Kind;
    let kind = match (value, feature.kind()) {
        (None, _) => Kind::Missing(pb::Missing {}),
        (Some(code), pb::FeatureKind::Category) => {
            let known = (code >= 0.0).then(|| feature.vocabulary[code as usize].clone());
            Kind::Category(known.unwrap_or_else(|| "never seen".to_owned()))
        }
        (Some(number), _) => Kind::Number(number),
    };
    pb::FeatureValue { kind: Some(kind) }
}

pub(crate) fn named(schema: &pb::Schema, row: &[Option<f64>]) -> pb::FeatureRow {
    assert_eq!(schema.features.len(), row.len());
    let values = schema.features.iter().zip(row);
    let values = values.map(|(feature, at)| (feature.name.clone(), value(feature, *at))).collect();
    let features = Some(pb::feature_row::Features::Named(values));
    pb::FeatureRow { features, ..pb::FeatureRow::default() }
}

fn packed(schema: &pb::Schema, row: &[Option<f64>]) -> pb::FeatureRow {
    let values = row.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
    let packed = pb::PackedFeatures { values, schema_digest: schema.digest.clone() };
    let features = Some(pb::feature_row::Features::Packed(packed));
    pb::FeatureRow { features, ..pb::FeatureRow::default() }
}

fn selector() -> pb::ModelSelector {
    pb::ModelSelector { model: "churn".to_owned(), choice: None }
}

pub(crate) fn request(row: pb::FeatureRow) -> pb::ScoreRequest {
    pb::ScoreRequest { models: vec![selector()], row: Some(row), ..Default::default() }
}

/// The first version may come from the very server that will answer with it, so a server starts over a
/// registry that has none, and says what it waits for.
#[tokio::test]
async fn the_first_start_needs_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = segue();
    serve.args(["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--poll", "0.05"]);
    serve.arg("--registry").arg(folder.path().join("models"));
    let mut child = serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = lines_of(&mut child);
    let note = next_line(&mut lines, "champion").await;
    assert!(note.contains("segue promote"), "{note}");
    let address = address_in(&next_line(&mut lines, "(gRPC)").await);
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.connect().await.unwrap();
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    child.kill().unwrap();
    child.wait().unwrap();
}

pub(crate) async fn schema(server: &Server) -> pb::Schema {
    let request = pb::GetModelSchemaRequest { model: Some(selector()) };
    server.scoring().get_model_schema(request).await.unwrap().into_inner().schema.unwrap()
}

/// Version and bits of the only prediction.
pub(crate) fn answer(response: &pb::ScoreResponse) -> (i64, u64) {
    let predictions = &response.result.as_ref().unwrap().predictions;
    assert_eq!(predictions.len(), 1);
    (response.served_by[0].version, predictions[0].score.to_bits())
}

#[tokio::test]
async fn every_proof_row_scores_to_the_bits_of_training() {
    let server = Server::start().await;
    let (schema, golden) = (schema(&server).await, golden(&server.registry, 1));
    for proof in &golden {
        for row in [named(&schema, &proof.row), packed(&schema, &proof.row)] {
            let response = server.scoring().score(request(row)).await.unwrap().into_inner();
            assert_eq!(answer(&response), (1, proof.bits));
        }
    }
    let batch = pb::ScoreBatchRequest {
        models: vec![selector()],
        rows: golden.iter().map(|proof| named(&schema, &proof.row)).collect(),
        ..Default::default()
    };
    let response = server.scoring().score_batch(batch).await.unwrap().into_inner();
    assert_eq!(response.results.len(), golden.len());
    for (proof, result) in golden.iter().zip(response.results) {
        let Some(pb::row_result::Result::Row(row)) = result.result else { panic!("no row") };
        assert_eq!(row.predictions[0].score.to_bits(), proof.bits);
    }
    let (status, said) = server.stop().await;
    assert_eq!(status.code(), Some(0), "{said:#?}");
}

/// A promotion by another process while requests flow: each answer is whole, old or new, none fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_swaps_the_model_under_load() {
    let server = Server::start().await;
    let schema = schema(&server).await;
    let (old, new) = (golden(&server.registry, 1), golden(&server.registry, 2));
    // the second version judges the same test rows
    assert!(old.iter().zip(&new).all(|(old, new)| old.row == new.row));
    assert!(old.iter().zip(&new).any(|(old, new)| old.bits != new.bits));
    let rows: Vec<(pb::FeatureRow, [u64; 2])> = old
        .iter()
        .zip(&new)
        .map(|(old, new)| (named(&schema, &old.row), [old.bits, new.bits]))
        .collect();
    let (answered, mut n_answered) = watch::channel(0_usize);
    let mut client = server.scoring();
    let load = tokio::spawn(async move {
        let mut after_swap = 0;
        for (row, bits) in rows.iter().cycle() {
            let response = client.score(request(row.clone())).await.unwrap().into_inner();
            let (version, score) = answer(&response);
            assert!(version == 2 || after_swap == 0, "back to version {version}");
            assert_eq!(score, bits[usize::try_from(version).unwrap() - 1], "version {version}");
            after_swap += usize::from(version == 2);
            answered.send_modify(|n| *n += 1);
            if after_swap == rows.len() {
                return;
            }
        }
    });
    n_answered.wait_for(|n| *n > 20).await.unwrap();
    let registry = server.registry.clone();
    tokio::task::spawn_blocking(move || {
        let mut promote = segue();
        promote
            .args(["promote", "churn", "2", "--override-gates", "--registry"])
            .arg(registry)
            .done();
    })
    .await
    .unwrap();
    tokio::time::timeout(PATIENCE, load).await.expect("version 2 is never served").unwrap();
    let (status, said) = server.stop().await;
    assert_eq!(status.code(), Some(0), "{said:#?}");
    assert!(said.iter().any(|line| line.contains("stopped")), "{said:#?}");
}

/// Requests that were taken before the signal are answered, and the process ends within its bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_signal_drains() {
    let server = Server::start().await;
    let (schema, golden) = (schema(&server).await, golden(&server.registry, 1));
    let batch = pb::ScoreBatchRequest {
        models: vec![selector()],
        rows: golden.iter().cycle().take(1_000).map(|proof| packed(&schema, &proof.row)).collect(),
        ..Default::default()
    };
    let mut client = server.scoring();
    let (sent, is_sent) = tokio::sync::oneshot::channel();
    let asked = tokio::spawn(async move {
        let first = client.score(request(batch.rows[0].clone())).await;
        sent.send(first.is_ok()).unwrap();
        client.score_batch(batch).await
    });
    assert!(is_sent.await.unwrap());
    let (status, said) = server.stop().await;
    assert_eq!(status.code(), Some(0), "{said:#?}");
    match asked.await.unwrap() {
        Ok(response) => assert_eq!(response.into_inner().results.len(), 1_000),
        // a request that came after the doors closed is refused, never cut off half-way
        Err(status) => assert_eq!(status.code(), tonic::Code::Unavailable, "{status}"),
    }
}
