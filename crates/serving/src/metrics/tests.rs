//! The page and its documentation are of the same metrics.

use std::collections::BTreeMap;

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/metrics.md");

/// Name and type of every metric of the document.
fn documented() -> BTreeMap<String, String> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| {
        let mut cells = row.split(" | ");
        let name = cells.next().unwrap().trim_end_matches('`');
        (name.to_owned(), cells.next().unwrap().to_owned())
    });
    cells.collect()
}

/// Names as registered, with their units. The page leaves out what has no series yet, so this reads what
/// the registry says of itself.
fn registered(metrics: &Metrics) -> Vec<String> {
    let text = format!("{:?}", metrics.registry);
    let descriptors = text.split("Descriptor { name: \"").skip(1);
    let name = |text: &str| {
        let name = text.split('"').next().unwrap();
        let unit = text.split("unit: ").nth(1).unwrap();
        let unit = unit.strip_prefix("Some(").map(|unit| unit.split(')').next().unwrap());
        unit.map_or_else(|| name.to_owned(), |unit| format!("{name}_{}", unit.to_lowercase()))
    };
    descriptors.map(name).collect()
}

#[test]
fn every_metric_is_documented_and_nothing_else_is() {
    let metrics = Metrics::new();
    let mut found = registered(&metrics);
    found.sort();
    let mut expected: Vec<String> = documented()
        .into_iter()
        .map(|(name, kind)| match kind.as_str() {
            "counter" => name.strip_suffix("_total").expect("a counter ends in _total").to_owned(),
            "gauge" | "histogram" => {
                assert!(!name.ends_with("_total"), "{name} is no counter");
                name
            }
            other => panic!("{name} is a {other}?"),
        })
        .collect();
    expected.sort();
    assert_eq!(found, expected, "metrics of the server, and metrics of docs/metrics.md");
}

#[test]
fn help_is_a_sentence_without_its_end() {
    let metrics = Metrics::new();
    let text = format!("{:?}", metrics.registry);
    for help in text.split("help: \"").skip(1) {
        let help = help.split('"').next().unwrap();
        // prometheus-client adds the full stop.
        assert!(help.len() > 8 && help.ends_with('.') && !help.ends_with(".."), "{help:?}");
    }
}

/// What the packaging asks Prometheus for.
const ASKERS: [(&str, &str); 2] = [
    ("the dashboard", include_str!("../../../../packaging/grafana/segue.json")),
    ("the alerts", include_str!("../../../../packaging/prometheus/segue.rules.yml")),
];

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_there_are() {
    let documented = documented();
    for (asker, text) in ASKERS {
        let words = text.split(|one: char| !(one.is_ascii_alphanumeric() || one == '_'));
        let prefixes = ["segue_", "grpc_server_", "http_server_"];
        let names = words.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)));
        let mut n_names = 0;
        for name in names {
            let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
                let base = name.strip_suffix(end)?;
                (documented.get(base).map(String::as_str) == Some("histogram")).then_some(base)
            });
            let known = histogram.is_some() || documented.contains_key(name);
            assert!(known, "{asker} asks for {name}, which docs/metrics.md does not have");
            let bare = documented.get(name).map(String::as_str) == Some("histogram");
            assert!(!bare, "{asker} asks for {name} without its buckets, sum or count");
            n_names += 1;
        }
        assert!(n_names > 10, "{asker}: {n_names}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(ASKERS[0].1).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.iter().all(|one| one["type"] == "row" || one["targets"][0]["expr"].is_string()));
}

#[test]
fn what_alerts_wait_for_is_on_the_page_before_it_happens() {
    let metrics = Metrics::new();
    metrics.meet("churn");
    let page = metrics.page().unwrap();
    let mut expected = Vec::new();
    for action in ["canary_stopped", "rolled_back", "state_moved", "failed"] {
        expected.push(format!("segue_guard_actions_total{{model=\"churn\",action=\"{action}\"}}"));
    }
    for result in ["ok", "failed"] {
        for what in ["tls", "access"] {
            expected.push(format!("segue_reloads_total{{what=\"{what}\",result=\"{result}\"}}"));
        }
        let labels = format!("model=\"churn\",result=\"{result}\"");
        expected.push(format!("segue_model_load_seconds_count{{{labels}}}"));
    }
    for (name, reason) in [
        ("segue_log_dropped", "queue_full"),
        ("segue_drift_dropped", "queue_full"),
        ("segue_outcomes_refused", "over_budget"),
        ("segue_spans_dropped", "export_failed"),
    ] {
        expected.push(format!("{name}_total{{reason=\"{reason}\"}}"));
    }
    for series in expected {
        assert!(page.contains(&format!("{series} 0\n")), "{series}: {page}");
    }
}
