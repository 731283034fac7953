//! What several tests need: a small simulated log, two versions of a churn model, and its feature table.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::support::{Run, copy_folder, replaced, segue, shared_folder, workspace};

pub(crate) struct Small {
    pub(crate) folder: PathBuf,
    _lock: File,
}

/// Two thousand users, `churn` versions 1 (champion) and 2.
pub(crate) fn small() -> &'static Small {
    static SMALL: OnceLock<Small> = OnceLock::new();
    SMALL.get_or_init(|| {
        let (folder, lock) = shared_folder("small");
        let small = Small { folder, _lock: lock };
        segue()
            .args(["simulate", "--users", "2000", "--seed", "11", "--out"])
            .arg(small.data())
            .done();
        fs::write(small.job(1), job_text(60)).unwrap();
        fs::write(small.job(2), job_text(40)).unwrap();
        for number in [1, 2] {
            let mut train = segue();
            train.arg("train").arg(small.job(number)).arg("--data").arg(small.data());
            let trained = train.arg("--registry").arg(small.registry()).json();
            assert_eq!(trained["version"], number);
        }
        // so few rows need not hold the gates
        let mut promote = segue();
        promote.args(["promote", "churn", "1", "--override-gates", "--registry"]);
        promote.arg(small.registry()).done();
        for table in [small.features_csv(), small.features_parquet()] {
            let mut features = segue();
            features.arg("features").arg(small.job(1)).arg("--data").arg(small.data());
            features.arg("--out").arg(table).done();
        }
        small
    })
}

/// The job of the simulated churn model, cut short.
pub(crate) fn job_text(rounds: u32) -> String {
    let text = fs::read_to_string(workspace().join("jobs/simulated/churn.toml")).unwrap();
    let text = replaced(&text, "rounds = 1000", &format!("rounds = {rounds}"));
    let text = replaced(&text, "\"events.jsonl\"", "\"*.jsonl\"");
    text + "\n[compare]\nlearners = []\n"
}

impl Small {
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.data().join("events.jsonl")
    }

    pub(crate) fn job(&self, number: u32) -> PathBuf {
        self.folder.join(format!("churn-{number}.toml"))
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.folder.join("models")
    }

    pub(crate) fn features_csv(&self) -> PathBuf {
        self.folder.join("features.csv")
    }

    pub(crate) fn features_parquet(&self) -> PathBuf {
        self.folder.join("features.parquet")
    }

    /// A registry of one's own with the same content.
    pub(crate) fn copy_of_registry(&self, to: &Path) -> PathBuf {
        let registry = to.join("models");
        copy_folder(&self.registry(), &registry);
        registry
    }
}
