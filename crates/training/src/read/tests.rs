//! Files with columns that are easily got wrong, and many files read by several threads.

use std::fs;

use super::*;
use crate::job::EventsSection;

/// Written by pyarrow: ids beyond 64 bits, text as bytes, and kinds of columns that no property holds.
const ODD_COLUMNS: &[u8] = include_bytes!("tests/odd_columns.parquet");

fn section(files: &[&str], columns: &str) -> EventsSection {
    let files = files.iter().map(|file| format!("{file:?}")).collect::<Vec<_>>().join(", ");
    toml::from_str(&format!("files = [{files}]\nformat = 'plain'\n[columns]\n{columns}")).unwrap()
}

fn read(
    folder: &std::path::Path,
    section: &EventsSection,
    n_threads: usize,
) -> Result<(segue_events::EventLog, ReadSummary), ReadError> {
    let rejects = folder.join("rejects.jsonl");
    let progress = |_, _| {};
    let rejects = Some(rejects.as_path());
    read_events(EventFiles { section, folder, rejects, n_threads, progress: &progress })
}

fn users(log: &segue_events::EventLog) -> Vec<&str> {
    log.histories.iter().map(|history| log.symbols.text(history.user())).collect()
}

fn odd(user: &str) -> Result<(Vec<String>, ReadSummary), ReadError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("odd.parquet"), ODD_COLUMNS).unwrap();
    let section =
        section(&["odd.parquet"], &format!("user = {user:?}\nevent = 'event'\ntime = 'time'"));
    let (log, summary) = read(folder.path(), &section, 2)?;
    let key = log.symbols.get("amount").unwrap();
    assert_eq!(log.histories[0].property(0, key), Some(segue_events::Scalar::Number(1.5)));
    Ok((users(&log).into_iter().map(str::to_owned).collect(), summary))
}

#[test]
fn every_digit_of_an_id_counts() {
    let of = |user: &str| odd(user).unwrap().0;
    let numbered = |first: u128| (first..first + 4).map(|id| id.to_string()).collect::<Vec<_>>();
    assert_eq!(of("hash"), numbered(1 << 63));
    assert_eq!(of("number"), numbered(100_000_000_000_000_000_000));
    assert_eq!(of("small"), numbered(0)[1..], "zero names nobody");
    assert_eq!(of("bytes"), ["u0", "u1", "u2", "u3"]);
}

#[test]
fn columns_that_no_property_can_hold_are_told_and_break_nothing() {
    let (_, summary) = odd("bytes").unwrap();
    let unread: Vec<&str> = summary.unread.keys().map(String::as_str).collect();
    assert_eq!(unread, ["clock", "extra", "half", "noise", "place", "tags"]);
    assert_eq!(summary.unread["place"], "structs");
    let error = odd("place").unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, ReadError::ColumnKind { .. }), "{message}");
    assert!(
        message.contains("odd.parquet: column \"place\" holds structs, expected text"),
        "{message}"
    );
}

#[test]
fn long_ids_of_a_csv_stay_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let rows =
        "who,what,at\n18446744073709551615,a,1700000000\n18446744073709551614,a,1700000000\n";
    fs::write(folder.path().join("log.csv"), rows).unwrap();
    let columns = "user = 'who'\nevent = 'what'\ntime = 'at'\ntime_unit = 'seconds'";
    let (log, _) = read(folder.path(), &section(&["log.csv"], columns), 1).unwrap();
    assert_eq!(users(&log), ["18446744073709551614", "18446744073709551615"]);
}

/// Lines in many files, some of them refused.
#[test]
fn threads_change_nothing_that_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..7 {
        let line = |row: usize| {
            let user = if row % 11 == 3 { "null".to_owned() } else { format!("u{}", row % 5) };
            let time = if row % 13 == 4 {
                "soon".to_owned()
            } else {
                (1_700_000_000 + row / 3).to_string()
            };
            format!(
                "{{\"who\": \"{user}\", \"what\": \"e{}\", \"at\": \"{time}\"}}\n",
                (row + file) % 4
            )
        };
        let lines: String = (0..300).map(line).collect();
        fs::write(folder.path().join(format!("log-{file}.jsonl")), lines).unwrap();
    }
    let columns = "user = 'who'\nevent = 'what'\ntime = 'at'\ntime_unit = 'seconds'";
    let section = section(&["log-*.jsonl"], columns);
    let of = |n_threads: usize| {
        let (log, summary) = read(folder.path(), &section, n_threads).unwrap();
        let histories: Vec<String> = log
            .histories
            .iter()
            .map(|history| {
                let names: Vec<&str> =
                    history.name().iter().map(|&name| log.symbols.text(name)).collect();
                format!("{} {:?} {names:?}", log.symbols.text(history.user()), history.event_ts())
            })
            .collect();
        let rejects = fs::read_to_string(folder.path().join("rejects.jsonl")).unwrap();
        assert!(rejects.lines().count() > 300);
        (histories, log.counts, summary.rejects, summary.n_records, summary.notes, rejects)
    };
    let expected = of(1);
    assert_eq!(expected.3, 2_100);
    for n_threads in [2, 3, 8] {
        assert_eq!(of(n_threads), expected);
    }
}
