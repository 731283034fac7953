//! What arrives: order, counts of each kind of dirt, and that none of it touches the truth.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{Seen, from_future, read_lines};
use super::{run, small};
use crate::{Dirt, DirtCounts, SimulationParams};

const HOUR_US: i64 = 3_600_000_000;

fn dirty() -> SimulationParams {
    let dirt = Dirt { malformed_rate: 0.003, future_rate: 0.005, ..Dirt::default() };
    SimulationParams { dirt, ..small(800) }
}

#[test]
fn the_same_parameters_give_the_same_bytes() {
    let (first, second) = (run(&dirty()), run(&dirty()));
    assert!(first.events == second.events && first.truth == second.truth);
    assert_eq!(first.summary, second.summary);
    let other = run(&SimulationParams { seed: 8, ..dirty() });
    assert!(first.events != other.events && first.truth != other.truth);
}

#[test]
fn dirt_never_changes_what_happened() {
    let dirty = run(&dirty());
    let clean = run(&SimulationParams { dirt: Dirt::none(), ..small(800) });
    assert!(dirty.truth == clean.truth);
    assert_eq!(dirty.summary.events, clean.summary.events);
    assert_eq!(clean.summary.dirt, DirtCounts::default());
    assert_eq!(clean.summary.lines, clean.summary.events);
    let facts = |events: &str| -> BTreeMap<String, (String, i64)> {
        let (lines, _) = read_lines(events);
        let people = lines.into_iter().filter(|seen| !from_future(seen) && !is_bot(seen));
        people.map(|seen| (seen.message_id, (seen.name, seen.ts))).collect()
    };
    assert_eq!(facts(&dirty.events), facts(&clean.events));
}

fn is_bot(seen: &Seen) -> bool {
    let agent = seen.line["context"]["userAgent"].as_str().unwrap_or("");
    agent.contains("SimCrawler")
}

#[test]
fn lines_come_in_order_of_arrival() {
    let (lines, _) = read_lines(&run(&dirty()).events);
    assert!(lines.is_sorted_by_key(|seen| seen.received));
    assert!(lines.iter().any(|seen| seen.user_id.is_none()));
    for seen in &lines {
        assert!(seen.user_id.is_some() || seen.anonymous_id.is_some(), "{:?}", seen.line);
        assert!(seen.ts < seen.received || from_future(seen), "{:?}", seen.line);
    }
}

#[test]
fn dirt_is_counted_exactly() {
    let simulation = run(&dirty());
    let (lines, malformed) = read_lines(&simulation.events);
    assert_eq!(simulation.summary.lines, simulation.events.lines().count() as u64);
    let mut counts = DirtCounts { malformed, ..DirtCounts::default() };
    let mut ids = BTreeSet::new();
    let (mut skewed, mut bots) = (BTreeSet::new(), BTreeSet::new());
    for seen in &lines {
        // Lines are in order of arrival: the first of an id is the message, others are repeats.
        let repeated = !ids.insert(&seen.message_id);
        counts.duplicates += u64::from(repeated);
        let delay = seen.received - seen.ts;
        counts.late += u64::from(!repeated && (HOUR_US..=145 * HOUR_US).contains(&delay));
        counts.too_late += u64::from(!repeated && delay >= 192 * HOUR_US);
        counts.future += u64::from(from_future(seen));
        if seen.line["timestamp"].is_null() {
            counts.skewed_events += 1;
            skewed.insert(seen.message_id.split('-').next());
        }
        if is_bot(seen) {
            counts.bot_events += 1;
            bots.insert(&seen.anonymous_id);
            assert!(seen.user_id.is_none());
        }
    }
    counts.skewed_users = skewed.len() as u64;
    counts.bots = bots.len() as u64;
    assert_eq!(simulation.summary.dirt, counts);
    let people = ids.len() as u64 - counts.future - counts.bot_events;
    assert_eq!(simulation.summary.events, people);
    for (kind, count) in [
        ("duplicates", counts.duplicates),
        ("late", counts.late),
        ("too_late", counts.too_late),
        ("skewed_users", counts.skewed_users),
        ("future", counts.future),
        ("bots", counts.bots),
        ("malformed", counts.malformed),
    ] {
        assert!(count > 0, "no {kind}");
    }
}

#[test]
fn what_decides_a_row_or_an_outcome_is_never_late() {
    let dirt = Dirt { late_rate: 0.5, too_late_rate: 0.5, ..Dirt::none() };
    let (lines, _) = read_lines(&run(&SimulationParams { dirt, ..small(100) }).events);
    let mut n_deciding = 0;
    for seen in &lines {
        if ["Signed Up", "identify", "Support Ticket Opened", "Plan Upgraded"]
            .contains(&seen.name.as_str())
        {
            n_deciding += 1;
            assert!(seen.received - seen.ts < HOUR_US, "{:?}", seen.line);
        }
    }
    assert!(n_deciding >= 200);
}
