//! Candidates that are broken in every way there is, beside a champion that answers throughout.

use std::fmt::{Debug, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use segue_api::v1 as pb;
use segue_registry::Registry;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::harness::*;

const MODEL: &str = "fraud";

/// Version 1 under `champion`, version 2 under `next`: good, both of them.
fn two_versions() -> (tempfile::TempDir, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    for shift in [0.0, 0.5] {
        let mut draft = churn_draft(shift);
        draft.model = MODEL.to_owned();
        publish(&registry, &draft);
    }
    promote(&registry, MODEL, 1);
    registry.set_alias(MODEL, "next", 2, "ada").unwrap();
    (folder, registry)
}

fn change(path: &Path, change: impl Fn(&mut [u8])) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

fn cut(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let found = bytes.windows(from.len()).position(|window| window == from);
    let at = found.expect("the bytes to replace");
    bytes[at..at + to.len()].copy_from_slice(to);
}

/// A leaf that is no number.
fn with_nan(model: &mut [u8]) {
    replace(model, &0.7_f64.to_le_bytes(), &f64::NAN.to_le_bytes());
    sealed(model);
}

/// The root is its own child.
fn with_cycle(model: &mut [u8]) {
    const LEAF: u32 = 1 << 31;
    let node = |right: u32| {
        [&30.0_f64.to_le_bytes()[..], &LEAF.to_le_bytes(), &right.to_le_bytes()].concat()
    };
    replace(model, &node(1), &node(0));
    sealed(model);
}

/// Puts the checksum of the model's file in order.
fn sealed(model: &mut [u8]) {
    let body = model.len() - 32;
    let checksum = Sha256::digest(&model[..body]);
    model[body..].copy_from_slice(&checksum);
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Content<'a> {
    digest: String,
    files: Vec<File>,
    #[serde(borrow)]
    summary: &'a RawValue,
}

#[derive(Deserialize)]
struct File {
    path: String,
    size: u64,
    sha256: String,
}

/// Puts every checksum of the manifest in order, so that only the content of `model.bin` is wrong.
fn forge_manifest(folder: &Path) {
    let model = std::fs::read(folder.join("model.bin")).unwrap();
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let envelope: Envelope<'_> = serde_json::from_str(&manifest).unwrap();
    let mut content: Content<'_> = serde_json::from_str(envelope.content.get()).unwrap();
    content.files.sort_by(|a, b| a.path.cmp(&b.path));
    let forged = hex::encode(Sha256::digest(&model));
    let mut text = envelope.content.get().to_owned();
    let mut digest = Sha256::new();
    let mut put = |part: &str| {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    };
    put("segue version 1");
    for file in &mut content.files {
        if file.path == "model.bin" {
            assert_eq!(file.size, model.len() as u64);
            text = text.replace(&file.sha256, &forged);
            file.sha256.clone_from(&forged);
        }
        put(&file.path);
        put(&file.size.to_string());
        put(&file.sha256);
    }
    put(content.summary.get());
    let text = text.replace(&content.digest, &hex::encode(digest.finalize()));
    let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
    let manifest = format!("{{\"sha256\": \"{sha256}\",\n\"content\": {text}}}\n");
    std::fs::write(folder.join("manifest.json"), manifest).unwrap();
}

type Damage = fn(&Path);

/// What is done to version 2, what a promotion of it says, and a word of why it is not loaded.
const DAMAGES: [(&str, Damage, Code, &str, &str); 9] = [
    (
        "model flipped",
        |at| change(&at.join("model.bin"), flip),
        Code::DataLoss,
        "DIGEST_MISMATCH",
        "model.bin",
    ),
    ("model cut", |at| cut(&at.join("model.bin")), Code::DataLoss, "DIGEST_MISMATCH", "model.bin"),
    (
        "proof flipped",
        |at| change(&at.join("golden.jsonl"), flip),
        Code::DataLoss,
        "DIGEST_MISMATCH",
        "golden.jsonl",
    ),
    (
        "model absent",
        |at| std::fs::remove_file(at.join("model.bin")).unwrap(),
        Code::DataLoss,
        "FILE_MISSING",
        "model.bin",
    ),
    (
        "manifest absent",
        |at| std::fs::remove_file(at.join("manifest.json")).unwrap(),
        Code::NotFound,
        "VERSION_NOT_FOUND",
        "no version 2",
    ),
    (
        "manifest flipped",
        |at| change(&at.join("manifest.json"), flip),
        Code::NotFound,
        "VERSION_NOT_FOUND",
        "no version 2",
    ),
    (
        "manifest cut",
        |at| cut(&at.join("manifest.json")),
        Code::NotFound,
        "VERSION_NOT_FOUND",
        "no version 2",
    ),
    (
        "a leaf that is NaN, sealed",
        |at| {
            change(&at.join("model.bin"), with_nan);
            forge_manifest(at);
        },
        Code::DataLoss,
        "CORRUPT",
        "model.bin",
    ),
    (
        "a tree with a cycle, sealed",
        |at| {
            change(&at.join("model.bin"), with_cycle);
            forge_manifest(at);
        },
        Code::DataLoss,
        "CORRUPT",
        "model.bin",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_candidate_is_refused_and_told_and_no_score_fails() {
    let log = Log::everything();
    for (what, damage, code, reason, why) in DAMAGES {
        let (folder, registry) = two_versions();
        damage(&folder.path().join(MODEL).join("versions/2"));
        log.clear();
        let server = Arc::new(TestServer::over(folder, registry, quick()).await);
        server.wait_for_health(&format!("model/{MODEL}"), ServingStatus::Serving).await;
        let scoring = Scoring::start(&server, 2);

        let promotion = promotion(MODEL, 2);
        for _ in 0..3 {
            let refused = server.models().promote_model_version(promotion.clone()).await;
            let status = refused.expect_err(what);
            let details = status.get_error_details();
            let told = (status.code(), details.error_info().unwrap().reason.as_str());
            assert_eq!(told, (code, reason), "{what}: {status:?}");
            scoring.goes_on().await;
        }

        // The alias `next` asks for it: status, metrics and log say that it cannot be had.
        use pb::ModelVersionState::{Failed, Serving};
        let settled = async {
            loop {
                let model = until_load_error(&server, MODEL).await;
                let states: Vec<_> =
                    model.loaded.iter().map(|one| (one.version, one.state())).collect();
                // In between it is tried again, and loading.
                if states == [(1, Serving), (2, Failed)] {
                    return model;
                }
            }
        };
        let model = tokio::time::timeout(PATIENCE, settled).await.expect(what);
        assert!(model.load_error.contains(why), "{what}: {}", model.load_error);
        assert!(model.loaded[1].state_reason.contains(why), "{what}: {model:?}");
        let (_, page) = server.get("/metrics").await;
        let failed =
            format!("segue_model_load_seconds_count{{model=\"{MODEL}\",result=\"failed\"}}");
        let none = format!("{failed} 0\n");
        assert!(page.contains(&failed) && !page.contains(&none), "{what}: {page}");
        let (line, page) = server.get("/readyz").await;
        assert!(line.contains("200") && page.contains(why), "{what}: {line} {page}");
        let line = log.find(&["version cannot be loaded", MODEL, "version=2", why]);
        assert!(line.is_some(), "{what}: {log:?}");

        scoring.end().await;
        let state = server.registry.model(MODEL).unwrap();
        assert_eq!(state.aliases["champion"], 1, "{what}");
    }
}

/// Scores without a pause; every answer must be the champion's.
struct Scoring {
    done: Arc<AtomicBool>,
    n_answers: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Scoring {
    fn start(server: &Arc<TestServer>, n_clients: usize) -> Self {
        let (done, n_answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let expected = offline(&churn_model(0.0), &[40.0, 1.0, 1.0]).to_bits();
        let client = |_| {
            let (server, done) = (Arc::clone(server), Arc::clone(&done));
            let n_answers = Arc::clone(&n_answers);
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let answer = server.score(request(&[MODEL], good_row())).await.unwrap();
                    assert_eq!(answer.served_by[0].version, 1);
                    let score = answer.result.unwrap().predictions[0].score;
                    assert_eq!(score.to_bits(), expected);
                    n_answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let clients = (0..n_clients).map(client).collect();
        Self { done, n_answers, clients }
    }

    /// Waits until more has been answered.
    async fn goes_on(&self) {
        let before = self.n_answers.load(Ordering::Relaxed);
        let more = async {
            while self.n_answers.load(Ordering::Relaxed) <= before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, more).await.expect("scores are answered");
    }

    async fn end(self) {
        self.goes_on().await;
        self.done.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
    }
}

/// Everything that is logged in this process, by whatever test.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn everything() -> Self {
        let log = Self::default();
        tracing::subscriber::set_global_default(log.clone()).expect("no other test reads the log");
        log
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self) {
        self.lines().clear();
    }

    fn find(&self, words: &[&str]) -> Option<String> {
        let has_all = |line: &&String| words.iter().all(|word| line.contains(word));
        self.lines().iter().find(has_all).cloned()
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("segue") && *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.lines().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}
