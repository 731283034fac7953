//! Lines of the log about single requests.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use segue_api::v1 as pb;
use segue_serving::ServeOptions;
use serde_json::Value;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::*;

/// What this thread logs, as JSON.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    /// The lines about requests whose method is `method`.
    fn about(&self, method: &str) -> Vec<Value> {
        let bytes = self.0.lock().unwrap();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| serde_json::from_slice::<Value>(line).expect("a JSON line"));
        lines.filter(|line| line["fields"]["method"] == method).collect()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Logs of this thread, on which the server of the test runs too.
fn logging(filter: &str) -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(lines.clone())
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

fn about_ada() -> pb::ScoreRequest {
    let row = pb::FeatureRow { subject_id: "ada".into(), ..good_row() };
    request(&["churn"], row)
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

const SCORE: &str = "segue.v1.ScoringService/Score";

#[tokio::test]
async fn slow_requests_are_told_with_their_versions_and_no_user() {
    let (lines, _guard) = logging("warn");
    let options = ServeOptions { slow_request: Some(Duration::ZERO), ..quick() };
    let server = TestServer::start_with(options).await;
    let mut asked = tonic::Request::new(about_ada());
    asked.get_mut().request_id = "order-17".to_owned();
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-00");
    asked.metadata_mut().insert("traceparent", parent.parse().unwrap());
    server.scoring().score(asked).await.unwrap();
    let models = vec![selector("churn")];
    let rows = vec![good_row(); 40];
    let batch = pb::ScoreBatchRequest { models, rows, ..Default::default() };
    server.scoring().score_batch(batch).await.unwrap();
    let found = lines.about(SCORE);
    let [line] = found.as_slice() else { panic!("{}", lines.text()) };
    assert_eq!((&line["level"], &line["target"]), (&"WARN".into(), &"segue::request".into()));
    let fields = &line["fields"];
    assert_eq!(fields["message"], "slow request");
    assert_eq!(fields["code"], "OK");
    assert_eq!(fields["served_by"], "churn/1 champion");
    assert_eq!(fields["rows"], 1);
    assert_eq!((&fields["trace_id"], &fields["request_id"]), (&TRACE.into(), &"order-17".into()));
    assert!(fields["took_ms"].as_f64().unwrap() > 0.0);
    let found = lines.about("segue.v1.ScoringService/ScoreBatch");
    let [line] = found.as_slice() else { panic!("{}", lines.text()) };
    assert_eq!(
        (&line["fields"]["rows"], &line["fields"]["served_by"]),
        (&40.into(), &"churn/1 champion".into())
    );
    let fields = &line["fields"];
    assert!(fields["trace_id"].is_null(), "it is of no trace");
    // The id that its answer had.
    assert!(!fields["request_id"].as_str().unwrap().is_empty());
    assert!(!lines.text().contains("ada"), "{}", lines.text());
}

/// What a stranger calls a trace is not written down as one.
#[tokio::test]
async fn only_traces_and_short_ids_are_told() {
    let (lines, _guard) = logging("warn,segue::request=debug");
    let server = TestServer::start().await;
    for parent in ["00-ada-00f067aa0ba902b7-00", "ada", &format!("00-{}-x-00", "ada".repeat(11))] {
        let mut asked = tonic::Request::new(about_ada());
        asked.get_mut().request_id = "é".repeat(500);
        asked.metadata_mut().insert("traceparent", parent.parse().unwrap());
        server.scoring().score(asked).await.unwrap();
    }
    let found = lines.about(SCORE);
    assert_eq!(found.len(), 3);
    for line in found {
        assert!(line["fields"]["trace_id"].is_null());
        assert_eq!(line["fields"]["request_id"], "é".repeat(64));
    }
}

#[tokio::test]
async fn every_request_is_told_at_debug_and_none_above() {
    let (lines, guard) = logging("warn,segue::request=debug");
    let server = TestServer::start().await;
    server.score(about_ada()).await.unwrap();
    server.score(request(&["nobody"], good_row())).await.unwrap_err();
    let found = lines.about(SCORE);
    let codes: Vec<&Value> = found.iter().map(|line| &line["fields"]["code"]).collect();
    assert_eq!(codes, ["OK", "NOT_FOUND"], "{}", lines.text());
    assert!(found.iter().all(|line| line["level"] == "DEBUG"));
    drop(guard);
    let (lines, _guard) = logging("info");
    server.score(about_ada()).await.unwrap();
    assert!(lines.about(SCORE).is_empty(), "{}", lines.text());
}
