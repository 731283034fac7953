//! A log assembled by buckets against the same log assembled in memory.

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::assemble::tests::{any_event, config, same_log};
use crate::{Event, EventId, EventKind, Value};

type Kept = Vec<Vec<Vec<u8>>>;

fn keep(kept: &mut Kept) -> impl FnMut(Block<'_>) -> Result<(), Infallible> {
    |block| {
        assert!(block.memory > 0);
        kept[block.bucket].push(block.bytes.to_vec());
        Ok(())
    }
}

/// Builders of `n_buffered` events each, and buckets read two at a time and from the last block on.
fn by_buckets(
    events: Vec<Event>,
    options: AssembleOptions,
    n_buckets: usize,
    n_buffered: usize,
) -> (EventLog, usize) {
    let scatter = Scatter::new(n_buckets);
    let (mut kept, mut links) = (vec![Vec::new(); n_buckets], vec![Vec::new(); n_buckets]);
    let mut sample = ProfileSample::default();
    let mut counts = LogCounts::default();
    for part in events.chunks(2 * n_buffered) {
        let (mut builder, mut own) = (LogBuilder::new(options), ProfileSample::default());
        for events in part.chunks(n_buffered) {
            events.iter().cloned().for_each(|event| builder.push(event));
            let Ok(()) = builder.scatter(&scatter, &mut own, keep(&mut kept), keep(&mut links));
            assert_eq!(builder.memory(), LogBuilder::new(options).memory());
        }
        counts.add(&builder.counts());
        sample.absorb(own);
    }
    let mut identity = IdentityBuilder::default();
    for blocks in links.chunks(2) {
        let mut bucket = LinkBucket::default();
        blocks.iter().flatten().rev().for_each(|block| bucket.read(block).unwrap());
        bucket.settle();
        identity.add(bucket);
    }
    let identity = identity.finish(options);
    counts.add(&identity.counts());
    let ranges = ProfileRanges::of(sample, &identity, n_buckets);
    let mut profiles = vec![Vec::new(); ranges.n_ranges()];
    let mut span: Option<LogSpan> = None;
    for blocks in kept.chunks(2) {
        let mut bucket = EventBucket::new(options);
        blocks.iter().flatten().rev().for_each(|block| bucket.read(block).unwrap());
        let Ok(regrouped) = bucket.regroup(&identity, &ranges, keep(&mut profiles));
        counts.add(&regrouped.counts);
        span = match (span, regrouped.span) {
            (Some(a), Some(b)) => Some(a.with(b)),
            (a, b) => a.or(b),
        };
    }
    let mut symbols = Symbols::new();
    let mut histories = Vec::new();
    for blocks in profiles.chunks(2) {
        let mut bucket = ProfileBucket::new(options);
        blocks.iter().flatten().rev().for_each(|block| bucket.read(block).unwrap());
        let log = bucket.finish();
        counts.add(&log.counts);
        histories.extend(
            log.histories.iter().map(|history| copied(history, &log.symbols, &mut symbols)),
        );
    }
    let span = span.unwrap_or(LogSpan { first_ts: 0, last_ts: 0, last_known_ts: 0 });
    let LogSpan { first_ts, last_ts, last_known_ts } = span;
    (EventLog { symbols, histories, counts, first_ts, last_ts, last_known_ts }, ranges.n_ranges())
}

/// A history by the numbers of another table.
fn copied(history: &crate::History, from: &Symbols, to: &mut Symbols) -> crate::History {
    let mut symbol = |symbol| to.intern(from.text(symbol));
    let mut copy = crate::History::new(symbol(history.user()));
    for index in 0..history.len() {
        let properties: Vec<(Symbol, crate::Scalar)> = history
            .properties(index)
            .iter()
            .map(|&(key, value)| match value {
                crate::Scalar::Text(text) => (symbol(key), crate::Scalar::Text(symbol(text))),
                other => (symbol(key), other),
            })
            .collect();
        copy.push(crate::HistoryEvent {
            event_ts: history.event_ts()[index],
            known_ts: history.known_ts()[index],
            kind: history.kind(index),
            name: symbol(history.name()[index]),
            session: symbol(history.session(index)),
            properties: &properties,
        });
    }
    copy
}

fn whole(events: Vec<Event>, options: AssembleOptions) -> EventLog {
    let mut builder = LogBuilder::new(options);
    events.into_iter().for_each(|event| builder.push(event));
    builder.finish()
}

proptest! {
    #![proptest_config(config())]

    /// The same histories in the same order, the same counts and the same span.
    #[test]
    fn buckets_give_the_log_of_the_whole(
        events in prop::collection::vec(any_event(), 0..60),
        n_buckets in 1..7usize,
        n_buffered in 1..20usize,
        max_ids_per_user in 1..4usize,
        resolve_identity in prop::bool::weighted(0.8),
        is_kept in any::<bool>(),
    ) {
        let anonymous = if is_kept { AnonymousPolicy::Keep } else { AnonymousPolicy::Drop };
        let options =
            AssembleOptions { max_ids_per_user, resolve_identity, anonymous, ..Default::default() };
        let (log, _) = by_buckets(events.clone(), options, n_buckets, n_buffered);
        same_log(&log, &whole(events, options))?;
    }

    /// Whatever bytes come back, reading them ends, with an error or with events.
    #[test]
    fn damaged_blocks_are_refused_or_read(
        events in prop::collection::vec(any_event(), 1..20),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut builder = LogBuilder::new(AssembleOptions::default());
        events.into_iter().for_each(|event| builder.push(event));
        let (mut kept, mut links) = (vec![Vec::new()], vec![Vec::new()]);
        let mut sample = ProfileSample::default();
        let Ok(()) =
            builder.scatter(&Scatter::new(1), &mut sample, keep(&mut kept), keep(&mut links));
        for block in kept[0].iter_mut().chain(&mut links[0]) {
            let end = cut.index(block.len());
            prop_assert_eq!(EventBucket::new(AssembleOptions::default()).read(&block[..end]), Err(BlockError));
            prop_assert_eq!(LinkBucket::default().read(&block[..end]), Err(BlockError));
            for (at, byte) in &damage {
                let at = at.index(block.len());
                block[at] = *byte;
            }
            let _ = EventBucket::new(AssembleOptions::default()).read(block);
            let _ = LinkBucket::default().read(block);
        }
    }
}

/// Ranges are in the order of names, and about as heavy as one another.
#[test]
fn ranges_divide_the_events() {
    let event = |index: usize| Event {
        event_id: EventId::Absent,
        user_id: Some(format!("user {:03}", index % 500)),
        anonymous_id: None,
        kind: EventKind::Page,
        name: "a page".into(),
        event_ts: index as i64,
        original_ts: index as i64,
        known_ts: index as i64,
        seq: -7,
        session_id: Some("s".into()),
        previous_id: None,
        properties: vec![
            ("huge".into(), Value::Number(1e300)),
            ("minus zero".into(), Value::Number(-0.0)),
            ("whole".into(), Value::Number(-3.0)),
            ("yes".into(), Value::Flag(true)),
        ],
    };
    let events: Vec<Event> = (0..50_000).map(event).collect();
    let options = AssembleOptions::default();
    let (log, n_ranges) = by_buckets(events.clone(), options, 8, 7_000);
    assert_eq!(n_ranges, 8);
    same_log(&log, &whole(events, options)).unwrap();
}

/// A repeated link matters only if another user's comes in between, maybe in another block.
#[test]
fn a_link_between_two_of_a_run_splits_it() {
    let event = |user: Option<&str>, device: Option<&str>, event_ts: i64| Event {
        event_id: EventId::Absent,
        user_id: user.map(str::to_owned),
        anonymous_id: device.map(str::to_owned),
        kind: EventKind::Track,
        name: event_ts.to_string(),
        event_ts,
        original_ts: event_ts,
        known_ts: event_ts,
        seq: 0,
        session_id: None,
        previous_id: None,
        properties: Vec::new(),
    };
    let device = Some("d");
    let events = vec![
        event(Some("a"), device, 10),
        event(Some("a"), device, 30),
        event(None, device, 31),
        event(Some("b"), device, 20),
    ];
    let options = AssembleOptions::default();
    let (log, _) = by_buckets(events.clone(), options, 2, 3);
    assert_eq!(log.index_of("b").map(|index| log.histories[index].len()), Some(1));
    same_log(&log, &whole(events, options)).unwrap();
}
