//! A ready-made feature table, a job on it, and a registry with two versions of its model.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{Run, copy_folder, replaced, segue, shared_folder};

/// A job on `rows.csv` that trains in a moment.
pub(crate) const JOB: &str = r#"model = "table"
task = "conversion"

[table]
file = "rows.csv"
label = "label"
user = "user"

[split]
by = "user"

[learner]
rounds = 20
leaves = 4

[compare]
learners = []

[gates]
max_calibration_error = 1.0
"#;

pub(crate) const N_ROWS: usize = 900;

/// `user,visits,plan,helped,label`: more visits, more labels of 1.
pub(crate) fn rows() -> String {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut text = "user,visits,plan,helped,label\n".to_owned();
    for user in 0..N_ROWS {
        let visits: u32 = random.random_range(0..20);
        let plan = ["free", "pro", "trial"][random.random_range(0..3)];
        let helped: f64 = random.random();
        let chance = 1.0 / (1.0 + (-(f64::from(visits) - 10.0) / 3.0).exp());
        let label = u8::from(random.random::<f64>() < chance);
        writeln!(text, "u{user:04},{visits},{plan},{helped:.6},{label}").unwrap();
    }
    text
}

pub(crate) struct Table {
    /// Holds `rows.csv`, `table-1.toml`, `table-2.toml` and `models`.
    pub(crate) folder: PathBuf,
    _lock: File,
}

/// `table` versions 1 (champion) and 2.
pub(crate) fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let (folder, lock) = shared_folder("table");
        let table = Table { folder, _lock: lock };
        fs::write(table.folder.join("rows.csv"), rows()).unwrap();
        fs::write(table.job(1), JOB).unwrap();
        fs::write(table.job(2), replaced(JOB, "leaves = 4", "leaves = 7")).unwrap();
        for number in [1, 2] {
            let trained = table.train(number, &table.registry()).json();
            assert_eq!(trained["version"], number);
        }
        segue().args(["promote", "table", "1", "--registry"]).arg(table.registry()).done();
        table
    })
}

impl Table {
    pub(crate) fn job(&self, number: u32) -> PathBuf {
        self.folder.join(format!("table-{number}.toml"))
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.folder.join("models")
    }

    pub(crate) fn train(&self, number: u32, registry: &Path) -> std::process::Command {
        let mut train = segue();
        train.arg("train").arg(self.job(number)).arg("--registry").arg(registry);
        train
    }

    /// A registry of one's own with the same content.
    pub(crate) fn copy_of_registry(&self, to: &Path) -> PathBuf {
        copy_folder(&self.registry(), to);
        to.to_owned()
    }
}
