//! Who may put a version before users, and the file that tells who did.

use segue_api::v1 as pb;
use serde_json::Value;

use crate::serving::Server;
use crate::small::small;
use crate::support::{Run, segue};

fn promotion(actor: &str, override_gates: bool) -> pb::PromoteModelVersionRequest {
    pb::PromoteModelVersionRequest {
        model: "churn".to_owned(),
        version: 2,
        actor: actor.to_owned(),
        override_gates,
        ..Default::default()
    }
}

/// The publisher of a version wrote its gates, and not whether somebody else must approve.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_ask_for_another_approver_and_writes_down_who_changed_what() {
    let folder = tempfile::tempdir().unwrap();
    let registry = small().copy_of_registry(folder.path());
    let trail = folder.path().join("audit.jsonl");
    std::fs::write(&trail, "{\"fields\":{\"event\":\"before\"}}\n").unwrap();
    let mut show = segue();
    let shown = show.args(["models", "show", "churn", "--registry"]).arg(&registry).json();
    let publisher = shown["versions"][1]["created_by"].as_str().unwrap().to_owned();
    let more = ["--audit-log", trail.to_str().unwrap(), "--distinct-approver"];
    let server = Server::of("churn", &more, registry, folder).await;
    let refused = server.models().promote_model_version(promotion(&publisher, false)).await;
    let message = refused.unwrap_err().message().to_owned();
    assert!(message.contains("someone else must approve"), "{message}");
    server.models().promote_model_version(promotion("grace", true)).await.unwrap();
    let lines = std::fs::read_to_string(&trail).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |event: &str| -> Vec<&Value> {
        let fields = lines.iter().map(|line| &line["fields"]);
        fields.filter(|fields| fields["event"] == event).collect()
    };
    assert_eq!(told("before").len(), 1, "a file that is there is gone on with");
    let changes = told("model");
    assert_eq!(changes.len(), 2, "{lines:#?}");
    for (change, actor, result) in
        [(changes[0], publisher.as_str(), "gate_failed"), (changes[1], "grace", "ok")]
    {
        assert_eq!(change["what"], "promotion of version 2 to champion");
        assert_eq!((&change["model"], &change["actor"]), (&"churn".into(), &actor.into()));
        assert_eq!(change["result"], result);
    }
    assert!(changes[0]["error"].as_str().unwrap().contains("approval"), "{lines:#?}");
    let codes: Vec<&Value> = told("change").iter().map(|change| &change["code"]).collect();
    assert_eq!(codes, ["FAILED_PRECONDITION", "OK"]);
    let (status, said) = server.stop().await;
    assert_eq!(status.code(), Some(0), "{said:#?}");
}

#[test]
fn a_file_that_cannot_be_written_stops_the_server_before_it_starts() {
    let mut serve = segue();
    serve.args(["serve", "--audit-log", "/nowhere/audit.jsonl"]);
    let ran = serve.ran();
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("/nowhere/audit.jsonl (--audit-log)"), "{}", ran.stderr);
}
