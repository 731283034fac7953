//! Scores of files: the same whatever the file is, and wherever its rows came from.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use segue_events::{AssembleOptions, LogBuilder, RoleMap};
use segue_features::{FeatureSet, FeatureSpec, Visibility};
use segue_registry::{Draft, Registry};

use crate::small::small;
use crate::support::{Csv, Run, replaced, segue};
use crate::table::{JOB, N_ROWS, rows, table};

fn score(features: &Path, out: &Path) {
    let mut score = segue();
    score.args(["score", "churn@1", "--reasons", "3", "--interactions", "2"]);
    score.args(["--keep", "user,split", "--features"]);
    score.arg(features).arg("--out").arg(out).arg("--registry").arg(small().registry()).done();
}

#[test]
fn csv_and_parquet_score_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    score(&small().features_csv(), &path("from-csv.csv"));
    score(&small().features_parquet(), &path("from-parquet.csv"));
    let from_csv = fs::read(path("from-csv.csv")).unwrap();
    assert!(from_csv == fs::read(path("from-parquet.csv")).unwrap());
    let scores = Csv::read(&path("from-csv.csv"));
    assert_eq!(scores.rows.len(), 2000);
    for probability in scores.numbers("churn") {
        assert!((0.0..=1.0).contains(&probability));
    }
    // Of two features each, and most rows have some.
    let told = scores.column("churn_interactions");
    let pairs: Vec<&str> =
        told.iter().flat_map(|text| text.split("; ")).filter(|text| !text.is_empty()).collect();
    assert!(pairs.len() > 2000 && pairs.len() <= 4000, "{}", pairs.len());
    assert!(pairs.iter().all(|pair| pair.contains(" x ") && pair.ends_with(')')), "{}", pairs[0]);
    score(&small().features_csv(), &path("scores.parquet"));
    let bytes = fs::read(path("scores.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}

/// Scoring events at an instant is computing features at that instant and scoring them.
#[test]
fn events_score_as_their_features_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let features = Csv::read(&small().features_csv());
    score(&small().features_csv(), &path("by-features.csv"));
    let by_features = Csv::read(&path("by-features.csv"));
    let rows = features
        .column("user")
        .into_iter()
        .zip(features.column("t"))
        .zip(by_features.column("churn"));
    let rows: Vec<((&str, &str), &str)> = rows.collect();
    // each user has an instant of their own, so a few are asked one by one
    for ((user, t), expected) in rows.iter().step_by(rows.len() / 4) {
        let mut score = segue();
        score.args(["score", "churn@1", "--at", &instant(t), "--job"]).arg(small().job(1));
        score.arg("--data").arg(small().data()).arg("--out").arg(path("by-events.csv"));
        score.arg("--registry").arg(small().registry()).done();
        let by_events = Csv::read(&path("by-events.csv"));
        let at = by_events.column("user").iter().position(|name| name == user);
        assert_eq!(by_events.column("churn")[at.unwrap()], *expected, "{user} at {t}");
    }
}

/// Microseconds UTC, or a date and time without a zone, as `--at` reads it.
fn instant(t: &str) -> String {
    match t.parse::<i64>() {
        Ok(us) => jiff::Timestamp::from_microsecond(us).unwrap().to_string(),
        Err(_) => format!("{}Z", t.trim_end_matches('Z').replace(' ', "T")),
    }
}

#[test]
fn event_files_of_ones_own_replace_those_of_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let events = fs::read_to_string(small().events()).unwrap();
    let one: String = events
        .lines()
        .filter(|line| line.contains("\"user_000005\""))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(path("one.jsonl"), one).unwrap();
    let mut score = segue();
    score
        .args(["score", "churn", "--job"])
        .arg(small().job(1))
        .arg("--events")
        .arg(path("one.jsonl"));
    score.arg("--out").arg(path("one.csv")).arg("--registry").arg(small().registry()).done();
    assert_eq!(Csv::read(&path("one.csv")).column("user"), ["user_000005"]);
}

#[test]
fn odd_cells_are_read_as_missing_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(
        path("odd.csv"),
        "helped,visits,plan\n0.5,many,free\n0.5,,free\n0.5,3,gold\n0.5,3,\n",
    )
    .unwrap();
    let mut score = segue();
    score
        .args(["score", "table", "--features"])
        .arg(path("odd.csv"))
        .arg("--out")
        .arg(path("odd-scores.csv"));
    let said = score.arg("--registry").arg(table().registry()).json();
    assert_eq!(said["n_bad_numbers"], 1);
    assert_eq!(said["n_unseen_categories"], 1);
    let scores = Csv::read(&path("odd-scores.csv"));
    assert_eq!(
        scores.column("table")[0],
        scores.column("table")[1],
        "no number and nothing are both missing"
    );
}

#[test]
fn a_table_without_rows_has_scores_without_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("empty.csv"), "helped,visits,plan\n").unwrap();
    for out in ["scores.csv", "scores.parquet"] {
        let mut score = segue();
        score.args(["score", "table", "--features"]).arg(path("empty.csv")).arg("--out");
        let said = score.arg(path(out)).arg("--registry").arg(table().registry()).json();
        assert_eq!(said["n_rows"], 0);
        assert!(path(out).exists(), "{out}");
    }
    assert_eq!(
        fs::read_to_string(path("scores.csv")).unwrap(),
        "table,table_segment,table_version\n"
    );
}

/// A condition that cannot be evaluated on a row does not hold there, and is not passed over in silence.
#[test]
fn conditions_that_fail_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("rows.csv"), rows()).unwrap();
    let few = "[[segments]]\nname = \"few\"\nwhen = \"[3, 2][int(features.visits)] > 2\"\n";
    fs::write(path("job.toml"), format!("{JOB}\n{few}")).unwrap();
    segue().arg("train").arg(path("job.toml")).arg("--registry").arg(path("models")).done();
    fs::write(path("two.csv"), "helped,visits,plan\n0.5,0,free\n0.5,7,free\n").unwrap();
    let mut score = segue();
    score.args(["score", "table", "--features"]).arg(path("two.csv")).arg("--out");
    let said = score.arg(path("out.csv")).arg("--registry").arg(path("models")).json();
    assert_eq!(said["n_segment_errors"], 1);
    assert_eq!(Csv::read(&path("out.csv")).column("table_segment"), ["few", ""]);
}

/// Whole files, right checksums, and yet features that the model was not trained on.
#[test]
fn a_version_with_another_feature_set_is_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let location = small().copy_of_registry(folder.path());
    let registry = Registry::open(location.to_str().unwrap()).unwrap();
    let manifest = registry.manifest("churn", 1).unwrap();
    let read = |name: &String| (name.clone(), registry.read("churn", 1, name).unwrap());
    let mut files: BTreeMap<String, Vec<u8>> = manifest.files.keys().map(read).collect();
    let spec = "name = 'visits'\nop = 'count'\nwindow = '7d'".parse().unwrap();
    let specs = vec![FeatureSpec::from_table("other", spec).unwrap()];
    let log = LogBuilder::new(AssembleOptions::default()).finish();
    let other =
        FeatureSet::learn(specs, RoleMap::well_known(), Visibility::AsKnown, &log, &[]).unwrap();
    files.insert("features.toml".to_owned(), other.to_toml().into_bytes());
    let draft = Draft { model: "churn".to_owned(), files, summary: manifest.summary };
    assert_eq!(registry.publish(&draft).unwrap().version, 3);
    let mut score = segue();
    score.args(["score", "churn@3", "--job"]).arg(small().job(1)).arg("--data").arg(small().data());
    score.arg("--out").arg(folder.path().join("out.csv")).arg("--registry").arg(&location);
    let ran = score.ran();
    assert_eq!(ran.code, Some(1));
    let expected = "the features.toml of model \"churn\" version 3 has hash";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    assert!(!folder.path().join("out.csv").exists());
}

#[test]
fn an_evaluation_of_a_version_agrees_with_its_training() {
    let job = table().job(1);
    let mut evaluate = segue();
    evaluate.args(["evaluate", "table@1"]).arg(&job).arg("--registry").arg(table().registry());
    let again = evaluate.json();
    let show =
        segue().args(["models", "show", "table@1", "--registry"]).arg(table().registry()).json();
    assert_eq!(again["scorecard"]["auc"]["value"], show["metrics"]["auc"]);
    assert!(again["test"]["n_rows"].as_u64().unwrap() < N_ROWS as u64);
}

/// Segments of one model may ask for the scores of another. Training once refused such a condition,
/// although files and requests score several models together.
#[test]
fn a_segment_may_ask_for_the_score_of_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("rows.csv"), rows()).unwrap();
    let first = replaced(JOB, "model = \"table\"", "model = \"first\"");
    let second = replaced(JOB, "model = \"table\"", "model = \"second\"");
    let both = "[[segments]]\nname = \"both\"\nwhen = \"score >= 0.5 && scores.first >= 0.4\"\n";
    let second = format!("{}\n{both}", replaced(&second, "leaves = 4", "leaves = 7"));
    for (name, job) in [("first.toml", first), ("second.toml", second)] {
        fs::write(path(name), job).unwrap();
        segue().arg("train").arg(path(name)).arg("--registry").arg(path("models")).done();
    }
    let mut score = segue();
    score.args(["score", "first", "second", "--keep", "user", "--features"]);
    score.arg(path("rows.csv")).arg("--out").arg(path("scores.csv"));
    score.arg("--registry").arg(path("models")).done();
    let scores = Csv::read(&path("scores.csv"));
    let segments = scores.column("second_segment");
    let pairs = scores.numbers("first").into_iter().zip(scores.numbers("second"));
    let mut n_both = 0;
    for ((first, second), segment) in pairs.zip(segments) {
        let is_both = second >= 0.5 && first >= 0.4;
        assert_eq!(segment == "both", is_both, "{first} {second} {segment}");
        n_both += usize::from(is_both);
    }
    assert!((50..N_ROWS - 50).contains(&n_both), "{n_both}");
}
