//! Tuned parameters in the text of a job: every other line, order and comment stays.

use std::path::Path;

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::TuneError;
use crate::job::LearnerSection;

/// The text of a job with the parameters of `section` in its `[learner]`; a comment beside a value stays.
///
/// # Errors
/// [`TuneError::Edit`] if the text is no TOML, or `learner` no table.
pub fn job_with(text: &str, path: &Path, section: &LearnerSection) -> Result<String, TuneError> {
    let edit = |reason: String| TuneError::Edit { path: path.to_owned(), reason };
    let mut document: DocumentMut = text.parse().map_err(|error| edit(format!("{error}")))?;
    let wanted = toml::Table::try_from(section).map_err(|error| edit(error.to_string()))?;
    let learner = document.entry("learner").or_insert_with(toml_edit::table);
    let learner =
        learner.as_table_like_mut().ok_or_else(|| edit("learner is no table".to_owned()))?;
    for (key, value) in &wanted {
        if let Some(value) = scalar(value) {
            put(learner, key, value);
        }
    }
    Ok(document.to_string())
}

/// What is searched are numbers and words; the rest of a section is as it was.
fn scalar(value: &toml::Value) -> Option<Value> {
    match value {
        toml::Value::String(text) => Some(text.as_str().into()),
        toml::Value::Integer(number) => Some((*number).into()),
        toml::Value::Float(number) => Some((*number).into()),
        _ => None,
    }
}

fn put(table: &mut dyn TableLike, key: &str, mut value: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        // as it was written, if it says the same
        Some(old) if is_same(old, &value) => {}
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

fn is_same(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Integer(number) => Some(*number.value() as f64),
        Value::Float(number) => Some(*number.value()),
        _ => None,
    };
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.value() == b.value(),
        _ => number(a).is_some() && number(a) == number(b),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::job::{Job, LearnerKind, OrAuto};

    const JOB: &str = r#"# A job.
model = "m"   # its name
task = "churn"

[events]
files = ["a.jsonl"]

[learner]
kind = "boosting"
# small steps
learning_rate = 0.02         # of the cross-validation
leaves = 4
objective = "logistic"

[[segments]]
name = "all"
when = "true"
"#;

    fn section() -> LearnerSection {
        LearnerSection {
            kind: LearnerKind::Boosting,
            learning_rate: Some(OrAuto::Fixed(0.031)),
            leaves: Some(OrAuto::Fixed(4)),
            rounds: Some(2000),
            l2: Some(0.5),
            ..LearnerSection::default()
        }
    }

    #[test]
    fn only_the_parameters_change() {
        let path = Path::new("job.toml");
        let text = job_with(JOB, path, &section()).unwrap();
        let expected = JOB
            .replace("0.02  ", "0.031  ")
            .replace("\"logistic\"\n", "\"logistic\"\nl2 = 0.5\nrounds = 2000\n");
        assert_eq!(text, expected);
        let job = Job::parse(&text, path, PathBuf::new()).unwrap();
        let before = Job::parse(JOB, path, PathBuf::new()).unwrap();
        assert_eq!(
            job.learner,
            LearnerSection { objective: before.learner.objective, ..section() }
        );
        assert_eq!(job.segments, before.segments);
        assert_eq!(job_with(&text, path, &section()).unwrap(), text);
    }

    #[test]
    fn a_job_without_a_learner_gets_one() {
        let text = JOB.split("[learner]").next().unwrap();
        let segments = "[[segments]]\nname = \"all\"\nwhen = \"true\"\n";
        for text in [
            text.to_owned(),
            format!("{text}{segments}"),
            text.replace("[events]", "learner = {}\n[events]"),
        ] {
            let edited = job_with(&text, Path::new("job.toml"), &section()).unwrap();
            let job = Job::parse(&edited, Path::new("job.toml"), PathBuf::new()).unwrap();
            assert_eq!(job.learner, section(), "{edited}");
        }
        let refused = job_with("learner = 3\n", Path::new("job.toml"), &section());
        assert!(matches!(refused, Err(TuneError::Edit { .. })));
    }
}
