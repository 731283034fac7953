//! Promotions and rollbacks under unary, batch and stream load.

use segue_api::v1 as pb;

use crate::harness::*;
use crate::times;
use crate::traffic::{Callers, quantile};

/// Half of the swaps are promotions, half rollbacks. Nobody is refused, and every score is that of
/// the version that the answer names, bit by bit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_swaps_fail_nobody() {
    let server = TestServer::start().await;
    let callers = Callers::new(&server, &[(1, 0.0), (2, 0.5)]);
    let mut calling = Vec::new();
    for _ in 0..2 {
        calling.push(tokio::spawn(callers.clone().unary()));
    }
    calling.push(tokio::spawn(callers.clone().batches()));
    calling.push(tokio::spawn(callers.clone().stream()));
    let n_swaps = times(1000, 10_000);
    let mut models = server.models();
    for swap in 0..n_swaps {
        let version = if swap % 2 == 0 {
            // The tiny models have no holdout to be judged on.
            let promotion = promotion("churn", 2);
            models.promote_model_version(promotion).await.unwrap();
            2
        } else {
            let model = "churn".to_owned();
            let back = pb::RollbackModelRequest { model, ..Default::default() };
            models.rollback_model(back).await.unwrap();
            1
        };
        // In service when it is answered.
        let answer = server.score(request(&["churn"], good_row())).await.unwrap();
        assert_eq!(answer.served_by[0].version, version);
    }
    callers.stop();
    for (who, caller) in ["unary", "unary", "batch of 100", "stream"].into_iter().zip(calling) {
        let mut seen = caller.await.unwrap();
        assert!(!seen.is_empty());
        let (median, p99) = (quantile(&mut seen, 0.5), quantile(&mut seen, 0.99));
        eprintln!("{n_swaps} swaps, {who}: {} answers, p50 {median:?}, p99 {p99:?}", seen.len());
    }
    let report = server.registry.verify(Some("churn")).unwrap();
    assert!(report.is_clean(), "{report:?}");
}
