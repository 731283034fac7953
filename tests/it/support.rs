//! The binary under test, folders for it to work in, and readers of what it writes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The binary with nothing of the caller's environment that changes what it does.
pub(crate) fn segue() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segue"));
    for name in ["SEGUE_DATA", "SEGUE_REGISTRY", "SEGUE_LOG", "SEGUE_CRASH_AT_STEP"] {
        command.env_remove(name);
    }
    command.env("USER", "tester").env("COLUMNS", "100");
    command
}

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end. Whatever it says, it must not have panicked.
pub(crate) trait Run {
    fn ran(&mut self) -> Ran;
    /// It must succeed.
    fn done(&mut self) -> Ran;
    /// It must succeed with JSON on stdout.
    fn json(&mut self) -> Value;
}

impl Run for Command {
    fn ran(&mut self) -> Ran {
        let output = self.output().unwrap();
        finished(self, output)
    }

    fn done(&mut self) -> Ran {
        let ran = self.ran();
        assert_eq!(ran.code, Some(0), "{self:?}\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    fn json(&mut self) -> Value {
        let ran = self.arg("--json").done();
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
    }
}

fn finished(command: &Command, output: Output) -> Ran {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ran = Ran {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    assert!(!ran.stderr.contains("panicked"), "{command:?} panicked:\n{}", ran.stderr);
    ran
}

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A folder that tests share, empty at first, and the lock that keeps other test processes out of it.
pub(crate) fn shared_folder(name: &str) -> (PathBuf, File) {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(root).unwrap();
    let lock = File::create(root.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let folder = root.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir(&folder).unwrap();
    (folder, lock)
}

/// Copies a folder with everything in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Names in a folder, sorted.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What Ctrl-C sends.
pub(crate) fn interrupt(pid: u32) {
    assert!(Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap().success());
}

/// Waits for what another process brings about.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < limit, "waited in vain");
        std::thread::yield_now();
    }
}

/// A text with one passage replaced, which must be there exactly once.
pub(crate) fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} in:\n{text}");
    text.replace(from, to)
}

/// A CSV file: column names and rows of text.
pub(crate) struct Csv {
    names: Vec<String>,
    pub(crate) rows: Vec<csv::StringRecord>,
}

impl Csv {
    pub(crate) fn read(path: &Path) -> Self {
        let mut reader = csv::Reader::from_path(path).unwrap();
        let names = reader.headers().unwrap().iter().map(str::to_owned).collect();
        Self { names, rows: reader.records().map(Result::unwrap).collect() }
    }

    pub(crate) fn column(&self, name: &str) -> Vec<&str> {
        let at = self.names.iter().position(|column| column == name);
        let at = at.unwrap_or_else(|| panic!("no column {name:?} in {:?}", self.names));
        self.rows.iter().map(|row| &row[at]).collect()
    }

    pub(crate) fn numbers(&self, name: &str) -> Vec<f64> {
        self.column(name).into_iter().map(|text| text.parse().unwrap()).collect()
    }
}

/// Area under the ROC curve by counting pairs in order of score; ties count half.
pub(crate) fn auc(scores: &[f64], positive: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut pairs, mut negatives) = (0.0, 0.0);
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let n_positive = tied.iter().filter(|&&row| positive[row]).count() as f64;
        let n_negative = tied.len() as f64 - n_positive;
        pairs += n_positive * (negatives + n_negative / 2.0);
        negatives += n_negative;
    }
    pairs / (negatives * (scores.len() as f64 - negatives))
}

#[test]
fn auc_counts_pairs() {
    assert!((auc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]) - 0.75).abs() < 1e-12);
    assert!((auc(&[0.5, 0.5], &[false, true]) - 0.5).abs() < 1e-12);
}
