use super::*;

fn parse(text: &str) -> Result<Job, JobError> {
    Job::parse(text, Path::new("churn.toml"), PathBuf::from("jobs"))
}

/// The message of a job that must not be taken.
fn refused(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("must be refused:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// A job on events with more lines, which may begin with keys of the top level.
fn events(task: &str, more: &str) -> String {
    format!("model = \"m\"\ntask = \"{task}\"\n[events]\nfiles = [\"a.jsonl\"]\n{more}")
}

fn table(more: &str) -> String {
    format!("model = \"m\"\ntask = \"churn\"\n[table]\nfile = \"a.csv\"\nlabel = \"y\"\n{more}")
}

const TASKS: [&str; 6] =
    ["churn", "support_need", "conversion", "adoption", "lifetime_value", "needs_help_at"];

#[test]
fn every_default_reads_back() {
    let kinds = ["boosting", "forest", "linfa_tree", "smartcore_forest"];
    for task in TASKS {
        for kind in kinds {
            let label = if task == "adoption" {
                "[label]\nevents = \"Report, exported (beta)\"\n"
            } else {
                ""
            };
            let job =
                parse(&events(task, &format!("{label}[learner]\nkind = \"{kind}\"\n"))).unwrap();
            let text = job.to_toml();
            let again = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(again.to_toml(), text, "{task}, {kind}");
            assert_eq!((again.task, again.learner.kind), (job.task, job.learner.kind));
        }
    }
    let job = parse(&table("")).unwrap().to_toml();
    assert_eq!(parse(&job).unwrap().to_toml(), job);
}

#[test]
fn every_bound_of_a_job_is_one_of_its_versions() {
    use segue_registry::{GateMetric, GatePolicy, NewFeatures};
    let more = r#"
[gates]
max_calibration_error = 0.1
metric = "brier"
non_inferiority_margin = 0.2
confidence = 0.9
min_slice_auc = 0.6
max_slice_drop = 0.3
min_slice_rows = 7
new_features = "forbid"
distinct_approver = true
min_shadow_rows = 1000
max_shadow_flip_rate = 0.02
"#;
    let job = parse(&events("churn", more)).unwrap();
    let expected = GatePolicy {
        max_calibration_error: 0.1,
        metric: Some(GateMetric::Brier),
        margin: 0.2,
        confidence: 0.9,
        slice_min_auc: 0.6,
        slice_max_drop: 0.3,
        slice_min_rows: 7,
        new_features: NewFeatures::Forbid,
        distinct_approver: true,
        min_shadow_rows: 1000,
        max_shadow_flip_rate: Some(0.02),
        ..GatePolicy::default()
    };
    assert_eq!(job.gates.policy(), expected);
    let again = parse(&job.to_toml()).unwrap();
    assert_eq!(again.gates, job.gates);
    let without = GatePolicy { margin: 0.01, ..GatePolicy::default() };
    assert_eq!(parse(&events("churn", "")).unwrap().gates.policy(), without);
}

#[test]
fn every_key_of_a_learner_is_documented() {
    let text = include_str!("../../../../jobs/README.md");
    let sections: Vec<&str> = text.split("\n### ").collect();
    for kind in [
        LearnerKind::Boosting,
        LearnerKind::Forest,
        LearnerKind::LinfaTree,
        LearnerKind::SmartcoreForest,
    ] {
        let is_of = |section: &&&str| {
            section.lines().next().is_some_and(|line| line.contains(&format!("`{}`", kind.name())))
        };
        let section = sections.iter().find(is_of).unwrap();
        let heads = section.lines().filter_map(|line| line.strip_prefix("| ")?.split('|').next());
        let heads: Vec<&str> = heads.collect();
        for key in kind.keys() {
            let listed = heads.iter().any(|head| head.contains(&format!("`{key}`")));
            assert!(listed, "{key} of {} is not in jobs/README.md", kind.name());
        }
    }
}

#[test]
fn what_is_written_reads_back() {
    let more = r#"
format = "plain"
derive = { revenue = "quantity * price" }
lateness = "2d"
[events.columns]
user = "u"
event = "e"
time = "t"
time_unit = "seconds"
[roles]
help_visit = ["wiki/*", "say \"help\""]
[features]
auto = false
[[features.grid]]
events = ["help_visit"]
windows = ["7d"]
ops = ["count"]
[label]
kind = "occurs"
events = "conversion"
gap = "1d"
window = "2w"
[eligibility]
when = ""
[split]
by = "user"
embargo = "12h"
[learner]
rounds = 7
positive_weight = 2.0
[slices]
by = []
[[segments]]
name = "a\nb"
when = "score >= 0.5"
"#;
    for spine in [
        "at = \"grid\"\nevery = \"12h\"\nmax_rows_per_user = 2",
        "at = \"at_event\"\nevent = \"name:a:b\"",
        "at = \"table\"\nfile = \"s.csv\"\nuser = \"u\"\ntime = \"t\"\noffset = \"6d\"",
        "offset = \"3d\"\nevent = \"signup\"",
    ] {
        let job = parse(&events("churn", &format!("{more}[spine]\n{spine}\n"))).unwrap();
        let text = job.to_toml();
        let again = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(again.to_toml(), text);
        let (Origin::Events(first), Origin::Events(second)) = (&job.origin, &again.origin) else {
            panic!("both start from events")
        };
        assert_eq!((&first.spine, &first.label), (&second.spine, &second.label));
        assert_eq!(first.eligibility, None, "an empty condition asks everyone");
        assert_eq!((&first.source, &first.roles), (&second.source, &second.roles));
        assert_eq!(job.segments, again.segments);
    }
}

#[test]
fn tasks_bring_their_defaults() {
    let of = |task: &str| {
        let label = if task == "adoption" { "[label]\nevents = \"Report\"\n" } else { "" };
        match parse(&events(task, label)).unwrap().origin {
            Origin::Events(events) => (events.label, events.eligibility),
            Origin::Table(_) => panic!("starts from events"),
        }
    };
    let (label, when) = of("churn");
    assert_eq!((label.kind, label.window), (LabelKind::Absent, Span::days(28)));
    assert_eq!(when.as_deref(), Some("count(*, 30d) >= 1"));
    assert_eq!(of("adoption").1.as_deref(), Some("count(Report, lifetime) == 0"));
    let (label, when) = of("lifetime_value");
    assert_eq!((label.value.as_deref(), when), (Some("revenue"), None));
    assert_eq!(of("needs_help_at").0.steps.as_deref(), Some("onboarding_step"));
}

#[test]
fn event_names_stay_whole_in_conditions() {
    let roles = RoleMap::well_known();
    for name in ["Report Exported", "Report, exported (beta)", "say \"a=b\"", "it's, fine"] {
        let label = format!("[label]\nevents = {}\n", toml::Value::from(name));
        let Origin::Events(events) = parse(&events("adoption", &label)).unwrap().origin else {
            panic!("starts from events")
        };
        let when = events.eligibility.unwrap();
        assert!(segue_features::Condition::parse(&when, &roles).is_ok(), "{when}");
    }
}

#[test]
fn unknown_keys_name_line_section_and_the_nearest() {
    for (text, expected) in [
        (
            events("churn", "[label]\nwindw = \"7d\"\n"),
            "churn.toml:6: unknown key \"windw\" in [label]; did you mean \"window\"?",
        ),
        (
            events("churn", "latenes = \"7d\"\n"),
            "churn.toml:5: unknown key \"latenes\" in [events]; did you mean \"lateness\"?",
        ),
        (
            events("churn", "[lable]\nwindow = \"7d\"\n"),
            "churn.toml:5: unknown key \"lable\"; did you mean \"label\"?",
        ),
        (
            format!("modle = \"m\"\n{}", events("churn", "")),
            "churn.toml:1: unknown key \"modle\"; did you mean \"model\"?",
        ),
        (
            events("churn", "[[segments]]\nname = \"a\"\nwhen = \"true\"\nif = 1\n"),
            "churn.toml:8: unknown key \"if\" in [segments]; ",
        ),
        (
            events("churm", ""),
            "churn.toml:2: unknown value \"churm\" of task; did you mean \"churn\"?",
        ),
        (
            events("churn", "[learner]\nkind = \"boost\"\n"),
            "churn.toml:6: unknown value \"boost\" of kind in [learner]; ",
        ),
        (
            events("churn", "[events.columns]\nuzer = \"u\"\n"),
            "churn.toml:6: unknown key \"uzer\" in [events.columns]; did you mean \"user\"?",
        ),
    ] {
        let message = refused(&text);
        assert!(message.starts_with(expected), "{message}\nexpected {expected}");
    }
    let message = refused(&events("churn", "[gates]\ncolour = 1\n"));
    assert!(message.contains("known here: max_calibration_error, metric, "), "{message}");
    assert!(message.ends_with(", min_shadow_rows, max_shadow_flip_rate"), "{message}");
}

#[test]
fn bad_values_name_line_and_section() {
    let message = refused(&events("churn", "[label]\nwindow = \"7 years\"\n"));
    assert!(message.starts_with("churn.toml:6: \"7 years\" is not a length of time"), "{message}");
    assert!(message.contains("such as \"7d\"") && message.ends_with(" in [label]"), "{message}");
    let message = refused(&events("churn", "[spine]\noffset = \"-1d\"\n"));
    assert!(message.starts_with("churn.toml:6: \"-1d\" is negative"), "{message}");
    let message = refused(&events("churn", "[split]\ntest = \"much\"\n"));
    assert!(message.starts_with("churn.toml:6: invalid type: string \"much\""), "{message}");
    let message = refused("model = \"m\"\ntask = churn\n");
    assert!(message.starts_with("churn.toml:2: "), "{message}");
    let message = refused("task = \"churn\"\n[events]\nfiles = [\"a\"]\n");
    assert!(message.contains("missing field `model`"), "{message}");
}

#[test]
fn impossible_windows_are_refused() {
    for (more, expected) in [
        ("[label]\nwindow = \"0d\"\n", "churn.toml: label.window: is empty"),
        (
            "[spine]\nat = \"grid\"\nevery = \"0h\"\n",
            "churn.toml: spine.every: must be longer than nothing",
        ),
        ("[label]\nwindow = \"20000d\"\n", "churn.toml: label.window: "),
        ("[label]\ngap = \"20000d\"\n", "churn.toml: label.gap: "),
        ("[events.columns]\n", "churn.toml: events.columns: "),
        (
            "[spine]\nat = \"grid\"\nmax_rows_per_user = 0\n",
            "churn.toml: spine.max_rows_per_user: ",
        ),
    ] {
        let message = refused(&events("churn", more));
        assert!(message.starts_with(expected), "{message}\nexpected {expected}");
    }
}

#[test]
fn contradictions_name_both_sides() {
    for (text, expected) in [
        (
            events("churn", "[table]\nfile = \"a.csv\"\nlabel = \"y\"\n"),
            "[events] and [table]: a job starts from raw events or from a ready-made table",
        ),
        ("model = \"m\"\ntask = \"churn\"\n".to_owned(), "[events]: a job needs [events]"),
        (table("[spine]\nat = \"grid\"\n"), "[spine]: means nothing beside [table]"),
        (table("[roles]\nhelp = [\"a\"]\n"), "[roles]: means nothing beside [table]"),
        (table("[eligibility]\nwhen = \"\"\n"), "[eligibility]: means nothing beside [table]"),
        (
            events("churn", "[learner]\ntrees = 9\n"),
            "learner.trees: learner \"boosting\" has no such parameter",
        ),
        (
            events("churn", "[learner]\nkind = \"forest\"\nleaves = 9\n"),
            "learner.leaves: learner \"forest\" has no such parameter",
        ),
        (
            events("churn", "[spine]\nevery = \"7d\"\n"),
            "spine.every: means nothing for a spine at \"after_start\", which has offset, event",
        ),
        (
            events("churn", "[spine]\nat = \"grid\"\noffset = \"7d\"\n"),
            "spine.offset: means nothing for a spine at \"grid\", which has every, max_rows_per_user",
        ),
        (
            events("churn", "[spine]\nat = \"at_event\"\n"),
            "spine.event: a spine at \"at_event\" needs it",
        ),
        (events("churn", "[label]\nvalue = \"x\"\n"), "label.value: only labels of kind \"sum\""),
        (events("churn", "[label]\nsteps = \"x\"\n"), "label.steps: only labels of kind \"step\""),
        (
            events("churn", "[label]\nkind = \"sum\"\n"),
            "label.kind: \"sum\" gives a number, task \"churn\" asks for a yes or no",
        ),
        (
            events("churn", "[learner]\nobjective = \"poisson\"\n"),
            "learner.objective: \"poisson\" predicts a number, task \"churn\" asks for a yes or no; take logistic or focal",
        ),
        (
            events("lifetime_value", "[learner]\nobjective = \"logistic\"\n"),
            "learner.objective: \"logistic\" predicts a yes or no, task \"lifetime_value\" asks for a number; take squared, absolute",
        ),
        (
            events("lifetime_value", "[learner]\nobjective = \"quantile\"\n"),
            "learner.alpha: objective \"quantile\" needs it",
        ),
        (
            events("lifetime_value", "[learner]\nobjective = \"tweedie\"\nalpha = 0.5\n"),
            "learner.alpha: belongs to objective \"quantile\" or \"focal\", this one is \"tweedie\"",
        ),
        (
            events("lifetime_value", "[learner]\npositive_weight = 2.0\n"),
            "learner.positive_weight: task \"lifetime_value\" asks for a number, which has no positives",
        ),
        (
            table("positive = \"Yes\"\n").replace("churn", "lifetime_value"),
            "table.positive: says which label counts as 1, but task \"lifetime_value\" asks for a number",
        ),
        (events("adoption", ""), "label.events: task \"adoption\" needs the event or role"),
        (
            events("churn", "[split]\ncalibrate = 0.6\ntest = 0.4\n"),
            "split.calibrate and split.test: 0.6 and 0.4 must be above 0",
        ),
        (events("churn", "[roles]\nhelp = [\"[a\"]\n"), "[roles]: roles.help: `[a` is not a glob"),
        (events("churn", "[roles]\nhelp = []\n"), "[roles]: roles.help: no event names"),
        (
            "model = \"m\"\ntask = \"churn\"\n[events]\nfiles = []\n".to_owned(),
            "events.files: names no file",
        ),
        (events("churn", "format = \"plain\"\n"), "events.columns: format \"plain\" needs it"),
    ] {
        let message = refused(&text);
        assert!(
            message.starts_with(&format!("churn.toml: {expected}")),
            "{message}\nexpected {expected}"
        );
    }
}

#[test]
fn parameters_out_of_range_are_told_by_the_jobs_own_keys() {
    for (section, expected) in [
        ("[learner]\nrounds = 0", "learner.rounds: is 0, expected 1 to 1000000"),
        ("[learner]\nleaves = 1", "learner.leaves: is 1, expected 2 to 65536"),
        ("[learner]\nl2 = -1.0", "learner.l2: is -1, expected a finite number not below 0"),
        ("[learner]\npositive_weight = 0.0", "learner.positive_weight: is 0, expected "),
        ("[learner]\nkind = \"forest\"\ntrees = 0", "learner.trees: is 0, expected 1 to "),
        (
            "[learner]\nkind = \"forest\"\ncolumn_share = 2.0",
            "learner.column_share: is 2, expected a share above 0, at most 1",
        ),
        ("[learner]\ncat_smooth = -1.0", "learner.cat_smooth: is -1, expected a finite number"),
        ("[learner]\ncat_l2 = nan", "learner.cat_l2: is NaN, expected a finite number not below 0"),
        ("[learner]\nmax_cat_threshold = 0", "learner.max_cat_threshold: is 0, expected 1 to 256"),
        (
            "[learner]\nmax_cat_to_onehot = 300",
            "learner.max_cat_to_onehot: is 300, expected 0 to 256",
        ),
        ("[learner]\nkind = \"forest\"\nmax_bins = 2", "learner.max_bins: is 2, expected 3 to 255"),
        (
            "[learner]\nkind = \"forest\"\nmin_gain = -1.0",
            "learner.min_gain: is -1, expected a finite number not below 0",
        ),
        (
            "[learner]\nkind = \"forest\"\nbootstrap = false\nout_of_bag = true",
            "learner.out_of_bag: contradicts learner.bootstrap: ",
        ),
        ("[learner]\nout_of_bag = true", "learner.out_of_bag: learner \"boosting\" has no such"),
        ("[compare]\nsample_rows = 1", "compare.sample_rows: is 1, expected 2 to "),
        ("[gates]\nmin_slice_auc = nan", "gates.min_slice_auc: is NaN, expected 0 to 1"),
        ("[gates]\nconfidence = 1.0", "gates.confidence: is 1, expected 0.5 to 0.9999"),
        (
            "[gates]\nmax_shadow_flip_rate = 2.0",
            "gates.max_shadow_flip_rate: is 2, expected 0 to 1",
        ),
        (
            "[gates]\nmetric = \"rmse\"",
            "gates.metric: is \"rmse\", which does not measure task \"churn\": it asks for a yes or no",
        ),
    ] {
        let message = refused(&events("churn", &format!("{section}\n")));
        assert!(message.starts_with(&format!("churn.toml: {expected}")), "{message}");
    }
    let value = |more: &str| events("lifetime_value", &format!("[learner]\n{more}\n"));
    let message = refused(&value("objective = \"tweedie\"\npower = 2.5"));
    assert!(
        message.starts_with("churn.toml: learner.power: is 2.5, expected a number"),
        "{message}"
    );
    let message = refused(&value("objective = \"quantile\"\nalpha = 1.0"));
    assert!(message.starts_with("churn.toml: learner.alpha: is 1, expected a number"), "{message}");
    let message = refused(&value("learning_rate = \"fast\""));
    assert!(
        message.contains("6: \"fast\" is neither a number nor \"auto\" in [learner]"),
        "{message}"
    );
}

#[test]
fn the_objective_and_the_rate_are_explained() {
    let explained = |task: &str, more: &str| parse(&events(task, more)).unwrap().to_toml();
    assert!(explained("churn", "").contains("objective = \"logistic\"\n"));
    assert!(explained("needs_help_at", "").contains("objective = \"softmax\"\n"));
    let text = explained("lifetime_value", "[learner]\nobjective = \"tweedie\"\n");
    assert!(text.contains("objective = \"tweedie\"\npower = 1.5\n"), "{text}");
    let text = explained("churn", "[learner]\nlearning_rate = \"auto\"\nleaves = \"auto\"\n");
    assert!(text.contains("learning_rate = \"auto\"\nleaves = \"auto\"\n"), "{text}");
    assert_eq!(parse(&text).unwrap().to_toml(), text);
}

#[test]
fn an_unreadable_job_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.toml");
    let message = Job::read(&path).unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot read job {}: ", path.display())), "{message}");
}
