//! Files with columns that are easily got wrong, and many files read by several threads.

use std::fs;

use segue_events::{EventLog, LogCounts, Scalar};

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
) -> Result<(EventLog, ReadSummary), ReadError> {
    let rejects = folder.join("rejects.jsonl");
    let progress = |_, _| {};
    let rejects = Some(rejects.as_path());
    read_events(EventFiles { section, folder, rejects, n_threads, progress: &progress })
}

fn users(log: &EventLog) -> Vec<&str> {
    log.histories.iter().map(|history| log.symbols.text(history.user())).collect()
}

fn odd(user: &str) -> Result<(Vec<String>, ReadSummary), ReadError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("odd.parquet"), ODD_COLUMNS).unwrap();
    let section =
        section(&["odd.parquet"], &format!("user = {user:?}\nevent = 'event'\ntime = 'time'"));
    let (log, summary) = read(folder.path(), &section, 2)?;
    let key = log.symbols.get("amount").unwrap();
    assert_eq!(log.histories[0].property(0, key), Some(Scalar::Number(1.5)));
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

/// Lines in many files, whole or in stretches, some of them refused.
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
    let of = |n_threads: usize, stretch_bytes: u64| {
        let rejects = folder.path().join("rejects.jsonl");
        let files = EventFiles {
            section: &section,
            folder: folder.path(),
            rejects: Some(&rejects),
            n_threads,
            progress: &|_, _| {},
        };
        let (log, summary) = super::events::read_in_stretches(files, stretch_bytes).unwrap();
        let histories: Vec<String> = log
            .histories
            .iter()
            .map(|history| {
                let names: Vec<&str> =
                    history.name().iter().map(|&name| log.symbols.text(name)).collect();
                format!("{} {:?} {names:?}", log.symbols.text(history.user()), history.event_ts())
            })
            .collect();
        let rejects = fs::read_to_string(&rejects).unwrap();
        assert!(rejects.lines().count() > 300);
        (histories, log.counts, summary.rejects, summary.n_records, summary.notes, rejects)
    };
    let expected = of(1, u64::MAX);
    assert_eq!(expected.3, 2_100);
    for (n_threads, stretch_bytes) in [(2, u64::MAX), (3, 100), (8, 5_000), (1, 1_000)] {
        assert_eq!(of(n_threads, stretch_bytes), expected);
    }
}

/// Histories in words, in their order.
fn shown(log: &EventLog) -> Vec<String> {
    let text = |symbol| log.symbols.text(symbol);
    let shown = |history: &segue_events::History| {
        let events = (0..history.len()).map(|index| {
            let properties = history.properties(index).iter().map(|&(key, value)| match value {
                Scalar::Text(value) => format!("{}={}", text(key), text(value)),
                other => format!("{}={other:?}", text(key)),
            });
            let properties: Vec<String> = properties.collect();
            let times = (history.event_ts()[index], history.known_ts()[index]);
            format!("{times:?} {} {properties:?}", text(history.name()[index]))
        });
        format!("{} {:?}", text(history.user()), events.collect::<Vec<_>>())
    };
    log.histories.iter().map(shown).collect()
}

/// The same events as JSON lines and CSV, with devices that become users late.
#[test]
fn what_went_to_disk_comes_back_as_if_it_had_not() {
    let folder = tempfile::tempdir().unwrap();
    let temp = folder.path().join("temp");
    fs::create_dir(&temp).unwrap();
    for file in 0..5usize {
        let row = |row: usize| {
            let (device, is_known) = (row % 37, row.is_multiple_of(5));
            // in the second half of a file every other device has changed hands
            let user =
                if is_known { format!("u{}", (device + row / 600) / 2) } else { String::new() };
            let id = (row * 7 + file * 400) % 3000;
            let at = 1_700_000_000 + (row * 7919) % 100_000;
            (user, format!("d{device}"), format!("e{}", row % 4), at, id, row as f64 / 8.0)
        };
        let rows = (0..1200).map(row);
        let (name, text): (String, String) = if file % 2 == 0 {
            let line = |(user, device, what, at, id, size)| {
                format!(
                    "{{\"who\": \"{user}\", \"device\": \"{device}\", \"what\": \"{what}\", \
                     \"at\": {at}, \"id\": \"m{id}\", \"size\": {size}}}\n"
                )
            };
            (format!("log-{file}.jsonl"), rows.map(line).collect())
        } else {
            let line = |(user, device, what, at, id, size)| {
                format!("{user},{device},{what},{at},m{id},{size}\n")
            };
            let head = "who,device,what,at,id,size\n".to_owned();
            (format!("log-{file}.csv"), head + &rows.map(line).collect::<String>())
        };
        fs::write(folder.path().join(name), text).unwrap();
    }
    let columns = "user = 'who'\nanonymous = 'device'\nevent = 'what'\ntime = 'at'\nevent_id = 'id'\n\
                   time_unit = 'seconds'";
    let section = section(&["log-*"], columns);
    let progress = |_, _| {};
    let within = |memory: u64, n_threads: usize| {
        let files = EventFiles {
            section: &section,
            folder: folder.path(),
            rejects: None,
            n_threads,
            progress: &progress,
        };
        read_events_within(files, Room { memory, folder: &temp }).unwrap()
    };
    let (log, expected) = read(folder.path(), &section, 1).unwrap();
    assert!(log.counts.duplicates > 1000 && log.counts.identity_conflicts > 0, "{:?}", log.counts);
    for (memory, n_threads) in [(0, 1), (100_000, 1), (100_000, 3), (u64::MAX, 2)] {
        let (found, summary) = within(memory, n_threads);
        assert_eq!(found.is_spilled(), memory < u64::MAX);
        assert_eq!((summary.n_records, summary.notes), (expected.n_records, expected.notes));
        let found = found.arrange(&progress).unwrap();
        assert_eq!(found.last_instant(), log.last_known_ts.max(log.last_ts));
        let (histories, counts) = match found {
            ArrangedLog::Whole(whole) => (shown(&whole), whole.counts),
            ArrangedLog::Grouped(grouped) => {
                let mut counts: LogCounts = grouped.counts();
                let mut histories = Vec::new();
                for part in 0..grouped.n_parts() {
                    let part = grouped.part(part).unwrap();
                    counts.add(&part.counts);
                    histories.extend(shown(&part));
                }
                (histories, counts)
            }
        };
        assert_eq!(histories, shown(&log), "{memory} bytes, {n_threads} threads");
        assert_eq!(counts, log.counts);
        assert_eq!(fs::read_dir(&temp).unwrap().count(), 0);
    }
}
