//! What probes ask a server, and how it writes its log.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::small::small;
use crate::support::{Run, segue};

/// A server of its own with more arguments: the process, what it says, and where it answers gRPC.
fn serving(
    registry: &Path,
    more: &[&OsStr],
) -> (Child, impl Iterator<Item = String> + use<>, String) {
    let mut serve = segue();
    serve.args(["serve", "churn", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    serve.args(["--log-format", "json", "--pre-drain", "0", "--registry"]);
    serve.arg(registry).args(more).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = serve.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("(gRPC)")).expect("where it listens");
    let address = line.split(" on ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    (child, lines, address)
}

/// A probe in a container gets its flags from the environment.
#[test]
fn a_probe_is_told_of_tls_by_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let registry = small().copy_of_registry(&folder.path().join("models"));
    let own = rcgen::generate_simple_self_signed(["scores.test".to_owned()]).unwrap();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    fs::write(&certificate, own.cert.pem()).unwrap();
    fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let tls =
        ["--tls-cert".as_ref(), certificate.as_os_str(), "--tls-key".as_ref(), key.as_os_str()];
    let (mut child, _lines, address) = serving(&registry, &tls);

    let probe = |environment: &[(&str, &OsStr)]| {
        let mut health = segue();
        health.args(["health", "--wait", "60", "--timeout", "60"]);
        health.env("SEGUE_HEALTH_GRPC", format!("https://{address}"));
        health.envs(environment.iter().copied()).ran()
    };
    let told: [(&str, &OsStr); 2] = [
        ("SEGUE_HEALTH_TLS_CA", certificate.as_os_str()),
        ("SEGUE_HEALTH_TLS_SERVER_NAME", "scores.test".as_ref()),
    ];
    let ready = probe(&told);
    assert_eq!((ready.code, ready.stdout.trim()), (Some(0), "serving"), "{}", ready.stderr);
    // each of the two is needed: whom to believe, and the name on the certificate
    let half = segue()
        .args(["health"])
        .env("SEGUE_HEALTH_GRPC", format!("https://{address}"))
        .env(told[0].0, told[0].1)
        .ran();
    assert_eq!(half.code, Some(1), "{}", half.stdout);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn probes_get_exit_codes_and_machines_get_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let registry = small().copy_of_registry(folder.path());
    let (mut child, lines, address) = serving(&registry, &[]);

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
