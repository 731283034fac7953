use std::fmt::Write as _;

use super::*;
use crate::watch::Quiet;

/// A number that hangs on one of two features, blurred, and whether it is large: a table each.
fn folder() -> tempfile::TempDir {
    let unit = |index: usize| ((index as f64 + 1.0) * 0.618_033_988_749_895).fract();
    let mut texts = ["large", "spent"].map(|label| format!("visits,age,{label}\n"));
    for row in 0..1_200 {
        let (visits, age) = (unit(row * 3 + row / 7), unit(row * 5 + row / 11));
        let blurred = visits + 0.6 * (unit(row * 17 + row / 3) - 0.5);
        writeln!(texts[0], "{visits},{age},{}", u8::from(blurred > 0.5)).unwrap();
        writeln!(texts[1], "{visits},{age},{blurred}").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in ["large.csv", "spent.csv"].iter().zip(texts) {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn trained(folder: &tempfile::TempDir, task: &str, label: &str, learner: &str) -> Trained {
    let text = format!(
        "model = \"m\"\ntask = \"{task}\"\n[table]\nfile = \"{label}.csv\"\nlabel = \"{label}\"\n\
         [compare]\nlearners = [\"smartcore_forest\"]\nsample_rows = 100\n[learner]\n{learner}\n"
    );
    let path = folder.path().join("job.toml");
    let job = Job::parse(&text, &path, folder.path().to_owned()).unwrap();
    let options = TrainOptions { n_threads: 2, ..TrainOptions::default() };
    train(&job, &options, &Quiet).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_forest_tells_what_is_out_of_its_bags() {
    let folder = folder();
    let metrics = |trained: &Trained| trained.draft.summary.metrics.clone();
    let forest = "kind = \"forest\"\ntrees = 60";
    let binary = trained(&folder, "conversion", "large", forest);
    let found = metrics(&binary);
    assert!(found["out_of_bag_rows"] > 500.0, "{found:?}");
    assert!((found["out_of_bag_auc"] - found["auc"]).abs() < 0.1, "{found:?}");
    assert!(found.contains_key("out_of_bag_log_loss"), "{found:?}");
    assert!(binary.report_html.contains("training rows, out of bag"));
    let text = &binary.draft.files["evaluation.json"];
    let read: Evaluation = serde_json::from_slice(text).unwrap();
    assert_eq!(read.out_of_bag, binary.evaluation.out_of_bag);
    assert!(read.out_of_bag.is_some());
    let note = &binary.evaluation.comparisons.last().unwrap().note;
    assert!(note.starts_with("fitted on 100 of ") && note.contains("training rows"), "{note}");

    let number = trained(&folder, "lifetime_value", "spent", forest);
    assert!(metrics(&number)["out_of_bag_rmse"] > 0.0);
    for without in ["out_of_bag = false", "bootstrap = false"] {
        let other = trained(&folder, "conversion", "large", &format!("{forest}\n{without}"));
        assert!(other.evaluation.out_of_bag.is_none(), "{without}");
        assert!(!metrics(&other).keys().any(|name| name.starts_with("out_of_bag")), "{without}");
        assert!(!other.report_html.contains("out-of-bag"), "{without}");
    }
}
