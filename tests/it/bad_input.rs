//! Everything that people get wrong: the exit code a script can act on, a message a stranger can act on,
//! and nothing half-written.

use std::fs;
use std::path::Path;

use crate::small::small;
use crate::support::{Ran, Run, names_in, replaced, segue};
use crate::table::{JOB, rows, table};

/// The data or the job cannot be used.
const DATA: i32 = 65;

/// A job on a few simulated events.
const EVENTS_JOB: &str =
    "model = \"m\"\ntask = \"churn\"\n\n[events]\nfiles = [\"events.jsonl\"]\n";

/// A folder with `rows.csv`, `events.jsonl` and whatever a case writes into it.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("rows.csv"), rows()).unwrap();
        let events = fs::read_to_string(small().events()).unwrap();
        let few: String = events.lines().take(12_000).map(|line| format!("{line}\n")).collect();
        fs::write(folder.path().join("events.jsonl"), few).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        fs::write(self.path().join(name), text).unwrap();
        self
    }

    /// Runs in the folder; a failure must leave no file that was not there.
    fn fails(&self, args: &[&str], code: i32, says: &[&str]) -> Ran {
        let before = names_in(self.path());
        let ran = segue().args(args).current_dir(self.path()).ran();
        assert_eq!(ran.code, Some(code), "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout, "", "{args:?} failed and still printed a result");
        let error = ran.stderr.lines().find(|line| line.starts_with("error: "));
        let error = error.unwrap_or_else(|| panic!("{args:?}: no error line in {}", ran.stderr));
        for fragment in says {
            assert!(error.contains(fragment), "{args:?}: no {fragment:?} in\n{error}");
        }
        assert_eq!(names_in(self.path()), before, "{args:?} left something behind");
        ran
    }

    /// Trains the job `text`.
    fn job_fails(&self, text: &str, says: &[&str]) {
        self.write("job.toml", text);
        self.fails(&["train", "job.toml"], DATA, says);
    }
}

/// A change to a job, and what the answer must name.
type Change<'a> = (&'a str, &'a str, &'a [&'a str]);

#[test]
fn a_job_that_cannot_be_meant_is_refused_by_key_and_line() {
    let cases: [Change<'_>; 13] = [
        ("leaves = 4", "leafs = 4", &["job.toml:14", "\"leafs\"", "[learner]", "\"leaves\""]),
        ("[learner]", "[lerner]", &["job.toml:12", "\"lerner\"", "\"learner\""]),
        ("\"conversion\"", "\"konversion\"", &["job.toml:2", "\"konversion\"", "\"conversion\""]),
        ("rounds = 20", "rounds = \"many\"", &["job.toml:13", "many", "[learner]"]),
        ("rounds = 20", "rounds = = 20", &["job.toml:13"]),
        ("rounds = 20", "trees = 20", &["job.toml", "learner.trees", "boosting", "rounds"]),
        ("rounds = 20", "learning_rate = 7.0", &["learning_rate", "7", "at most 1"]),
        ("by = \"user\"", "test = 0.9\ncalibrate = 0.2", &["job.toml", "split", "0.9", "0.2"]),
        ("[compare]", "[label]\nwindow = \"7d\"\n\n[compare]", &["job.toml", "[label]", "[table]"]),
        ("[compare]", "[events]\nfiles = [\"x.jsonl\"]\n\n[compare]", &["[events]", "[table]"]),
        ("[compare]", "[slices]\nby = [\"plam\"]\n\n[compare]", &["slices.by", "plam", "plan"]),
        (
            "learners = []",
            "learners = [\"florest\"]",
            &["job.toml:17", "\"florest\"", "\"forest\""],
        ),
        ("model = \"table\"\n", "", &["job.toml", "model"]),
    ];
    let desk = Desk::new();
    for (from, to, says) in cases {
        desk.job_fails(&replaced(JOB, from, to), says);
    }
    desk.job_fails("model = \"m\"\ntask = \"churn\"\n", &["job.toml", "[events]", "[table]"]);
    desk.fails(&["train", "absent.toml"], DATA, &["absent.toml", "cannot read job"]);
}

#[test]
fn a_job_on_events_that_cannot_be_meant_is_refused_by_key() {
    let cases: [(&str, &[&str]); 12] = [
        ("[features]\nwindow = \"7d\"", &["job.toml:7", "[features]", "[[features.feature]]"]),
        ("[label]\nwindow = \"seven days\"", &["job.toml:8", "seven days", "\"7d\"", "[label]"]),
        ("[label]\nwindow = \"0d\"", &["job.toml", "label.window"]),
        ("[label]\nwindow = \"900d\"", &["no row is left", "label window", "label.window"]),
        (
            "[label]\nkind = \"occurs\"\nevents = \"Plan Upgrade\"\nwindow = \"1d\"",
            &["label", "\"Plan Upgrade\""],
        ),
        ("[spine]\nat = \"at_event\"", &["job.toml", "spine.event"]),
        ("[features]\nautomatic = true", &["job.toml:", "\"automatic\""]),
        (
            "[[features.feature]]\nname = \"x\"\nop = \"cuont\"\nevents = \"*\"\nwindow = \"7d\"",
            &["job.toml", "\"x\"", "\"cuont\"", "\"count\""],
        ),
        (
            "[[features.feature]]\nname = \"x\"\nop = \"count\"\nevents = \"*\"\nwindow = \"91d\"",
            &["\"x\"", "window", "91d"],
        ),
        ("[eligibility]\nwhen = \"count(conversion, lifetime) = 0\"", &["29", "\"=\"", "=="]),
        ("[roles]\nhelp_visit = [\"[bad\"]", &["job.toml", "roles.help_visit", "[bad"]),
        ("[events.columns]\nuser = \"u\"\nevnt = \"e\"", &["job.toml:9", "evnt", "event"]),
    ];
    let desk = Desk::new();
    for (section, says) in cases {
        desk.job_fails(&format!("{EVENTS_JOB}\n{section}\n"), says);
    }
}

#[test]
fn a_table_that_does_not_fit_the_job_is_refused_by_column_and_line() {
    let desk = Desk::new();
    let few: String = rows().lines().take(60).map(|line| format!("{line}\n")).collect();
    let with_line = |line: &str| {
        let (head, rest) = few.split_once("u0002,").unwrap();
        format!("{head}{line}\nu0002,{rest}")
    };
    desk.write("few.csv", &few);
    desk.write("long.csv", &with_line("u9999,1,free,0.5,1,extra"));
    desk.write("short.csv", &with_line("u9999,1,free"));
    desk.write("empty.csv", "");
    let cases: [Change<'_>; 7] = [
        ("rows.csv", "nowhere.csv", &["nowhere.csv", "No such file"]),
        ("rows.csv", "rows.xlsx", &["rows.xlsx", ".parquet"]),
        (
            "label = \"label\"",
            "label = \"lable\"",
            &["rows.csv", "\"lable\"", "table.label", "label, "],
        ),
        (
            "label = \"label\"",
            "label = \"visits\"",
            &["table.label", "\"visits\"", "table.positive"],
        ),
        ("rows.csv", "few.csv", &["\"0\"", "\"1\"", "50", "preflight.min_rows_per_class"]),
        ("rows.csv", "long.csv", &["long.csv"]),
        ("rows.csv", "empty.csv", &["empty.csv"]),
    ];
    for (from, to, says) in cases {
        desk.job_fails(&replaced(JOB, from, to), says);
    }
    desk.job_fails(
        &replaced(JOB, "rows.csv", "short.csv"),
        &["short.csv", "line: ", "found record with 3 fields"],
    );
}

#[test]
fn event_files_that_cannot_be_read_stop_the_job() {
    let desk = Desk::new();
    desk.write("text.jsonl", &"this is no JSON\n".repeat(20));
    desk.write("events.txt", "{}\n");
    desk.write("plain.csv", "who,what,when\nann,visit,2025-01-01T00:00:00Z\n");
    desk.write("when.csv", "who,what,when\nann,visit,yesterday\nann,visit,tomorrow\n");
    desk.write("torn.parquet", "PAR1 and nothing else");
    desk.write("torn.jsonl.gz", "not gzip");
    let with_files = |file: &str| EVENTS_JOB.replace("events.jsonl", file);
    let plain = |file: &str, user: &str| {
        let columns =
            format!("[events.columns]\nuser = \"{user}\"\nevent = \"what\"\ntime = \"when\"\n");
        format!("{}format = \"plain\"\n\n{columns}", with_files(file))
    };
    let cases: [(String, &[&str]); 8] = [
        (with_files("nothing-*.jsonl"), &["\"nothing-*.jsonl\"", "files"]),
        (with_files("text.jsonl"), &["text.jsonl:1", "JSON"]),
        (with_files("events.txt"), &["events.txt", ".jsonl", ".parquet"]),
        (plain("plain.csv", "uid"), &["plain.csv:1", "\"uid\"", "who, what, when"]),
        (plain("when.csv", "who"), &["when.csv:2", "yesterday", "2026-01-31T13:45:00Z"]),
        (with_files("plain.csv") + "format = \"plain\"\n", &["events.columns", "user", "time"]),
        (plain("torn.parquet", "who"), &["torn.parquet"]),
        (with_files("torn.jsonl.gz"), &["torn.jsonl.gz"]),
    ];
    for (job, says) in cases {
        desk.write("job.toml", &job);
        desk.fails(&["features", "job.toml", "--out", "out.csv"], DATA, says);
    }
}

/// A bad line costs itself, is counted by reason, and is written where it is asked for.
#[test]
fn bad_lines_are_counted_and_written_out() {
    let desk = Desk::new();
    let events = fs::read_to_string(small().events()).unwrap();
    let (mut lines, n) = (events.lines().collect::<Vec<_>>(), events.lines().count());
    lines.insert(500, "{\"cut off");
    lines.insert(501, "plain text");
    lines.push("{\"type\":\"track\",\"event\":\"x\"}");
    desk.write("events.jsonl", &(lines.join("\n") + "\n")).write("job.toml", EVENTS_JOB);
    let mut features = segue();
    features.args(["features", "job.toml", "--out", "out.csv", "--rejects", "rejects.jsonl"]);
    let said = features.current_dir(desk.path()).json();
    let counts = said["counts"].to_string();
    assert!(counts.contains(&format!("[\"records read\",{}]", n + 3)), "{counts}");
    assert!(counts.contains("not JSON\",2]"), "{counts}");
    let rejects = fs::read_to_string(desk.path().join("rejects.jsonl")).unwrap();
    let rejects: Vec<serde_json::Value> =
        rejects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let facts: Vec<(&str, u64)> = rejects
        .iter()
        .map(|reject| (reject["reason"].as_str().unwrap(), reject["line"].as_u64().unwrap()))
        .collect();
    assert_eq!(facts, [("invalid_json", 501), ("invalid_json", 502), ("missing_id", n as u64 + 3)]);
    assert_eq!(rejects[1]["row"], "plain text");
}

#[test]
fn score_says_what_is_missing_and_leaves_no_output() {
    let desk = Desk::new();
    let rows = rows();
    let columns = |keep: &[usize]| -> String {
        let line = |line: &str| {
            let cells: Vec<&str> = line.split(',').collect();
            keep.iter().map(|&at| cells[at]).collect::<Vec<_>>().join(",") + "\n"
        };
        rows.lines().map(line).collect()
    };
    desk.write("noplan.csv", &columns(&[0, 1, 3, 4]));
    desk.write("ragged.csv", &rows.replacen("\nu0500,", "\nu9999,1,free\nu0500,", 1));
    desk.write("job.toml", EVENTS_JOB).write("table.toml", JOB);
    let registry = table().registry();
    let registry = registry.to_str().unwrap();
    let cases: [(&[&str], i32, &[&str]); 14] = [
        (&["table", "--features", "noplan.csv"], DATA, &["noplan.csv:1", "\"plan\"", "visits"]),
        (&["table", "--features", "ragged.csv"], DATA, &["ragged.csv", "line: 502"]),
        (&["table", "--features", "absent.csv"], DATA, &["absent.csv", "No such file"]),
        (&["table", "--features", "events.jsonl"], DATA, &["events.jsonl", "--events"]),
        (
            &["table", "--features", "rows.csv", "--keep", "usr"],
            DATA,
            &["\"usr\"", "--keep", "user"],
        ),
        (&["tabel", "--features", "rows.csv"], 1, &["\"tabel\"", "table"]),
        (&["table@9", "--features", "rows.csv"], 1, &["version 9", "1, 2"]),
        (&["table@gold", "--features", "rows.csv"], 1, &["\"gold\"", "champion"]),
        (&["table@1", "table@2", "--features", "rows.csv"], 1, &["table", "twice"]),
        (&["table", "--job", "job.toml"], DATA, &["\"table\"", "--features"]),
        (&["table", "--job", "table.toml"], 1, &["table.toml", "--features"]),
        (
            &["table", "--job", "job.toml", "--at", "noon"],
            1,
            &["--at", "noon", "2026-03-01T00:00:00Z"],
        ),
        (&["table", "--job", "absent.toml"], DATA, &["absent.toml"]),
        (&["Bad Name", "--features", "rows.csv"], 1, &["\"Bad Name\"", "expected"]),
    ];
    for (args, code, says) in cases {
        let args = [&["score", "--registry", registry, "--out", "out.csv"], args].concat();
        desk.fails(&args, code, says);
    }
    for (out, says) in [("out.xlsx", ".parquet"), ("nowhere/out.csv", "nowhere")] {
        let args =
            ["score", "table", "--features", "rows.csv", "--registry", registry, "--out", out];
        desk.fails(&args, 1, &[out, says]);
    }
}

#[test]
fn the_registry_says_what_it_has() {
    let desk = Desk::new();
    let registry = table().copy_of_registry(&desk.path().join("models"));
    let registry = registry.to_str().unwrap();
    let cases: [(&[&str], i32, &[&str]); 12] = [
        (&["promote", "tabel", "1"], 1, &["\"tabel\"", "table"]),
        (&["promote", "table", "9"], 1, &["version 9", "1, 2"]),
        (&["promote", "table", "2", "--alias", "b ad"], 1, &["\"b ad\"", "expected"]),
        (&["promote", "table", "2", "--etag", "stale"], 75, &["\"stale\"", "read the model again"]),
        (&["alias", "table", "champion", "2"], 1, &["\"champion\"", "promotion"]),
        (&["alias", "table", "canary", "7"], 1, &["version 7", "1, 2"]),
        (&["models", "show", "tabel"], 1, &["\"tabel\"", "table"]),
        (&["models", "show", "table@7"], 1, &["version 7", "1, 2"]),
        (&["models", "diff", "table", "1", "7"], 1, &["version 7", "1, 2"]),
        (&["models", "log", "tabel"], 1, &["\"tabel\"", "table"]),
        (&["rollback", "table"], 1, &["\"champion\"", "no earlier version"]),
        (&["report", "tabel"], 1, &["\"tabel\"", "table"]),
    ];
    for (args, code, says) in cases {
        desk.fails(&[args, &["--registry", registry]].concat(), code, says);
    }
}

#[test]
fn a_version_behind_the_gates_is_not_promoted() {
    let desk = Desk::new();
    desk.write(
        "job.toml",
        &replaced(JOB, "max_calibration_error = 1.0", "max_calibration_error = 0.0001"),
    );
    let registry = ["--registry", "models"];
    segue().args(["train", "job.toml"]).args(registry).current_dir(desk.path()).done();
    let promote = ["promote", "table", "1", "--registry", "models"];
    desk.fails(&promote, 1, &["gates failed", "calibration_bound", "0.0001"]);
    let show = ["models", "show", "table", "--registry", "models"];
    let state = segue().args(show).current_dir(desk.path()).json();
    assert_eq!(state["aliases"], serde_json::json!({}));
    let mut forced = segue();
    forced.args(promote).args(["--override-gates", "--reason", "known"]).current_dir(desk.path());
    forced.done();
    let mut log = segue();
    log.args(["models", "log", "table"]).args(registry).current_dir(desk.path());
    let log = log.json();
    let last = log.as_array().unwrap().last().unwrap();
    assert_eq!((&last["gates_overridden"], &last["reason"]), (&true.into(), &"known".into()));
}

#[test]
fn a_version_that_wants_another_approver_is_not_put_before_users_by_its_publisher() {
    let desk = Desk::new();
    let bound = "max_calibration_error = 1.0";
    let job = replaced(JOB, bound, &format!("{bound}\ndistinct_approver = true"));
    desk.write("job.toml", &job);
    let train = ["train", "job.toml", "--actor", "ada", "--registry", "models"];
    segue().args(train).current_dir(desk.path()).done();
    let promote = ["promote", "table", "1", "--registry", "models", "--actor"];
    let split = ["traffic", "table", "--canary", "1", "--share", "100", "--registry", "models"];
    let by_ada = [&split[..], &["--actor", "ada"]].concat();
    let says = ["gates failed", "approval", "someone else must approve"];
    desk.fails(&[&promote[..], &["ada"]].concat(), 1, &says);
    desk.fails(&by_ada, 1, &says);
    let done = |args: &[&str]| segue().args(args).current_dir(desk.path()).done();
    done(&[&by_ada[..], &["--override-gates", "--reason", "known"]].concat());
    done(&[&promote[..], &["grace"]].concat());
    let log = ["models", "log", "table", "--registry", "models"];
    let log = segue().args(log).current_dir(desk.path()).json();
    let events = log.as_array().unwrap();
    let told: Vec<_> = events.iter().map(|one| (&one["actor"], &one["gates_overridden"])).collect();
    let (ada, grace) = ("ada".into(), "grace".into());
    assert_eq!(told[1..], [(&ada, &true.into()), (&grace, &false.into())]);
}

#[test]
fn a_damaged_version_is_found_and_never_used() {
    let desk = Desk::new();
    let registry = table().copy_of_registry(&desk.path().join("models"));
    let model = registry.join("table/versions/2/model.bin");
    let mut bytes = fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&model, bytes).unwrap();
    let registry = registry.to_str().unwrap();
    let verify = segue().args(["models", "verify", "--registry", registry]).ran();
    assert_eq!(verify.code, Some(1));
    let problem = format!("problem: {}: is damaged: SHA-256 ", model.display());
    assert!(verify.stdout.contains(&problem), "{}", verify.stdout);
    assert_eq!(verify.stdout.matches("model.bin").count(), 1, "{}", verify.stdout);
    let verify = segue().args(["models", "verify", "--json", "--registry", registry]).ran();
    let report: serde_json::Value = serde_json::from_str(&verify.stdout).unwrap();
    assert_eq!((verify.code, &report["clean"]), (Some(1), &false.into()), "{report}");
    assert_eq!(report["problems"][0]["place"], model.to_str().unwrap());
    for args in [
        &["promote", "table", "2", "--override-gates"][..],
        &["score", "table@2", "--features", "rows.csv", "--out", "out.csv"],
        &["evaluate", "table@2", table().job(1).to_str().unwrap()],
    ] {
        let args = [args, &["--registry", registry]].concat();
        desk.fails(&args, 1, &["versions/2/model.bin", "damaged"]);
    }
}

/// A job whose rows are not those that the version was trained on.
#[test]
fn an_evaluation_on_other_columns_names_the_nearest() {
    let desk = Desk::new();
    let wide = |line: &str, cell: &str| {
        let (front, label) = line.rsplit_once(',').unwrap();
        format!("{front},{},{label}\n", vec![cell; 30].join(","))
    };
    let rows = rows();
    let (head, body) = rows.split_once('\n').unwrap();
    let extra: Vec<String> = (0..30).map(|number| format!("extra_{number:02}")).collect();
    let head =
        head.replace("visits", "visit").replace(",label", &format!(",{},label", extra.join(",")));
    let body: String = body.lines().map(|line| wide(line, "1")).collect();
    desk.write("wide.csv", &format!("{head}\n{body}"));
    desk.write("wide.toml", &replaced(JOB, "rows.csv", "wide.csv"));
    // the plan as a number: its codes are not the model's
    let coded = rows.replace(",free,", ",0,").replace(",pro,", ",1,").replace(",trial,", ",2,");
    desk.write("coded.csv", &coded).write("coded.toml", &replaced(JOB, "rows.csv", "coded.csv"));
    let registry = table().registry();
    let registry = ["--registry", registry.to_str().unwrap()];
    let evaluate = |job| [&["evaluate", "table@1", job], &registry[..]].concat();
    let ran =
        desk.fails(&evaluate("wide.toml"), DATA, &["\"visits\"", "they have: visit,", "more"]);
    assert!(!ran.stderr.contains("extra_29"), "{}", ran.stderr);
    desk.fails(&evaluate("coded.toml"), DATA, &["\"plan\"", "categories", "numbers"]);
}

/// One damaged model is told of, and the others are listed.
#[test]
fn a_damaged_model_does_not_hide_the_others() {
    let desk = Desk::new();
    let registry = table().copy_of_registry(&desk.path().join("models"));
    let damaged = registry.join("table/events/1.json");
    fs::create_dir_all(registry.join("broken/events")).unwrap();
    fs::copy(damaged, registry.join("broken/events/1.json")).unwrap();
    let list = ["models", "list", "--registry", "models"];
    let listed = segue().args(list).current_dir(desk.path()).json();
    let listed = listed.as_array().unwrap();
    assert_eq!((&listed[0]["model"], &listed[1]["model"]), (&"broken".into(), &"table".into()));
    assert!(listed[0]["error"].as_str().unwrap().contains("of \"table\""), "{listed:?}");
    assert_eq!(listed[1]["newest_version"], 2);
    let text = segue().args(list).current_dir(desk.path()).done().stdout;
    assert!(text.contains("cannot be read: ") && text.contains("champion=1"), "{text}");
}

#[test]
fn outputs_that_cannot_be_written_or_exist_are_refused() {
    let desk = Desk::new();
    desk.write("job.toml", JOB).write("taken.toml", "mine");
    desk.fails(&["init", "events.jsonl", "--out", "taken.toml"], 1, &["taken.toml", "--force"]);
    assert_eq!(fs::read_to_string(desk.path().join("taken.toml")).unwrap(), "mine");
    desk.fails(&["features", "job.toml", "--out", "out.txt"], 1, &["out.txt", ".parquet"]);
    desk.fails(&["features", "job.toml", "--out", "nowhere/out.csv"], 1, &["nowhere/out.csv"]);
    fs::create_dir(desk.path().join("folder")).unwrap();
    let registry = table().registry();
    let report = ["report", "table", "--out", "folder", "--registry", registry.to_str().unwrap()];
    desk.fails(&report, 1, &["cannot write the report", "folder"]);
    desk.fails(&["simulate", "--users", "0", "--out", "zero"], 1, &["users", "0"]);
    let public = ["serve", "--registry", "models", "--grpc", "0.0.0.0:0"];
    desk.fails(&public, 1, &["--grpc 0.0.0.0:0", "--insecure"]);
    let unknown = ["train", "job.toml", "--registry", "ftp://models"];
    desk.fails(&unknown, 1, &["ftp://models"]);
}

/// A script reads JSON, in failure too.
#[test]
fn errors_are_json_when_json_is_asked_for() {
    let desk = Desk::new();
    let ran = segue().args(["train", "absent.toml", "--json"]).current_dir(desk.path()).ran();
    assert_eq!(ran.code, Some(DATA));
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert!(error["error"].as_str().unwrap().contains("absent.toml"));
}
