//! Reading the two files with nothing but the Segment spec.

use std::collections::BTreeMap;

use serde_json::Value;

/// One line of the event file.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) message_id: String,
    pub(super) user_id: Option<String>,
    pub(super) anonymous_id: Option<String>,
    /// Name of the event or page, the type for others.
    pub(super) name: String,
    /// When it happened, corrected.
    pub(super) ts: i64,
    pub(super) received: i64,
    pub(super) line: Value,
}

pub(super) fn micros(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("an ISO instant").as_microsecond()
}

fn read_line(line: &str) -> Option<Seen> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| line[key].as_str().map(str::to_owned);
    let instant = |key: &str| line[key].as_str().map(micros);
    let received = instant("receivedAt")?;
    let ts = instant("timestamp")
        .or_else(|| Some(received - (instant("sentAt")? - instant("originalTimestamp")?)))?;
    Some(Seen {
        message_id: text("messageId")?,
        user_id: text("userId"),
        anonymous_id: text("anonymousId"),
        name: text("event").or_else(|| text("name")).or_else(|| text("type"))?,
        ts,
        received,
        line,
    })
}

/// Every line that is JSON, in file order, and the number of lines that are not.
pub(super) fn read_lines(events: &str) -> (Vec<Seen>, u64) {
    let seen: Vec<Seen> = events.lines().filter_map(read_line).collect();
    let broken = events.lines().count() - seen.len();
    (seen, broken as u64)
}

/// Whether a line claims to be from more than five minutes after its receipt.
pub(super) fn from_future(seen: &Seen) -> bool {
    seen.ts > seen.received + 300_000_000
}

/// What each user did, in order of time: repeats, inventions and bots removed, visits before signup tied
/// to the user whom the device became.
pub(super) fn histories(lines: &[Seen]) -> BTreeMap<String, Vec<Seen>> {
    let mut owner = BTreeMap::new();
    for seen in lines {
        if let (Some(device), Some(user)) = (&seen.anonymous_id, &seen.user_id) {
            owner.insert(device.clone(), user.clone());
        }
    }
    let mut once = BTreeMap::new();
    for seen in lines.iter().filter(|seen| !from_future(seen)) {
        once.entry(seen.message_id.clone()).or_insert_with(|| seen.clone());
    }
    let mut histories: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for seen in once.into_values() {
        let device = seen.anonymous_id.as_ref().and_then(|device| owner.get(device));
        if let Some(user) = seen.user_id.as_ref().or(device) {
            histories.entry(user.clone()).or_default().push(seen);
        }
    }
    for history in histories.values_mut() {
        history.sort_by_key(|seen| seen.ts);
    }
    histories
}

/// The rows of the truth file, by column name.
pub(super) fn read_truth(truth: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut rows = truth.lines();
    let header: Vec<&str> = rows.next().expect("a header").split(',').collect();
    rows.map(|row| {
        assert_eq!(row.split(',').count(), header.len(), "{row}");
        header.iter().copied().zip(row.split(',')).collect()
    })
    .collect()
}
