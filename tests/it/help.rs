//! What the command line says about itself.

use crate::support::{Run, segue};

const COMMANDS: [&str; 22] = [
    "init",
    "simulate",
    "features",
    "train",
    "tune",
    "import",
    "export",
    "evaluate",
    "report",
    "models",
    "promote",
    "rollback",
    "alias",
    "traffic",
    "archive",
    "score",
    "segments",
    "serve",
    "predictions",
    "access",
    "health",
    "demo",
];

const MODELS_COMMANDS: [&str; 5] = ["list", "show", "diff", "log", "verify"];

#[test]
fn every_command_explains_itself() {
    let overview = segue().arg("--help").done().stdout;
    let listed: Vec<&str> = overview
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let expected: Vec<&str> = COMMANDS.into_iter().chain(["help"]).collect();
    assert_eq!(listed, expected);
    for command in COMMANDS {
        explained(&[command]);
    }
    for command in MODELS_COMMANDS {
        explained(&["models", command]);
    }
    explained(&["segments", "describe"]);
    explained(&["predictions", "join"]);
    // a script must not have to find them in the source
    for code in ["0   done", "1   failed", "2   wrong", "65  the data", "75  someone else"] {
        assert!(overview.contains(&format!("  {code}")), "{overview}");
    }
}

/// Its help has a sentence on top, and one for each argument and option.
fn explained(command: &[&str]) {
    let help = segue().args(command).arg("--help").done().stdout;
    let first = help.lines().next().unwrap();
    assert!(first.len() > 10 && !first.starts_with("Usage"), "{command:?}: {first:?}");
    let lines: Vec<&str> = help.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        if !(trimmed.starts_with("--") || trimmed.starts_with("-o,") || trimmed.starts_with("-q,"))
        {
            continue;
        }
        // a sentence follows on the line, after two blanks, or on the next line, further in
        let beside = trimmed.contains("  ");
        let below = lines.get(at + 1).is_some_and(|next| next.starts_with("          "));
        assert!(beside || below, "{command:?}: nothing said about {trimmed:?}");
    }
}

#[test]
fn wrong_arguments_exit_with_2_and_name_the_way_out() {
    let cases: [(&[&str], &str); 11] = [
        (&["trian", "job.toml"], "train"),
        (&["train"], "<JOB>"),
        (&["train", "job.toml", "--thread", "2"], "--threads"),
        (&["promote", "churn", "newest"], "<VERSION>"),
        (&["score", "churn"], "--features"),
        (&["score", "churn", "--features", "f.csv", "--job", "j.toml"], "--job"),
        (&["score", "churn", "--features", "f.csv", "--at", "2026-01-01T00:00:00Z"], "--at"),
        (&["score", "churn", "--job", "j.toml", "--keep", "user"], "--keep"),
        (&["score", "churn", "--features", "f.csv", "--memory", "1GiB"], "--memory"),
        (&["score", "churn", "--job", "j.toml", "--memory", "1 gig"], "512MiB"),
        (&["models"], "verify"),
    ];
    for (args, expected) in cases {
        let ran = segue().args(args).ran();
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn the_version_is_that_of_the_workspace() {
    let said = segue().arg("--version").done().stdout;
    assert_eq!(said.trim(), concat!("segue ", env!("CARGO_PKG_VERSION")));
}

/// `segue models show | head -1` is no reason to panic.
#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut child = segue()
        .args(["train", "--explain"])
        .arg(crate::support::workspace().join("jobs/simulated/churn.toml"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
}
