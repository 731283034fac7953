use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::watch::Quiet;

/// A table of 600 rows over 600 days, whose label hangs on `x`, and a job on it.
fn desk(more: &str) -> (tempfile::TempDir, Job) {
    let folder = tempfile::tempdir().unwrap();
    let unit = |index: usize| ((index as f64 + 1.0) * 0.618_033_988_749_895).fract();
    let mut text = "u,t,x,z,y\n".to_owned();
    for row in 0..600 {
        let (x, z) = (unit(row * 3), unit(row * 7 + row / 5));
        let label = u8::from(x + 1.2 * (unit(row * 17 + row / 3) - 0.5) > 0.5);
        writeln!(text, "u{},{},{x:.4},{z:.4},{label}", row / 2, row * 86_400_000_000_usize)
            .unwrap();
    }
    std::fs::write(folder.path().join("t.csv"), text).unwrap();
    let job = format!(
        "model = \"m\"\ntask = \"churn\"\n[table]\nfile = \"t.csv\"\nlabel = \"y\"\nuser = \"u\"\ntime = \"t\"\n{more}"
    );
    let job = Job::parse(&job, Path::new("job.toml"), folder.path().to_owned()).unwrap();
    (folder, job)
}

fn options(n_trials: usize, keep_going: &(dyn Fn() -> bool + Sync)) -> TuneOptions<'_> {
    TuneOptions { n_trials, n_folds: 3, seed: 1, n_threads: 1, rejects: None, keep_going }
}

#[test]
fn what_is_found_is_not_worse_and_trains() {
    let (folder, job) = desk("[learner]\nrounds = 60\nleaves = 60\nmin_rows_per_leaf = 2\n");
    let trials = folder.path().join("trials.jsonl");
    let tuned = tune(&job, &trials, &options(16, &|| true), &Quiet).unwrap();
    let (best, first) = (tuned.best.loss.unwrap(), tuned.first.loss.unwrap());
    assert!(best < first - 0.01, "{best} against {first} of trees that learn by heart");
    assert_eq!((tuned.n_trials, tuned.n_failed, tuned.n_resumed), (16, 0, 0));
    assert!(tuned.forward_in_time && tuned.n_pruned > 0);
    assert_eq!(tuned.folds.len(), 3);
    // 55 of 100 rows train, and no fold sees the others
    let n_train: usize =
        tuned.folds[0].fit + tuned.folds.iter().map(|it| it.validate).sum::<usize>();
    assert!(n_train <= 330, "{:?}", tuned.folds);
    let better = Job { learner: tuned.learner.clone(), ..job };
    assert!(Job::parse(&better.to_toml(), Path::new("j.toml"), folder.path().to_owned()).is_ok());
}

#[test]
fn a_search_that_was_stopped_ends_where_another_does() {
    let (folder, job) = desk("[learner]\nrounds = 30\nleaves = 4\n");
    let whole = folder.path().join("whole.jsonl");
    let in_one = tune(&job, &whole, &options(15, &|| true), &Quiet).unwrap();
    let pieces = folder.path().join("pieces.jsonl");
    let asked = AtomicUsize::new(0);
    // so often may the search ask before it must stop: in the middle of a trial
    for patience in [200, 333, 500, usize::MAX] {
        asked.store(0, Ordering::Relaxed);
        let keep_going = || asked.fetch_add(1, Ordering::Relaxed) < patience;
        let _ = tune(&job, &pieces, &options(15, &keep_going), &Quiet);
    }
    assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&pieces).unwrap());
    let again = tune(&job, &pieces, &options(15, &|| true), &Quiet).unwrap();
    assert_eq!((again.n_resumed, &again.best), (15, &in_one.best));
}

#[test]
fn a_search_says_what_it_cannot_do() {
    let (folder, job) = desk("");
    let path = folder.path().join("t.jsonl");
    let fails = |job: &Job, path: &Path, keep_going: &(dyn Fn() -> bool + Sync)| {
        tune(job, path, &options(2, keep_going), &Quiet).unwrap_err().to_string()
    };
    assert!(fails(&job, &path, &|| false).contains("--minutes"));
    let mut other = job.clone();
    other.learner.leaves = Some(crate::job::OrAuto::Fixed(3));
    assert!(fails(&other, &path, &|| true).contains("trials of another job"));
    let mut other = job.clone();
    other.learner.kind = crate::job::LearnerKind::LinfaTree;
    assert!(
        fails(&other, &path, &|| true).starts_with("learner.kind: \"linfa_tree\" is not tuned")
    );
    let mut other = job.clone();
    other.learner.start_from = Some("m@1".to_owned());
    assert!(fails(&other, &path, &|| true).starts_with("learner.start_from: a search judges"));
    let mut other = job.clone();
    other.split.embargo = Some(Span::days(100));
    let fresh = folder.path().join("u.jsonl");
    let few = tune(&other, &fresh, &options(1, &|| true), &Quiet);
    assert!(few.is_ok(), "a long embargo leaves one fold at least");
    assert!(fails(&job, &folder.path().join("no/t.jsonl"), &|| true).contains("no/t.jsonl"));
}

#[test]
fn users_divide_where_there_is_no_time_and_forests_are_tuned() {
    let (folder, mut job) = desk("[learner]\nkind = \"forest\"\ntrees = 10\n");
    job.split.by = SplitBy::User;
    let trials = folder.path().join("trials.jsonl");
    let tuned = tune(&job, &trials, &options(4, &|| true), &Quiet).unwrap();
    assert!(!tuned.forward_in_time && tuned.best.loss.unwrap().is_finite());
    let keys: Vec<&String> = tuned.best.params.keys().collect();
    assert!(tuned.best.trial == 0 || keys == ["column_share", "max_depth", "min_rows_per_leaf"]);
    let (folder, job) =
        desk("[learner]\nlearning_rate = \"auto\"\nleaves = \"auto\"\nrounds = 40\n");
    let trials = folder.path().join("auto.jsonl");
    assert!(tune(&job, &trials, &options(2, &|| true), &Quiet).is_ok());
}

#[test]
fn options_of_the_job_are_kept_and_not_contradicted() {
    let (folder, job) = desk(
        "[learner]\nrounds = 20\nleaves = 4\ngoss = {}\ndart = {}\nextra_trees = true\n\
         monotone = { x = \"increasing\" }\ninteractions = [[\"x\", \"z\"]]\n",
    );
    let trials = folder.path().join("trials.jsonl");
    let tuned = tune(&job, &trials, &options(4, &|| true), &Quiet).unwrap();
    assert_eq!(tuned.n_failed, 0, "goss does not bear a share of rows");
    let rest = |section: &LearnerSection| {
        let LearnerSection { goss, dart, extra_trees, monotone, interactions, rounds, .. } =
            section.clone();
        (goss, dart, extra_trees, monotone, interactions, rounds)
    };
    for trial in [Params::new(), [("leaves".to_owned(), 5.0)].into()] {
        let learner = with_params(&job.learner, &trial);
        assert_eq!(rest(&learner), rest(&job.learner), "no more rounds where none is dropped");
    }
    let text = format!("{}\n", job.to_toml());
    let edited = job_with(&text, Path::new("j.toml"), &tuned.learner).unwrap();
    let edited = Job::parse(&edited, Path::new("j.toml"), PathBuf::new()).unwrap();
    assert_eq!(rest(&edited.learner), rest(&job.learner));
}

#[test]
fn of_equal_trials_the_first_is_best() {
    let trial = |trial, loss| Trial {
        trial,
        params: Params::new(),
        state: TrialState::Done,
        loss,
        folds: Vec::new(),
    };
    let trials = [trial(0, Some(0.7)), trial(1, Some(0.5)), trial(2, None), trial(3, Some(0.5))];
    assert_eq!(best_of(&trials).unwrap().trial, 1);
    assert_eq!(best_of(&trials[2..3]), None);
}
