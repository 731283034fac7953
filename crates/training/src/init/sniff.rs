//! Whose export a log is, and for plain columns which column is what: by name, then by content.

use std::collections::BTreeMap;

use segue_events::{PlainMapping, SourceFormat};
use serde_json::{Map, Value as Json};

use super::InitError;
use super::sample::{MANY_RECORDS, Sample};
use super::times::{TimeForm, form_of, is_of};
use crate::job::{EventsSection, Span};

/// Names of columns without regard to case and punctuation, the likeliest first.
const USER: &[&str] = &[
    "userid",
    "user",
    "uid",
    "useruuid",
    "customerid",
    "customer",
    "clientid",
    "memberid",
    "accountid",
    "playerid",
    "studentid",
    "subscriberid",
    "personid",
    "distinctid",
    "username",
    "email",
];
const ANONYMOUS: &[&str] = &["anonymousid", "deviceid", "visitorid", "cookieid", "cookie"];
const EVENT: &[&str] = &[
    "event",
    "eventname",
    "eventtype",
    "action",
    "activity",
    "actionname",
    "name",
    "type",
    "page",
];
const TIME: &[&str] = &[
    "ts",
    "timestamp",
    "eventts",
    "eventtime",
    "eventtimestamp",
    "time",
    "datetime",
    "occurredat",
    "happenedat",
    "createdat",
    "date",
    "eventdate",
    "orderdate",
    "invoicedate",
    "purchasedate",
];
const KNOWN_TIME: &[&str] = &[
    "receivedat",
    "receivedts",
    "receivedtime",
    "knownat",
    "knownts",
    "knowntime",
    "ingestedat",
    "ingestts",
    "servertime",
    "serverts",
    "loadedat",
    "insertedat",
];
const EVENT_ID: &[&str] = &["eventid", "messageid", "insertid", "eventuuid", "uuid", "id"];
const SESSION: &[&str] = &["sessionid", "session", "visitid"];
const SEQ: &[&str] = &["seq", "sequence", "sequencenumber", "eventindex"];
const QUANTITY: &[&str] = &["quantity", "qty", "units", "nitems"];
const UNIT_PRICE: &[&str] = &["unitprice", "price", "itemprice"];
/// Properties that are money, without regard to case and punctuation, the likeliest first.
pub(super) const MONEY: &[&str] = &[
    "revenue",
    "total",
    "amount",
    "ordertotal",
    "totalprice",
    "totalamount",
    "value",
    "spend",
    "sales",
    "dollars",
    "price",
    "payment",
    "cost",
    "mrr",
];

/// How a log reads, and why that was concluded.
#[derive(Debug)]
pub(super) struct Sniffed {
    /// What the job says under `[events]`.
    pub(super) section: EventsSection,
    /// A sentence a conclusion.
    pub(super) reasons: Vec<String>,
}

/// Finds out how the records of a sample read.
pub(super) fn sniff(
    files: &[String],
    sample: &Sample,
    time_format: Option<&str>,
) -> Result<Sniffed, InitError> {
    let (format, reason) = format_of(sample);
    let mut reasons = vec![reason];
    let (columns, derive) = match format {
        SourceFormat::Plain => {
            let columns = columns_of(sample, time_format, &mut reasons)?;
            let derive = derive_of(sample, &mut reasons);
            (Some(columns), derive)
        }
        _ => (None, BTreeMap::new()),
    };
    let project_tz = (format == SourceFormat::Mixpanel).then(|| {
        reasons
            .push("the project's time zone is taken to be UTC, as for projects since 2023".into());
        "UTC".to_owned()
    });
    let section = EventsSection {
        complete_until: None,
        files: files.to_vec(),
        format,
        columns,
        derive,
        project_tz,
        exclude_properties: Vec::new(),
        lateness: Span::days(7),
        keep_anonymous: false,
    };
    Ok(Sniffed { section, reasons })
}

/// The format that most records have the marks of.
fn format_of(sample: &Sample) -> (SourceFormat, String) {
    let has = |record: &Map<String, Json>, keys: &[&str]| {
        keys.iter().any(|key| record.get(*key).is_some_and(|value| !value.is_null()))
    };
    let below =
        |record: &Map<String, Json>, prefix: &str| record.keys().any(|key| key.starts_with(prefix));
    let is_segment_type = |record: &Map<String, Json>| {
        let kinds = ["track", "page", "screen", "identify", "group", "alias"];
        record.get("type").and_then(Json::as_str).is_some_and(|kind| kinds.contains(&kind))
    };
    type Mark<'a> = &'a dyn Fn(&Map<String, Json>) -> bool;
    let marks: [(SourceFormat, &str, Mark<'_>); 4] = [
        (SourceFormat::Segment, "`type` with `messageId` or `receivedAt`", &|record| {
            is_segment_type(record) && has(record, &["messageId", "receivedAt"])
        }),
        (SourceFormat::Amplitude, "`event_type` with `$insert_id` or `amplitude_id`", &|record| {
            has(record, &["event_type"]) && has(record, &["$insert_id", "amplitude_id"])
        }),
        (SourceFormat::Mixpanel, "`event` with `properties.distinct_id`", &|record| {
            has(record, &["event"])
                && has(record, &["properties.distinct_id"])
                && !has(record, &["distinct_id"])
        }),
        (
            SourceFormat::PostHog,
            "`event`, `distinct_id`, `timestamp`, and `uuid` or `properties`",
            &|record| {
                has(record, &["event"])
                    && has(record, &["distinct_id"])
                    && has(record, &["timestamp"])
                    && (has(record, &["uuid", "properties"]) || below(record, "properties."))
            },
        ),
    ];
    let n_records = sample.records.len();
    for (format, what, mark) in marks {
        let n = sample.records.iter().filter(|record| mark(record)).count();
        if 2 * n > n_records {
            let reason = format!("{n} of the first {n_records} records have {what}");
            return (format, reason);
        }
    }
    (SourceFormat::Plain, "records have the marks of no product's export".to_owned())
}

fn columns_of(
    sample: &Sample,
    time_format: Option<&str>,
    reasons: &mut Vec<String>,
) -> Result<PlainMapping, InitError> {
    let mut taken: Vec<String> = Vec::new();
    let (time, form) = times(sample, time_format)?;
    taken.push(time.clone());
    let known_time = known_time_column(sample, &time, &form);
    taken.extend(known_time.clone());
    let mut pick = |names: &[&str], fits: &dyn Fn(&str) -> bool| {
        let key = named(sample, names).find(|key| !taken.contains(key) && fits(key))?;
        taken.push(key.clone());
        Some(key)
    };
    let n_records = sample.records.len();
    let is_filled = |key: &str| sample.filled(key) >= 0.5;
    let user = pick(USER, &is_filled);
    let anonymous = pick(ANONYMOUS, &|key| sample.filled(key) > 0.0);
    let is_name = |key: &str| {
        let n_distinct = sample.n_distinct(key);
        is_filled(key) && n_distinct <= 500 && (n_distinct < 10 || 3 * n_distinct < n_records)
    };
    let event = pick(EVENT, &is_name);
    let is_unique = |key: &str| {
        is_filled(key) && sample.n_distinct(key) * 50 >= sample.values(key).count() * 49
    };
    let event_id = pick(EVENT_ID, &is_unique);
    let session = pick(SESSION, &is_filled);
    let whole = |key: &str| is_filled(key) && sample.values(key).all(|value| value.is_i64());
    let seq = pick(SEQ, &whole);
    let user = user.or_else(|| if anonymous.is_none() { pick_id(sample, &taken) } else { None });
    if user.is_none() && anonymous.is_none() {
        return Err(no_column(sample, "the user of an event", "user"));
    }
    let event_name = event.is_none().then(|| constant_name(sample));
    for (key, column) in [
        ("user", &user),
        ("anonymous", &anonymous),
        ("event", &event),
        ("event_id", &event_id),
        ("session", &session),
        ("seq", &seq),
        ("time", &Some(time.clone())),
        ("known_time", &known_time),
    ] {
        if let Some(column) = column {
            reasons.push(format!("{key} is taken from column {column:?}"));
        }
    }
    if let Some(name) = &event_name {
        reasons.push(format!("no column names what happened, so every row is an event {name:?}"));
    }
    let (time_unit, time_format) = form.unit_and_format();
    if let Some(unit) = time_unit {
        reasons.push(format!("times are numbers of {}, by their size", unit.name()));
    }
    if let Some(format) = &time_format {
        reasons.push(format!("times are written as {format:?}"));
    }
    let time = Some(time);
    Ok(PlainMapping {
        user,
        anonymous,
        event,
        event_name,
        time,
        known_time,
        event_id,
        seq,
        session,
        time_unit,
        time_format,
        ..PlainMapping::default()
    })
}

/// The column of times and how they are written: as told, or as the values say, all of the first many if
/// the first few leave it open.
fn times(sample: &Sample, time_format: Option<&str>) -> Result<(String, TimeForm), InitError> {
    let none = || no_column(sample, "the time of an event", "time");
    if let Some(format) = time_format {
        let form = TimeForm::Text(format.to_owned());
        let mut keys = named(sample, TIME).chain(sample.keys.iter().cloned());
        let found = keys.find(|key| is_of(sample, key, &form));
        return found.map(|key| (key, form)).ok_or_else(none);
    }
    let (key, form) = time_column(sample).ok_or_else(none)?;
    if !matches!(form, TimeForm::Ambiguous { .. }) {
        return Ok((key, form));
    }
    let longer = Sample::read(&sample.path, MANY_RECORDS)?;
    match form_of(&longer, &key) {
        Some(TimeForm::Ambiguous { month_first, day_first }) => {
            let example = sample.values(&key).next().map(Json::to_string).unwrap_or_default();
            let (path, column) = (sample.path.clone(), key);
            Err(InitError::AmbiguousTime { path, column, example, month_first, day_first })
        }
        Some(form) => Ok((key, form)),
        None => Err(none()),
    }
}

/// Keys with one of the names, in the order of the names.
fn named<'a>(sample: &'a Sample, names: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    names
        .iter()
        .flat_map(|name| sample.keys.iter().filter(move |key| plain(key) == **name))
        .cloned()
}

/// A name without case and punctuation.
pub(super) fn plain(key: &str) -> String {
    key.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The first column that reads as times, by name first, then any; with the form of its values.
fn time_column(sample: &Sample) -> Option<(String, TimeForm)> {
    let reads = |key: String| form_of(sample, &key).map(|form| (key, form));
    let speaks_of_time = |key: &&String| {
        let name = plain(key);
        name.ends_with("at")
            || name.contains("time")
            || name.contains("date")
            || name.ends_with("ts")
    };
    // texts that read as times are times; numbers without a word for it may be anything
    let is_text = |(_, form): &(String, TimeForm)| !matches!(form, TimeForm::Number(_));
    named(sample, TIME)
        .find_map(reads)
        .or_else(|| sample.keys.iter().filter(speaks_of_time).cloned().find_map(reads))
        .or_else(|| sample.keys.iter().cloned().filter_map(reads).find(is_text))
}

/// A column that says when events were received, in the form of the other, because a mapping has one.
fn known_time_column(sample: &Sample, time: &str, form: &TimeForm) -> Option<String> {
    named(sample, KNOWN_TIME).find(|key| key != time && is_of(sample, key, form))
}

/// A column named like an id whose values repeat: several events of one user.
fn pick_id(sample: &Sample, taken: &[String]) -> Option<String> {
    let fits = |key: &&String| {
        let name = plain(key);
        let n = sample.values(key).count();
        let n_distinct = sample.n_distinct(key);
        !taken.contains(key)
            && name.ends_with("id")
            && sample.filled(key) >= 0.5
            && n_distinct > 1
            && n_distinct < n
    };
    sample.keys.iter().find(fits).cloned()
}

/// Rows without a name: a purchase where there is money, else just an event.
fn constant_name(sample: &Sample) -> String {
    let money = named(sample, MONEY).chain(named(sample, UNIT_PRICE)).next();
    if money.is_some() { "purchase".to_owned() } else { "event".to_owned() }
}

/// Revenue from quantity and price, where nothing is a total already.
fn derive_of(sample: &Sample, reasons: &mut Vec<String>) -> BTreeMap<String, String> {
    let is_number = |key: &String| sample.values(key).all(Json::is_number);
    let is_variable = |key: &String| {
        key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
            && !key.starts_with(|letter: char| letter.is_ascii_digit())
    };
    let fits = |key: &String| is_number(key) && is_variable(key);
    let quantity = named(sample, QUANTITY).find(fits);
    let price = named(sample, UNIT_PRICE).find(fits);
    let totals: Vec<&str> =
        MONEY.iter().copied().filter(|name| !UNIT_PRICE.contains(name)).collect();
    let has_total = named(sample, &totals).next().is_some();
    match (quantity, price) {
        (Some(quantity), Some(price)) if !has_total => {
            reasons.push(format!("revenue is {quantity} times {price}"));
            BTreeMap::from([("revenue".to_owned(), format!("{quantity} * {price}"))])
        }
        _ => BTreeMap::new(),
    }
}

fn no_column(sample: &Sample, what: &'static str, key: &'static str) -> InitError {
    let example = |key: &String| match sample.values(key).next() {
        Some(value) => format!("{key} (such as {value})"),
        None => format!("{key} (empty)"),
    };
    let found: Vec<String> = sample.keys.iter().take(20).map(example).collect();
    InitError::NoColumn { path: sample.path.clone(), what, key, found: found.join(", ") }
}
