use std::path::PathBuf;

use super::*;
use crate::job::Origin;

/// Rows of a table job on `text`, whose job has more lines.
fn rows(text: &str, more: &str) -> Result<Prepared, RowsError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    std::fs::write(&path, text).unwrap();
    let job = format!(
        "model = \"m\"\ntask = \"churn\"\n[table]\nfile = \"t.csv\"\nlabel = \"y\"\n{more}"
    );
    let job = Job::parse(&job, Path::new("job.toml"), PathBuf::new()).unwrap();
    let Origin::Table(section) = &job.origin else { panic!("starts from a table") };
    rows_of_table(&job, section, &path)
}

/// `u,part,vip,plan,y`: 30 rows in three parts.
fn table(user: impl Fn(usize) -> String) -> String {
    let mut text = "u,part,vip,plan,y\n".to_owned();
    for row in 0..30 {
        let part = ["train", "calibrate", "test"][row % 3];
        let vip = ["true", "false", ""][row % 5 % 3];
        text.push_str(&format!("{},{part},{vip},p{},{}\n", user(row), row % 2, row / 3 % 2));
    }
    text
}

const GIVEN: &str = "user = \"u\"\nsplit = \"part\"\n";

#[test]
fn true_and_false_are_slices_when_asked_for() {
    let text = table(|row| format!("u{row}"));
    let sliced = rows(&text, &format!("{GIVEN}[slices]\nby = [\"vip\", \"plan\"]\n")).unwrap();
    assert_eq!(sliced.slices[0].name, "vip");
    assert_eq!(sliced.slices[0].values[..4], ["true", "false", "(missing)", "true"]);
    assert_eq!(sliced.slices[1].values[..2], ["p0", "p1"]);
    let by_default = rows(&text, GIVEN).unwrap();
    assert_eq!(by_default.slices.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["plan"]);
    let refused = rows(&text, &format!("{GIVEN}[slices]\nby = [\"y\"]\n")).unwrap_err().to_string();
    assert!(refused.contains("\"vip\", \"plan\""), "{refused}");
}

#[test]
fn users_that_a_given_split_tears_apart_are_counted() {
    let torn = |prepared: &Prepared| {
        let counts = prepared.facts.counts.iter();
        counts
            .filter(|(told, _)| told.starts_with("users with rows in several"))
            .map(|(_, n)| *n)
            .sum()
    };
    let apart: u64 = torn(&rows(&table(|row| format!("u{row}")), GIVEN).unwrap());
    let shared: u64 = torn(&rows(&table(|row| format!("u{}", row / 2)), GIVEN).unwrap());
    assert_eq!((apart, shared), (0, 15));
}

#[test]
fn a_cell_that_does_not_fit_is_named_by_line_and_text() {
    let text = table(|row| format!("u{row}")).replacen("test", "tset", 1);
    let message = rows(&text, GIVEN).unwrap_err().to_string();
    assert!(message.contains("t.csv:4: column \"part\" holds \"tset\""), "{message}");
    let weighted = rows(&table(|row| format!("u{row}")), "weight = \"vip\"\n");
    let message = weighted.unwrap_err().to_string();
    assert!(message.contains("column \"vip\" holds \"nothing\", expected a number"), "{message}");
}
