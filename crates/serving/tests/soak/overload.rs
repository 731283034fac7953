//! Ten times as many callers as there is room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use segue_api::v1 as pb;
use segue_api::v1::scoring_service_client::ScoringServiceClient;
use segue_serving::ServeOptions;
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::*;
use crate::times;
use crate::traffic::quantile;

const ROOM: usize = 4;

/// Who is let in is answered, who is not is told so and when to come again, and the registry's lane
/// stays open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_the_load_is_refused_and_promotions_go_on() {
    let server = TestServer::start_with(ServeOptions { max_in_flight: ROOM, ..quick() }).await;
    let url = format!("http://{}", server.grpc);
    let n_calls = times(4000, 200_000);
    let next = Arc::new(AtomicUsize::new(0));
    let caller = || {
        let (url, next) = (url.clone(), Arc::clone(&next));
        async move {
            let mut client = ScoringServiceClient::connect(url).await.unwrap();
            let (mut admitted, mut refused) = (Vec::new(), Vec::new());
            while next.fetch_add(1, Ordering::Relaxed) < n_calls {
                let batch = pb::ScoreBatchRequest {
                    models: vec![selector("churn")],
                    rows: vec![good_row(); 200],
                    ..Default::default()
                };
                let started = Instant::now();
                match client.score_batch(batch).await {
                    Ok(answer) => {
                        admitted.push(started.elapsed());
                        assert_eq!(answer.into_inner().results.len(), 200);
                    }
                    Err(status) => {
                        refused.push(started.elapsed());
                        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                        let details = status.get_error_details();
                        assert_eq!(details.error_info().unwrap().reason, "OVERLOADED");
                        assert!(details.retry_info().unwrap().retry_delay.is_some());
                    }
                }
            }
            (admitted, refused)
        }
    };
    let callers: Vec<_> = (0..10 * ROOM).map(|_| tokio::spawn(caller())).collect();
    let mut n_promotions = 0;
    while next.load(Ordering::Relaxed) < n_calls {
        n_promotions += 1;
        let promotion = promotion("churn", 1 + n_promotions % 2);
        server.models().promote_model_version(promotion).await.unwrap();
    }
    let (mut admitted, mut refused): (Vec<Duration>, Vec<Duration>) = Default::default();
    for caller in callers {
        let (more_admitted, more_refused) = caller.await.unwrap();
        admitted.extend(more_admitted);
        refused.extend(more_refused);
    }
    assert_eq!(admitted.len() + refused.len(), n_calls);
    assert!(!admitted.is_empty() && !refused.is_empty());
    let page = server.get("/metrics").await.1;
    let shed: f64 = page
        .lines()
        .filter(|line| line.starts_with("segue_requests_shed_total"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum();
    assert_eq!(shed, refused.len() as f64, "every refusal is counted");
    eprintln!(
        "{} admitted, p99 {:?}; {} refused, p99 {:?}; {n_promotions} promotions",
        admitted.len(),
        quantile(&mut admitted, 0.99),
        refused.len(),
        quantile(&mut refused, 0.99),
    );
}
