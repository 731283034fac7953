//! The same job on the same data gives the same version, whatever the threads and the order of the files.

use std::fs;
use std::path::Path;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::small::{job_text, small};
use crate::support::{Run, names_in, replaced, segue};

/// Trains with all comparisons, and gives the folder of the version to `look`.
fn train(job: &Path, data: &Path, threads: &str, registry: &Path) -> Value {
    let mut train = segue();
    train.arg("train").arg(job).arg("--data").arg(data).args(["--threads", threads]);
    train.arg("--registry").arg(registry).json()
}

fn manifest_without_time(version: &Path) -> Value {
    let text = fs::read_to_string(version.join("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    let content = manifest["content"].as_object_mut().unwrap();
    assert!(content.remove("created_at_us").is_some());
    manifest["content"].take()
}

#[test]
fn threads_and_order_of_input_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("job.toml");
    fs::write(&job, replaced(&job_text(30), "\n[compare]\nlearners = []\n", "")).unwrap();
    let shuffled = folder.path().join("shuffled");
    shuffle_into_files(&fs::read_to_string(small().events()).unwrap(), &shuffled);
    let cases =
        [("one", small().data(), "1"), ("two", small().data(), "2"), ("mixed", shuffled, "2")];
    let trained = cases.map(|(name, data, threads)| {
        let registry = folder.path().join(name);
        let said = train(&job, &data, threads, &registry);
        (said, registry.join("churn/versions/1"))
    });
    let (first_said, first) = &trained[0];
    assert!(names_in(first).len() >= 10, "{:?}", names_in(first));
    for (said, version) in &trained[1..] {
        assert_eq!(said, first_said);
        assert_eq!(names_in(version), names_in(first));
        for file in names_in(first).iter().filter(|file| *file != "manifest.json") {
            let (a, b) =
                (fs::read(first.join(file)).unwrap(), fs::read(version.join(file)).unwrap());
            assert!(a == b, "{file} differs from {} to {}", first.display(), version.display());
        }
        assert_eq!(manifest_without_time(version), manifest_without_time(first));
    }
}

/// All lines in another order, in three files of unequal size.
fn shuffle_into_files(events: &str, folder: &Path) {
    let mut lines: Vec<&str> = events.lines().collect();
    lines.shuffle(&mut ChaCha8Rng::seed_from_u64(3));
    fs::create_dir(folder).unwrap();
    let third = lines.len() / 3;
    for (name, lines) in
        [("z", &lines[..third]), ("a", &lines[third..third + 100]), ("m", &lines[third + 100..])]
    {
        fs::write(folder.join(format!("{name}.jsonl")), lines.join("\n") + "\n").unwrap();
    }
}

#[test]
fn training_again_finds_the_version_already_there() {
    let folder = tempfile::tempdir().unwrap();
    let registry = small().copy_of_registry(folder.path());
    let again = train(&small().job(2), &small().data(), "1", &registry);
    assert_eq!(again["existed"], true);
    assert_eq!(again["version"], 2);
    assert_eq!(names_in(&registry.join("churn/versions")), ["1", "2"]);
}

#[test]
fn the_simulation_is_the_same_for_a_seed_and_another_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let events = ["a", "b", "c"].map(|name| {
        let seed = if name == "c" { "8" } else { "7" };
        let out = folder.path().join(name);
        segue().args(["simulate", "--users", "50", "--seed", seed, "--out"]).arg(&out).done();
        fs::read(out.join("events.jsonl")).unwrap()
    });
    assert!(events[0] == events[1]);
    assert!(events[0] != events[2]);
}
