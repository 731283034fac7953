//! Logs larger than the memory they may take: the same bytes come out, and nothing stays behind.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::small::small;
use crate::support::{Csv, Ran, Run, names_in, segue};

/// So little that the simulated log goes to disk many times over.
const TINY: &str = "1MiB";

/// A folder for one test: `logs` with the events, `temp` for temporary files.
struct Room {
    folder: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let room = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(room.path("logs")).unwrap();
        fs::create_dir(room.path("temp")).unwrap();
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The simulated log, its duplicates, late arrivals and anonymous visits in any order, in files
    /// of very unequal size.
    fn shuffled(seed: u64) -> Self {
        let room = Self::new();
        let events = fs::read_to_string(small().events()).unwrap();
        let mut lines: Vec<&str> = events.lines().collect();
        lines.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let (mut rest, mut n) = (lines.as_slice(), lines.len() / 2);
        for file in 0..7 {
            let (own, others) = rest.split_at(n.min(rest.len()));
            let own = if file == 6 { rest } else { own };
            room.log(&format!("{}.jsonl", (file * 3) % 7), &(own.join("\n") + "\n"));
            (rest, n) = (others, n / 3);
        }
        room
    }

    fn log(&self, name: &str, text: &str) {
        fs::write(self.path("logs").join(name), text).unwrap();
    }

    fn scoring(&self, out: &str, more: &[&str]) -> Command {
        let mut score = segue();
        score.args(["score", "churn@1", "--reasons", "2", "--job"]).arg(small().job(1));
        score.arg("--data").arg(self.path("logs")).arg("--registry").arg(small().registry());
        score.arg("--temp").arg(self.path("temp")).arg("--out").arg(self.path(out)).args(more);
        score
    }

    fn scored(&self, out: &str, more: &[&str]) -> Vec<u8> {
        self.scoring(out, more).done();
        assert_eq!(names_in(&self.path("temp")), [""; 0], "temporary files were left");
        fs::read(self.path(out)).unwrap()
    }

    /// Nothing but what was there before the run.
    fn is_clean(&self) {
        assert_eq!(names_in(self.folder.path()), ["logs", "temp"]);
        assert_eq!(names_in(&self.path("temp")), [""; 0]);
    }
}

#[test]
fn a_log_larger_than_memory_scores_to_the_same_bytes() {
    let room = Room::shuffled(5);
    for out in ["scores.csv", "scores.parquet"] {
        let expected = room.scored(out, &["--threads", "1"]);
        for more in [
            &["--memory", TINY, "--threads", "1"][..],
            &["--memory", TINY, "--threads", "3"],
            &["--memory", "0B", "--threads", "2"],
        ] {
            assert!(room.scored(out, more) == expected, "{out} differs with {more:?}");
        }
    }
    let scores = Csv::read(&room.path("scores.csv"));
    let users = scores.column("user");
    assert!(users.len() >= 2000 && users.is_sorted(), "{} users", users.len());
    // another order in other files, and every event twice: all have an id
    let again = Room::shuffled(6);
    fs::copy(again.path("logs/0.jsonl"), again.path("logs/copy.jsonl")).unwrap();
    let (a, b) = (room.scored("scores.csv", &[]), again.scored("other.csv", &["--memory", TINY]));
    assert!(a == b, "order of input or duplicates changed the scores");
}

/// The comparison above would compare nothing if the log fitted in memory.
#[test]
fn temporary_files_are_used_when_needed_and_only_then() {
    let room = Room::shuffled(7);
    fs::remove_dir(room.path("temp")).unwrap();
    let failed = room.scoring("scores.csv", &["--memory", TINY]).ran();
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    let temp = room.path("temp");
    for part in [temp.to_str().unwrap(), "No such file", "--temp", "--memory"] {
        assert!(failed.stderr.contains(part), "no {part:?} in {}", failed.stderr);
    }
    assert_eq!(names_in(room.folder.path()), ["logs"]);
    room.scoring("scores.csv", &[]).done();
}

/// Runs a scoring under the limit of a shell, in blocks of 512 bytes or 1 KiB, on the size of files.
#[cfg(unix)]
fn limited(scoring: &Command, shell: &str) -> Ran {
    let mut sh = Command::new("sh");
    sh.args(["-c", shell, "sh"]).arg(scoring.get_program()).args(scoring.get_args());
    for (name, value) in scoring.get_envs() {
        match value {
            Some(value) => sh.env(name, value),
            None => sh.env_remove(name),
        };
    }
    sh.ran()
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    let room = Room::shuffled(8);
    let scoring = room.scoring("scores.csv", &["--memory", TINY]);
    let full = limited(&scoring, "trap '' XFSZ; ulimit -f 16; exec \"$@\"");
    assert_eq!(full.code, Some(1), "{}", full.stderr);
    let temp = room.path("temp");
    assert!(full.stderr.contains(temp.to_str().unwrap()), "{}", full.stderr);
    assert!(full.stderr.contains("File too large"), "{}", full.stderr);
    room.is_clean();
}

#[cfg(unix)]
#[test]
fn a_killed_run_leaves_nothing() {
    let room = Room::shuffled(9);
    let scoring = room.scoring("scores.csv", &["--memory", TINY]);
    let killed = limited(&scoring, "ulimit -c 0; ulimit -f 16; exec \"$@\"");
    assert_eq!(killed.code, None, "the limit did not kill it: {}", killed.stderr);
    room.is_clean();
}

/// What is wrong with a file in the middle is said as ever, however much went to disk before.
#[test]
fn bad_input_is_told_as_in_memory() {
    let room = Room::shuffled(10);
    let good = fs::read_to_string(room.path("logs/0.jsonl")).unwrap();
    room.log("5z.jsonl", &"no event at all\n".repeat(200));
    let said = |memory: &str| {
        let failed = room.scoring("scores.csv", &["--memory", memory]).ran();
        assert_eq!(failed.code, Some(65), "{}", failed.stderr);
        room.is_clean();
        failed.stderr
    };
    let expected = said("1GiB");
    assert!(expected.contains("5z.jsonl:1: no line of the first 100"), "{expected}");
    assert_eq!(said(TINY), expected);

    // single bad rows are counted and written out, in the order of the input
    let mut lines: Vec<&str> = good.lines().collect();
    lines.insert(lines.len() / 2, "{\"type\": \"track\"}");
    lines.insert(9, "no event at all");
    room.log("5z.jsonl", &lines.join("\n"));
    let rejected = |memory: &str| {
        let rejects = room.path("rejects.jsonl");
        let more = ["--memory", memory, "--rejects", rejects.to_str().unwrap()];
        let said = room.scoring("scores.csv", &more).json();
        let scores = fs::read(room.path("scores.csv")).unwrap();
        (said["rejects"].clone(), fs::read_to_string(rejects).unwrap(), scores)
    };
    let expected = rejected("1GiB");
    assert_eq!(expected.1.lines().count(), 2, "{}", expected.1);
    assert!(rejected(TINY) == expected);
}

/// Nobody is left to score, and the scores say so instead of not being there.
#[test]
fn a_log_without_users_has_scores_with_a_head() {
    let room = Room::new();
    let job = fs::read_to_string(small().job(1)).unwrap();
    let job = job.replacen("[events]\n", "[events]\nkeep_anonymous = false\n", 1);
    fs::write(room.path("job.toml"), job).unwrap();
    let event =
        "{\"type\": \"page\", \"anonymousId\": \"a\", \"timestamp\": \"2026-01-01T00:00:00Z\"}\n";
    room.log("a.jsonl", &event.repeat(5_000));
    for memory in ["0B", "1GiB"] {
        for out in ["scores.csv", "scores.parquet"] {
            let mut score = segue();
            score
                .args(["score", "churn@1", "--memory", memory, "--job"])
                .arg(room.path("job.toml"));
            score.arg("--data").arg(room.path("logs")).arg("--out").arg(room.path(out));
            let said = score.arg("--registry").arg(small().registry()).json();
            assert_eq!(said["n_rows"], 0);
            assert!(room.path(out).exists(), "{out}");
            fs::remove_file(room.path(out)).unwrap();
        }
    }
}

/// A command that fails late has wasted hours: what can be told is told before reading.
#[test]
fn what_is_wrong_with_the_command_is_told_before_reading() {
    let room = Room::new();
    room.log("a.jsonl", &"no event at all\n".repeat(200));
    for (out, more, says) in
        [("scores.xlsx", &[][..], ".parquet"), ("scores.csv", &["--at", "noon"], "--at")]
    {
        let failed = room.scoring(out, more).ran();
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        assert!(failed.stderr.contains(says), "{}", failed.stderr);
    }
    room.is_clean();
}
