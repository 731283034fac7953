//! Does a model find what was planted? The simulation knows every user's true probabilities and causes.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;

use segue_simulator::{Direction, planted_causes};
use serde_json::Value;

use crate::support::{Csv, Run, auc, segue, shared_folder, workspace};

/// A task, its true probability, its outcome, and how far below the best possible AUC the model may stay.
struct Task {
    name: &'static str,
    probability: &'static str,
    outcome: &'static str,
    auc_below_best: f64,
}

const TASKS: [Task; 3] = [
    Task { name: "churn", probability: "p_churn", outcome: "churn", auc_below_best: 0.02 },
    Task {
        name: "support_need",
        probability: "p_support",
        outcome: "support",
        auc_below_best: 0.04,
    },
    Task { name: "conversion", probability: "p_convert", outcome: "convert", auc_below_best: 0.04 },
];

/// Words of behaviours that carry a planted cause. A step completed is a data connection or an invite too.
const CARRIED_BY: [(&str, &str, &[&str]); 10] = [
    ("churn", "active_days", &["active days"]),
    ("churn", "data_connected", &["Data Connected"]),
    ("churn", "errors", &["error", "Error Shown"]),
    ("support_need", "help_searches", &["help", "Help Searched"]),
    ("support_need", "stuck_on_data", &["Data Connected", "onboarding step", "Onboarding Step"]),
    ("support_need", "errors", &["error", "Error Shown"]),
    ("conversion", "pricing_views", &["Pricing"]),
    ("conversion", "invites", &["Teammate Invited", "onboarding step", "Onboarding Step"]),
    ("conversion", "referral", &["traffic source"]),
    ("conversion", "trial", &["plan"]),
];

struct Simulated {
    folder: PathBuf,
    /// What `segue train --json` said, by task.
    trained: BTreeMap<&'static str, Value>,
    truth: BTreeMap<String, BTreeMap<String, String>>,
    _lock: File,
}

/// Ten thousand users and the three models of `jobs/simulated`, made once.
fn simulated() -> &'static Simulated {
    static SIMULATED: OnceLock<Simulated> = OnceLock::new();
    SIMULATED.get_or_init(|| {
        let (folder, lock) = shared_folder("simulated");
        let data = folder.join("data");
        segue().args(["simulate", "--users", "10000", "--seed", "7", "--out"]).arg(&data).done();
        let running = TASKS.map(|task| {
            let job = workspace().join(format!("jobs/simulated/{}.toml", task.name));
            let mut train = segue();
            train.arg("train").arg(job).arg("--data").arg(&data);
            train.args(["--threads", "1", "--json", "--registry"]).arg(folder.join("models"));
            let child = train.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            (task.name, child)
        });
        let trained = running.map(|(name, child)| {
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "training {name}: {stderr}");
            (name, serde_json::from_slice(&output.stdout).unwrap())
        });
        let truth = truth_of(&Csv::read(&data.join("truth.csv")));
        Simulated { folder, trained: trained.into(), truth, _lock: lock }
    })
}

fn truth_of(csv: &Csv) -> BTreeMap<String, BTreeMap<String, String>> {
    let causes = planted_causes().iter().map(|cause| cause.driver);
    let tasks = TASKS.iter().flat_map(|task| [task.probability, task.outcome]);
    let mut truth: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for name in causes.chain(tasks) {
        for (user, text) in csv.column("user_id").iter().zip(csv.column(name)) {
            truth.entry((*user).to_owned()).or_default().insert(name.to_owned(), text.to_owned());
        }
    }
    truth
}

/// A test user: the model's probability, every behaviour's contribution, and the truth.
struct TestUser {
    score: f64,
    contributions: BTreeMap<String, f64>,
    truth: &'static BTreeMap<String, String>,
}

impl TestUser {
    fn true_number(&self, column: &str) -> f64 {
        self.truth[column].parse().unwrap()
    }
}

/// Test users of a task, scored once from the feature table with all their reasons.
fn test_users(task: &str) -> &'static [TestUser] {
    static USERS: OnceLock<BTreeMap<&str, Vec<TestUser>>> = OnceLock::new();
    let users = USERS.get_or_init(|| {
        TASKS.iter().map(|task| (task.name, score_test_users(task.name))).collect()
    });
    &users[task]
}

fn score_test_users(task: &str) -> Vec<TestUser> {
    let simulated = simulated();
    let path = |kind: &str| simulated.folder.join(format!("{task}-{kind}.csv"));
    let job = workspace().join(format!("jobs/simulated/{task}.toml"));
    let mut features = segue();
    features.arg("features").arg(job).arg("--data").arg(simulated.folder.join("data"));
    features.arg("--out").arg(path("features")).done();
    let mut score = segue();
    score.args(["score", task, "--keep", "user,split", "--reasons", "1000", "--features"]);
    score.arg(path("features")).arg("--out").arg(path("scores"));
    score.arg("--registry").arg(simulated.folder.join("models")).done();
    let scores = Csv::read(&path("scores"));
    let reasons = scores.column(&format!("{task}_reasons"));
    let parts = scores.column("split");
    let rows = scores.column("user").into_iter().zip(scores.numbers(task)).zip(reasons).zip(parts);
    let users: Vec<TestUser> = rows
        .filter(|(_, part)| *part == "test")
        .map(|(((user, score), reasons), _)| TestUser {
            score,
            contributions: reasons.split("; ").map(contribution).collect(),
            truth: &simulated.truth[user],
        })
        .collect();
    assert!(users.len() > 1000, "{} test users", users.len());
    users
}

/// `+help visits (+0.123)` to behaviour and contribution.
fn contribution(reason: &str) -> (String, f64) {
    let parsed = reason.rsplit_once(" (").and_then(|(behaviour, number)| {
        Some((behaviour.get(1..)?.to_owned(), number.strip_suffix(')')?.parse().ok()?))
    });
    parsed.unwrap_or_else(|| panic!("no reason: {reason:?}"))
}

/// The drivers that a behaviour carries.
fn drivers<'a>(task: &'a str, behaviour: &'a str) -> impl Iterator<Item = &'static str> + 'a {
    CARRIED_BY
        .iter()
        .filter(move |(of, _, words)| {
            *of == task && words.iter().any(|word| behaviour.contains(word))
        })
        .map(|(_, driver, _)| *driver)
}

#[test]
fn auc_comes_close_to_the_best_possible() {
    for task in &TASKS {
        let users = test_users(task.name);
        let positive: Vec<bool> =
            users.iter().map(|user| user.truth[task.outcome] == "1").collect();
        let scores: Vec<f64> = users.iter().map(|user| user.score).collect();
        let best: Vec<f64> = users.iter().map(|user| user.true_number(task.probability)).collect();
        let (ours, best) = (auc(&scores, &positive), auc(&best, &positive));
        println!("{}: AUC {ours:.4}, best possible {best:.4}", task.name);
        assert!(ours > best - task.auc_below_best, "{}: {ours:.4} of {best:.4}", task.name);
        let reported = simulated().trained[task.name]["metrics"]["auc"].as_f64().unwrap();
        assert!((ours - reported).abs() < 1e-9, "the report says {reported}, the truth {ours}");
    }
}

#[test]
fn probabilities_are_calibrated() {
    for task in &TASKS {
        let error =
            simulated().trained[task.name]["metrics"]["calibration_error"].as_f64().unwrap();
        println!("{}: calibration error {error:.4}", task.name);
        assert!(error < 0.03, "{}: calibration error {error:.4}", task.name);
        let users = test_users(task.name);
        let off = users.iter().map(|user| (user.score - user.true_number(task.probability)).abs());
        let off = off.sum::<f64>() / users.len() as f64;
        println!("{}: {off:.4} from the true probability on average", task.name);
        assert!(off < 0.06, "{}: {off:.4} from the truth on average", task.name);
    }
}

#[test]
fn planted_causes_are_the_top_reasons() {
    for task in &TASKS {
        let users = test_users(task.name);
        let mut strength: BTreeMap<&str, f64> = BTreeMap::new();
        for user in users {
            for (behaviour, contribution) in &user.contributions {
                *strength.entry(behaviour).or_default() += contribution.abs();
            }
        }
        let mut ranked: Vec<(&str, f64)> = strength.into_iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (behaviour, strength) in ranked.iter().take(10) {
            println!("{}: {behaviour} {:.3}", task.name, strength / users.len() as f64);
        }
        let planted: Vec<&str> = CARRIED_BY
            .iter()
            .filter(|(of, _, _)| *of == task.name)
            .map(|(_, driver, _)| *driver)
            .collect();
        for (behaviour, _) in ranked.iter().take(planted.len()) {
            let carries = drivers(task.name, behaviour).next().is_some();
            assert!(carries, "{}: {behaviour:?} leads, but nothing was planted in it", task.name);
        }
        for driver in planted {
            let carried = |(behaviour, _): &(&str, f64)| {
                drivers(task.name, behaviour).any(|carried| carried == driver)
            };
            let rank = ranked.iter().position(carried);
            assert!(rank.is_some_and(|rank| rank < 10), "{}: {driver} at {rank:?}", task.name);
        }
    }
}

#[test]
fn planted_causes_pull_the_way_they_were_planted() {
    for task in &TASKS {
        let users = test_users(task.name);
        for cause in planted_causes().iter().filter(|cause| cause.task == task.name) {
            let carried = CARRIED_BY
                .iter()
                .any(|(of, driver, _)| (*of, *driver) == (task.name, cause.driver));
            if !carried {
                // acts through the chance to stay only, which other behaviours carry as well
                continue;
            }
            let truth: Vec<f64> = users.iter().map(|user| user.true_number(cause.driver)).collect();
            let pull: Vec<f64> =
                users.iter().map(|user| pull(task.name, cause.driver, user)).collect();
            let correlation = correlation(&truth, &pull);
            println!("{}: {} correlates {correlation:+.3}", task.name, cause.driver);
            let signed = match cause.direction {
                Direction::Raises => correlation,
                Direction::Lowers => -correlation,
            };
            assert!(signed > 0.5, "{}: {} correlates {correlation:+.3}", task.name, cause.driver);
        }
    }
}

/// Sum of the contributions that carry a driver.
fn pull(task: &str, driver: &str, user: &TestUser) -> f64 {
    let carrying = user.contributions.iter();
    let carrying =
        carrying.filter(|(behaviour, _)| drivers(task, behaviour).any(|at| at == driver));
    carrying.map(|(_, contribution)| contribution).sum()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(x, y)| of(x - mean_a, y - mean_b)).sum()
    };
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}
