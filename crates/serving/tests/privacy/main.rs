//! What logs and metrics must never have: who a user is, and what is known of them. A process of its
//! own, because it reads all that the process logs.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../server/harness.rs"]
#[expect(dead_code, reason = "the tests of the server use the rest")]
mod harness;
#[path = "../server/tensors.rs"]
#[expect(dead_code, reason = "the tests of the server use the rest")]
mod tensors;

use std::io::Write;
use std::sync::{Arc, Mutex};

use segue_api::v1 as pb;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::harness::*;
use crate::tensors::*;

/// Stands for whom nobody may read of.
const USER: &str = "marked-user-4711";
/// Stands for what nobody may read of them.
const VALUE: &str = "marked-value-0815";

/// Everything that this process logs, more of it than by default.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn marked_row() -> pb::FeatureRow {
    let row = named([("age", number(40.0)), ("plan", category(VALUE)), ("visits", number(1.0))]);
    pb::FeatureRow { subject_id: USER.to_owned(), routing_key: USER.to_owned(), ..row }
}

#[tokio::test]
async fn logs_and_metrics_have_no_user_and_no_value() {
    let written = Written::default();
    let to = written.clone();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("info,segue_serving=trace,segue_registry=trace"))
        .with_ansi(false)
        .with_writer(move || to.clone())
        .init();
    let server = TestServer::start().await;

    let mut asked = request(&["churn"], marked_row());
    server.score(asked.clone()).await.unwrap();
    asked.options = Some(pb::ScoreOptions { strict: true, ..Default::default() });
    let status = server.score(asked).await.unwrap_err();
    assert!(status.message().contains(VALUE), "an answer may say what is wrong: {status:?}");
    let no_number = pb::FeatureRow {
        subject_id: USER.to_owned(),
        ..named([("age", category(VALUE)), ("plan", category("pro")), ("visits", number(1.0))])
    };
    server.score(request(&["churn"], no_number.clone())).await.unwrap_err();
    for allow_partial in [true, false] {
        let batch = pb::ScoreBatchRequest {
            models: vec![selector("churn")],
            rows: vec![marked_row(), no_number.clone()],
            allow_partial,
            ..Default::default()
        };
        let answer = server.scoring().score_batch(batch).await;
        assert_eq!(answer.is_ok(), allow_partial);
    }
    let events = pb::EventHistory {
        events: vec![pb::Event { name: VALUE.to_owned(), ..Default::default() }],
        ..Default::default()
    };
    let row = pb::FeatureRow {
        features: Some(pb::feature_row::Features::Events(events)),
        subject_id: USER.to_owned(),
        ..Default::default()
    };
    // Good or not, as the checks of events find it.
    drop(server.score(request(&["visits"], row)).await);
    let body = json!({
        "models": [{"model": "churn"}],
        "options": {"strict": true},
        "row": {"subjectId": USER, "named": {"values": {
            "age": {"number": 40}, "plan": {"category": VALUE}, "visits": {"integer": "1"},
        }}},
    });
    let answer = server.http("POST", "/v1/score", "", body.to_string().as_bytes()).await;
    assert_eq!(answer.code, 400, "{answer:?}");
    let broken = format!("{{\"{VALUE}\": \"{USER}\"");
    assert_eq!(server.http("POST", "/v1/score", "", broken.as_bytes()).await.code, 400);
    let tensors = [
        Tensor::fp64("age", &[1], &[40.0]),
        Tensor::bytes("plan", &[1], &[VALUE]),
        Tensor::fp64("visits", &[1], &[1.0]),
    ];
    drop(server.infer(raw(&tensors)).await);
    // So that there is something to read.
    let promotion = promotion("churn", 2);
    server.models().promote_model_version(promotion).await.unwrap();

    let (_, page) = server.get("/metrics").await;
    let logged = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let change = "segue::audit: event=\"change\" method=\"PromoteModelVersion\"";
    assert!(logged.contains(change), "{logged}");
    for (what, text) in [("metrics", &page), ("logs", &logged)] {
        for mark in [USER, VALUE] {
            assert!(!text.contains(mark), "{mark} in the {what}: {text}");
        }
    }
}
