//! What probes ask a server, and how it writes its log.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::small::small;
use crate::support::{Run, segue};

#[test]
fn probes_get_exit_codes_and_machines_get_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let registry = small().copy_of_registry(folder.path());
    let mut serve = segue();
    serve.args(["serve", "churn", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    serve.args(["--log-format", "json", "--pre-drain", "0", "--registry"]);
    serve.arg(&registry).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = serve.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("(gRPC)")).expect("where it listens");
    let address = line.split(" on ").nth(1).unwrap().split(' ').next().unwrap().to_owned();

    let asked = |more: &[&str]| segue().args(["health", "--grpc", &address]).args(more).ran();
    let ready = asked(&["--service", "model/churn", "--wait", "60"]);
    assert_eq!((ready.code, ready.stdout.trim()), (Some(0), "serving"), "{}", ready.stderr);
    assert_eq!(asked(&["--quiet"]).code, Some(0));
    let nobody = asked(&["--service", "model/nobody"]);
    assert_eq!(nobody.code, Some(1), "{}", nobody.stderr);

    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success());
    let (logged, said): (Vec<&String>, Vec<&String>) =
        rest.iter().partition(|line| line.starts_with('{'));
    assert_eq!(said, ["stopped"]);
    assert!(!logged.is_empty());
    for line in logged {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["target"].is_string(), "{line}");
        assert!(line["fields"]["message"].is_string(), "{line}");
    }
    let gone = asked(&[]);
    assert_eq!(gone.code, Some(1), "{}", gone.stderr);
}
