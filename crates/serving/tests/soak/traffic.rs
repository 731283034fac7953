//! Callers that never stop, and check every answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use segue_api::v1 as pb;
use segue_api::v1::scoring_service_client::ScoringServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::harness::*;

/// Bits of the score of [`good_row`] by version of `churn`.
pub(crate) type Expected = Arc<BTreeMap<i64, u64>>;

/// Shared by all callers of a test.
#[derive(Clone)]
pub(crate) struct Callers {
    server: std::net::SocketAddr,
    expected: Expected,
    done: Arc<AtomicBool>,
    /// Callers that have had an answer.
    n_answered: Arc<AtomicUsize>,
}

/// What a caller saw: how long each answer took.
pub(crate) type Seen = Vec<Duration>;

impl Callers {
    pub(crate) fn new(server: &TestServer, shifts: &[(i64, f64)]) -> Self {
        let row = [40.0, 1.0, 1.0];
        let bits = |shift| offline(&churn_model(shift), &row).to_bits();
        let expected = shifts.iter().map(|&(version, shift)| (version, bits(shift))).collect();
        let done = Arc::new(AtomicBool::new(false));
        let n_answered = Arc::default();
        Self { server: server.grpc, expected: Arc::new(expected), done, n_answered }
    }

    /// Waits until so many callers have had an answer.
    pub(crate) async fn until_answered(&self, n_callers: usize) {
        let answered = async {
            while self.n_answered.load(Ordering::Relaxed) < n_callers {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("callers are answered");
    }

    /// An answer that took so long.
    fn saw(&self, seen: &mut Seen, took: Duration) {
        if seen.is_empty() {
            self.n_answered.fetch_add(1, Ordering::Relaxed);
        }
        seen.push(took);
    }

    pub(crate) fn stop(&self) {
        self.done.store(true, Ordering::Relaxed);
    }

    /// A connection of its own.
    async fn connect(&self) -> ScoringServiceClient<Channel> {
        let url = format!("http://{}", self.server);
        ScoringServiceClient::connect(url).await.unwrap()
    }

    /// The score is the one that the version gives, and no connection goes back to an older state.
    fn check(&self, row: &pb::ScoredRow, served_by: &[pb::ServedBy], generation: &mut u64) {
        let prediction = &row.predictions[0];
        let served_by = &served_by[prediction.served_by_index as usize];
        let expected = self.expected[&served_by.version];
        assert_eq!(prediction.score.to_bits(), expected, "of version {}", served_by.version);
        assert!(served_by.generation >= *generation, "generations go forward");
        *generation = served_by.generation;
    }

    /// One row at a time.
    pub(crate) async fn unary(self) -> Seen {
        let mut client = self.connect().await;
        let (mut seen, mut generation) = (Seen::new(), 0);
        while !self.done.load(Ordering::Relaxed) {
            let started = Instant::now();
            let answer = client.score(request(&["churn"], good_row())).await.unwrap().into_inner();
            self.saw(&mut seen, started.elapsed());
            self.check(&answer.result.unwrap(), &answer.served_by, &mut generation);
        }
        seen
    }

    /// Rows enough for the pool; all of a batch by one version.
    pub(crate) async fn batches(self) -> Seen {
        let mut client = self.connect().await;
        let (mut seen, mut generation) = (Seen::new(), 0);
        while !self.done.load(Ordering::Relaxed) {
            let batch = pb::ScoreBatchRequest {
                models: vec![selector("churn")],
                rows: vec![good_row(); 100],
                ..Default::default()
            };
            let started = Instant::now();
            let answer = client.score_batch(batch).await.unwrap().into_inner();
            self.saw(&mut seen, started.elapsed());
            assert_eq!(answer.served_by.len(), 1);
            assert_eq!(answer.results.len(), 100);
            for result in answer.results {
                let Some(pb::row_result::Result::Row(row)) = result.result else { panic!() };
                self.check(&row, &answer.served_by, &mut generation);
            }
        }
        seen
    }

    /// One stream from the first to the last.
    pub(crate) async fn stream(self) -> Seen {
        let (requests, stream) = mpsc::channel(1);
        let mut client = self.connect().await;
        let mut answers =
            client.score_stream(ReceiverStream::new(stream)).await.unwrap().into_inner();
        let (mut seen, mut generation, mut sequence) = (Seen::new(), 0, 0);
        while !self.done.load(Ordering::Relaxed) {
            sequence += 1;
            let request = Some(request(&["churn"], good_row()));
            let started = Instant::now();
            requests.send(pb::ScoreStreamRequest { sequence, request }).await.unwrap();
            let answer = answers.message().await.unwrap().unwrap();
            self.saw(&mut seen, started.elapsed());
            assert_eq!(answer.sequence, sequence);
            let Some(pb::score_stream_response::Result::Response(answer)) = answer.result else {
                panic!("{answer:?}");
            };
            self.check(&answer.result.unwrap(), &answer.served_by, &mut generation);
        }
        seen
    }
}

/// Smallest time that so large a share of the answers took at most.
pub(crate) fn quantile(seen: &mut [Duration], share: f64) -> Duration {
    seen.sort_unstable();
    let last = seen.len().saturating_sub(1);
    seen.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}
