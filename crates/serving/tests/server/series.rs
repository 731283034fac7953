//! Series of versions: on the page while they may count, and not for ever.

use std::collections::BTreeSet;

use segue_api::v1 as pb;
use segue_registry::Traffic;

use crate::harness::*;

/// The versions that any series of these metrics is of.
fn versions_on(page: &str) -> BTreeSet<u64> {
    let of_metric = |line: &&str| {
        let names = ["segue_predictions", "segue_score", "segue_shadow", "segue_model_info"];
        names.iter().any(|name| line.starts_with(name))
    };
    let version = |line: &str| {
        let (_, after) = line.split_once("model=\"churn\",version=\"")?;
        Some(after.split('"').next()?.parse().unwrap())
    };
    page.lines().filter(of_metric).filter_map(version).collect()
}

#[tokio::test]
async fn versions_that_were_let_go_leave_the_page() {
    let server = TestServer::start().await;
    const N_VERSIONS: u32 = 12;
    for number in 3..=N_VERSIONS {
        publish(&server.registry, &churn_draft(f64::from(number)));
    }
    for number in 2..=N_VERSIONS {
        server.models().promote_model_version(promotion("churn", number.into())).await.unwrap();
        // The one before is its shadow, and is scored by its number too.
        let traffic = Traffic {
            shadow_versions: vec![u64::from(number) - 1],
            shadow_basis_points: 10_000,
            ..Traffic::default()
        };
        split(&server, traffic).await;
        let mut asked = request(&["churn"], of_subject("ada", good_row()));
        server.score(asked.clone()).await.unwrap();
        asked.models[0].choice = Some(pb::model_selector::Choice::Version(i64::from(number) - 1));
        server.score(asked).await.unwrap();
    }
    let last = u64::from(N_VERSIONS);
    let in_memory = BTreeSet::from([last - 1, last]);
    let shadow = format!("segue_shadow_rows_total{{model=\"churn\",version=\"{}\"}} 1\n", last - 1);
    let settled = async {
        loop {
            let (_, page) = server.get("/metrics").await;
            if versions_on(&page) == in_memory && page.contains(&shadow) {
                return page;
            }
        }
    };
    let page = tokio::time::timeout(PATIENCE, settled).await.expect("the others leave the page");
    // Those that stay have all that they counted.
    for (version, variant) in [(last - 1, "champion"), (last - 1, "pinned"), (last, "champion")] {
        let labels =
            format!("model=\"churn\",version=\"{version}\",variant=\"{variant}\",segment=\"\"");
        assert!(page.contains(&format!("segue_predictions_total{{{labels}}} 1\n")), "{page}");
    }
}
