use std::io::Write as _;

use segue_events::SourceFormat;

use super::*;
use crate::job::{Job, Task};
use crate::train::{TrainOptions, train};
use crate::watch::Quiet;

fn job_of(text: &str, folder: &Path) -> Job {
    Job::parse(text, Path::new("job.toml"), folder.to_owned()).unwrap()
}

/// Runs the job that the profile gives for its best task.
fn runs(profile: &LogProfile) -> f64 {
    let text = job_text(profile, &InitOptions::default()).unwrap();
    let mut job = job_of(&text, &profile.folder);
    job.compare.learners.clear();
    job.learner.rounds = Some(20);
    let options =
        TrainOptions { n_threads: 1, created_by: "test".into(), ..TrainOptions::default() };
    let trained = train(&job, &options, &Quiet).unwrap();
    assert!(trained.draft.files.contains_key("model.bin"));
    trained.preflight.train.iter().sum::<usize>() as f64
}

fn write(folder: &Path, name: &str, text: &str) -> Vec<String> {
    std::fs::File::create(folder.join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    vec![name.to_owned()]
}

fn task(profile: &LogProfile, task: Task) -> &TaskProfile {
    profile.tasks.iter().find(|profile| profile.task == task).unwrap()
}

#[test]
fn the_sample_gives_a_job_that_trains() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample");
    let profile = profile(&["events.jsonl.gz".to_owned()], &folder, None, &Quiet).unwrap();
    assert_eq!(profile.source.format, SourceFormat::Segment);
    assert_eq!((profile.n_users, profile.first_day.as_str()), (200, "2025-01-06"));
    let role = |role: &str| {
        let found = profile.roles.iter().find(|candidate| candidate.role == role);
        found.map(|candidate| candidate.events.join(", ")).unwrap_or_default()
    };
    assert_eq!(role("conversion"), "Plan Upgraded");
    assert_eq!(role("support_request"), "Support Ticket Opened");
    assert!(role("onboarding_step").contains("Data Connected"), "{}", role("onboarding_step"));
    assert!(task(&profile, Task::Churn).setup.is_some(), "{profile}");
    assert!(runs(&profile) > 50.0);
    let shown = profile.to_string();
    assert!(shown.contains("* the one that the job asks"), "{shown}");
    assert!(serde_json::to_value(&profile).unwrap()["tasks"].is_array());
}

/// A shop: who buys with a coupon comes back. Times are unix milliseconds.
fn shop(n_users: u64) -> String {
    let mut csv = String::from("customer_id,action,time_ms,amount,sid\n");
    let day_ms = 86_400_000;
    for user in 0..n_users {
        let start = 1_700_000_000_000 + user * day_ms / 4;
        let is_loyal = user * 7 % 10 < 5;
        let n = if is_loyal { 30 } else { 3 };
        for nth in 0..n {
            let at = start + nth * (2 * day_ms + 7_919 * user);
            let (action, amount) = if nth % 5 == 4 {
                ("purchase", format!("{}.5", 10 + user % 7))
            } else {
                (["browse", "search", "compare"][(nth % 3) as usize], String::new())
            };
            csv.push_str(&format!("c{user},{action},{at},{amount},s{user}-{}\n", nth / 3));
        }
    }
    csv
}

#[test]
fn plain_columns_are_found_and_their_job_trains() {
    let folder = tempfile::tempdir().unwrap();
    let files = write(folder.path(), "shop.csv", &shop(600));
    let profile = profile(&files, folder.path(), None, &Quiet).unwrap();
    let columns = profile.source.columns.clone().unwrap();
    assert_eq!(columns.user.as_deref(), Some("customer_id"));
    assert_eq!(columns.event.as_deref(), Some("action"));
    assert_eq!(columns.time.as_deref(), Some("time_ms"));
    assert_eq!(columns.time_unit, Some(segue_events::TimeUnit::Milliseconds));
    assert_eq!(columns.session, None, "sid is no name that means a session for sure");
    assert_eq!(profile.source.lateness, Span::days(0), "nothing says when events were received");
    assert_eq!(profile.values[0].property, "amount");
    let value = task(&profile, Task::LifetimeValue);
    assert_eq!(value.events.as_deref(), Some("conversion"));
    assert!(value.setup.is_some(), "{}", value.why);
    assert!(runs(&profile) > 100.0);
}

#[test]
fn every_possible_task_reads_as_a_job() {
    let folder = tempfile::tempdir().unwrap();
    let files = write(folder.path(), "shop.csv", &shop(400));
    let mut profile = profile(&files, folder.path(), None, &Quiet).unwrap();
    let mut n_possible = 0;
    for at in 0..profile.tasks.len() {
        if profile.tasks[at].setup.is_none() {
            continue;
        }
        profile.best = Some(at);
        let text = job_text(&profile, &InitOptions::default()).unwrap();
        let job = job_of(&text, folder.path());
        assert_eq!(job.task, profile.tasks[at].task);
        let again = job_of(&job.to_toml(), folder.path());
        assert_eq!(again.to_toml(), job.to_toml());
        n_possible += 1;
        others_read(&text, &profile, folder.path());
    }
    assert!(n_possible >= 3, "{profile}");
    profile.best = None;
    let error = job_text(&profile, &InitOptions::default()).unwrap_err().to_string();
    assert!(
        error.starts_with("nothing can be predicted") && error.contains("support_need: "),
        "{error}"
    );
}

/// Each commented task, taken out of its comment, is a job beside the log's own sections.
fn others_read(text: &str, profile: &LogProfile, folder: &Path) {
    let source = toml::Value::try_from(&profile.source).unwrap();
    let events = toml::to_string(&toml::Table::from_iter([("events".to_owned(), source)])).unwrap();
    let blocks: Vec<&str> = text.split("# ---- ").skip(1).collect();
    assert_eq!(blocks.len(), profile.tasks.iter().filter(|task| task.setup.is_some()).count() - 1);
    for block in blocks {
        let lines = block.lines().skip(1).take_while(|line| line.starts_with("# "));
        let lines: Vec<&str> = lines.map(|line| &line[2..]).collect();
        let job = job_of(&format!("model = \"m\"\n{}\n{events}", lines.join("\n")), folder);
        assert!(block.starts_with(job.task.name()), "{block}");
    }
}

#[test]
fn a_job_elsewhere_finds_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("jobs/mine")).unwrap();
    let files = write(folder.path(), "shop.csv", &shop(400));
    let profile = profile(&files, folder.path(), None, &Quiet).unwrap();
    for (job_folder, expected) in [
        (folder.path().join("."), "shop.csv".to_owned()),
        (folder.path().join("jobs/mine"), "../../shop.csv".to_owned()),
        (
            std::path::PathBuf::from("/elsewhere"),
            folder.path().join("shop.csv").display().to_string(),
        ),
    ] {
        let options = InitOptions { model: Some("mine".into()), job_folder: Some(job_folder) };
        let job = job_of(&job_text(&profile, &options).unwrap(), folder.path());
        assert_eq!(job.model, "mine");
        let crate::job::Origin::Events(events) = &job.origin else { panic!("events") };
        assert_eq!(events.source.files, [expected]);
    }
}

#[test]
fn marks_tell_whose_export_it_is() {
    let lines = [
        (
            SourceFormat::Segment,
            r#"{"type":"track","event":"a","messageId":"1","userId":"u","timestamp":"2025-01-01T00:00:00Z"}"#,
        ),
        (
            SourceFormat::Amplitude,
            r#"{"event_type":"a","$insert_id":"1","user_id":"u","event_time":"2025-01-01 00:00:00"}"#,
        ),
        (
            SourceFormat::Mixpanel,
            r#"{"event":"a","properties":{"distinct_id":"u","time":1735689600}}"#,
        ),
        (
            SourceFormat::PostHog,
            r#"{"uuid":"1","event":"a","distinct_id":"u","timestamp":"2025-01-01T00:00:00Z","properties":{"x":1}}"#,
        ),
        (SourceFormat::Plain, r#"{"user":"u","event":"a","when":{"date":"2025-01-01"}}"#),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (format, line) in lines {
        let files = write(folder.path(), "one.jsonl", &format!("{line}\nnot json\n"));
        let sample =
            sample::Sample::read(&folder.path().join(&files[0]), sample::MAX_RECORDS).unwrap();
        let sniffed = sniff::sniff(&files, &sample, None).unwrap();
        assert_eq!(sniffed.section.format, format);
        if format == SourceFormat::Plain {
            let columns = sniffed.section.columns.unwrap();
            assert_eq!(columns.time.as_deref(), Some("when.date"));
            assert_eq!(columns.user.as_deref(), Some("user"));
        }
    }
}

#[test]
fn rows_without_a_name_or_total_are_purchases_with_revenue() {
    let folder = tempfile::tempdir().unwrap();
    let text = "Invoice,Customer ID,InvoiceDate,Quantity,UnitPrice\n\
                1,7,2010-12-01T08:26:00,6,2.55\n2,7,2010-12-02T08:26:00,1,3.39\n3,8,2010-12-03 09:00:00,2,1\n";
    let files = write(folder.path(), "retail.csv", text);
    let sample =
        sample::Sample::read(&folder.path().join("retail.csv"), sample::MAX_RECORDS).unwrap();
    let section = sniff::sniff(&files, &sample, None).unwrap().section;
    let columns = section.columns.unwrap();
    assert_eq!(columns.event_name.as_deref(), Some("purchase"));
    assert_eq!(columns.user.as_deref(), Some("Customer ID"));
    assert_eq!((columns.time.as_deref(), columns.time_unit), (Some("InvoiceDate"), None));
    assert_eq!(section.derive["revenue"], "Quantity * UnitPrice");
}

#[test]
fn dates_tell_whether_the_month_or_the_day_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let columns = |dates: &[&str], time_format: Option<&str>| {
        let rows: String = dates.iter().map(|date| format!("u,{date},1\n")).collect();
        let files = write(folder.path(), "dates.csv", &format!("user,date,n\n{rows}"));
        let path = folder.path().join("dates.csv");
        let sample = sample::Sample::read(&path, 2).unwrap();
        sniff::sniff(&files, &sample, time_format).map(|it| it.section.columns.unwrap())
    };
    let format = |dates: &[&str]| columns(dates, None).unwrap().time_format.unwrap();
    assert_eq!(format(&["12/1/2010 8:26", "12/13/2010 9:00"]), "%m/%d/%Y %H:%M");
    assert_eq!(format(&["1/12/2010 8:26", "13/12/2010 9:00"]), "%d/%m/%Y %H:%M");
    assert_eq!(format(&["1.12.2010", "13.12.2010"]), "%d.%m.%Y");
    assert_eq!(format(&["2010/12/01 08:26:00", "2010/12/02 08:26:00"]), "%Y/%m/%d %H:%M:%S");
    assert_eq!(format(&["12/1/10 8:26 PM", "12/31/10 9:00 AM"]), "%m/%d/%y %I:%M %p");
    // the first two leave it open, a later one does not
    assert_eq!(format(&["12/1/2010 8:26", "12/2/2010 8:26", "12/13/2010 9:00"]), "%m/%d/%Y %H:%M");
    let open = ["12/1/2010 8:26", "12/2/2010 8:26"];
    let error = columns(&open, None).unwrap_err().to_string();
    for part in ["\"date\"", "12/1/2010 8:26", "--time-format \"%d/%m/%Y %H:%M\""] {
        assert!(error.contains(part), "{error}");
    }
    let told = columns(&open, Some("%d/%m/%Y %H:%M")).unwrap();
    assert_eq!(told.time_format.as_deref(), Some("%d/%m/%Y %H:%M"));
    assert!(columns(&open, Some("%Y")).is_err());
}

#[test]
fn a_file_without_times_or_users_says_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |text: &str| {
        let files = write(folder.path(), "bad.csv", text);
        profile(&files, folder.path(), None, &Quiet).unwrap_err().to_string()
    };
    let error = fails("user_id,event,amount\nu,a,3\nv,b,4\n");
    assert!(error.contains("no column looks like the time of an event"), "{error}");
    assert!(
        error.contains("amount (such as 3)") && error.contains("events.columns.time"),
        "{error}"
    );
    let error = fails("what,ts\na,2025-01-01T00:00:00Z\n");
    assert!(
        error.contains("the user of an event") && error.contains("what (such as \"a\")"),
        "{error}"
    );
    let error = fails("user_id,event,ts\n");
    assert!(error.ends_with("bad.csv: holds no record"), "{error}");
}

#[test]
fn gaps_are_whole_days_without_events() {
    let folder = tempfile::tempdir().unwrap();
    let days = ["2025-01-01", "2025-01-02", "2025-01-05", "2025-01-06", "2025-01-08"];
    let rows: String = days.iter().map(|day| format!("u,a,{day}T12:00:00Z\n")).collect();
    let files = write(folder.path(), "gaps.csv", &format!("user,event,ts\n{rows}"));
    let profile = profile(&files, folder.path(), None, &Quiet).unwrap();
    let gaps: Vec<_> = profile.gaps.iter().map(|gap| (gap.first.as_str(), gap.n_days)).collect();
    assert_eq!(gaps, [("2025-01-03", 2), ("2025-01-07", 1)]);
    assert_eq!(profile.gaps[0].last, "2025-01-04");
    assert_eq!(profile.best, None, "one user is nothing to learn from");
}
