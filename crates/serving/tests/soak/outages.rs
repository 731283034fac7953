//! What is around the server goes away, and comes back.

use crate::harness::*;
use crate::times;
use crate::traffic::Callers;

/// A registry that is gone stops nobody; when it is back, so are promotions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scores_go_on_while_the_registry_is_gone() {
    let server = TestServer::start().await;
    let callers = Callers::new(&server, &[(1, 0.0), (2, 0.5)]);
    let calling = [
        tokio::spawn(callers.clone().unary()),
        tokio::spawn(callers.clone().batches()),
        tokio::spawn(callers.clone().stream()),
    ];
    let root = server.folder.path().to_owned();
    let away = root.with_extension("away");
    for outage in 0..times(3, 100) {
        std::fs::rename(&root, &away).unwrap();
        // Something that is no folder stands where it was.
        std::fs::write(&root, "gone").unwrap();
        until_stale(&server, |stale| stale > 0.0).await;
        let answer = server.score(request(&["churn"], good_row())).await.unwrap();
        assert_eq!(answer.served_by[0].version, 1 + outage as i64 % 2);
        assert!(server.get("/readyz").await.0.contains("200"));
        std::fs::remove_file(&root).unwrap();
        std::fs::rename(&away, &root).unwrap();
        until_stale(&server, |stale| stale == 0.0).await;
        let promotion = promotion("churn", 1 + (outage as i64 + 1) % 2);
        server.models().promote_model_version(promotion).await.unwrap();
    }
    callers.stop();
    for caller in calling {
        assert!(!caller.await.unwrap().is_empty());
    }
}

async fn until_stale(server: &TestServer, wanted: impl Fn(f64) -> bool) {
    let is_so = async {
        loop {
            let page = server.get("/metrics").await.1;
            let line =
                page.lines().find_map(|line| line.strip_prefix("segue_registry_stale_seconds "));
            if wanted(line.unwrap().parse().unwrap()) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, is_so).await.expect("the metric tells");
}
