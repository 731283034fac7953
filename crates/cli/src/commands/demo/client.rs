//! A back-end as it would be written: events of a session in, scores, segments and reasons out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use segue_client::proto::{self as pb, Direction, EventHistory, PropertyValue, property_value};
use segue_client::{Client, Timestamp};
use segue_events::{EventKind, EventLog, Scalar};
use segue_features::RequestFields;
use segue_model::Scratch;
use segue_registry::{Choice, Registry};
use segue_training::job::{Job, Origin};
use segue_training::read::{EventFiles, read_events};
use segue_training::score::FileScorer;
use serde_json::json;

use super::{Asked, JOBS};
use crate::commands::n_threads;
use crate::console::{Console, table};

/// What is asked of the server, and what the training side says to it.
pub(super) struct Question {
    user: String,
    history: EventHistory,
    offline: Vec<f64>,
}

/// Three users on their eighth day: one likely to leave, one to need help, one to upgrade.
pub(super) fn questions(
    registry: &Registry,
    data: &Path,
    console: &Console,
) -> anyhow::Result<Vec<Question>> {
    let job = Job::parse(JOBS[0].1, Path::new(JOBS[0].0), data.to_owned())?;
    let Origin::Events(events) = &job.origin else { bail!("the demo's jobs read events") };
    let (log, _) = read_events(EventFiles {
        section: &events.source,
        folder: data,
        rejects: None,
        n_threads: n_threads(None),
        progress: &|done, _| segue_training::watch::Watch::done(console, done),
    })?;
    let scorers = JOBS
        .iter()
        .map(|(name, _)| {
            let version = registry.resolve(name, &Choice::Champion)?;
            Ok(FileScorer::new(registry.load(name, version)?)?)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    notable_users(data)?
        .into_iter()
        .map(|(user, at_us)| {
            let index =
                log.index_of(&user).with_context(|| format!("user {user} has no events"))?;
            let history = history(&log, index, at_us);
            let offline =
                scorers.iter().map(|scorer| offline(scorer, &log, index, at_us)).collect();
            Ok(Question { user, history, offline })
        })
        .collect()
}

/// For each outcome the user of `truth.csv` whose probability of it is highest, and when to ask.
fn notable_users(data: &Path) -> anyhow::Result<Vec<(String, i64)>> {
    let path = data.join("truth.csv");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        let at = head.iter().position(|column| *column == name);
        at.with_context(|| format!("{} has no column {name}", path.display()))
    };
    let (user, at) = (column("user_id")?, column("snapshot_ts")?);
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let mut found: BTreeMap<String, i64> = BTreeMap::new();
    for name in ["p_churn", "p_support", "p_convert"] {
        let probability = column(name)?;
        let of = |row: &&Vec<&str>| row[probability].parse::<f64>().unwrap_or(0.0);
        if let Some(row) = rows.iter().max_by(|a, b| of(a).total_cmp(&of(b))) {
            let instant: jiff::Timestamp = row[at].parse()?;
            found.insert(row[user].to_owned(), instant.as_microsecond());
        }
    }
    Ok(found.into_iter().collect())
}

fn offline(scorer: &FileScorer, log: &EventLog, index: usize, at_us: i64) -> f64 {
    let Some(set) = &scorer.feature_set else { return f64::NAN };
    let mut row = vec![f64::NAN; set.schema().len()];
    set.bind(&log.symbols).row(&log.histories[index], at_us, &RequestFields::new(), &mut row);
    scorer.model.score(&row, &mut Scratch::default()).score()
}

fn history(log: &EventLog, index: usize, at_us: i64) -> EventHistory {
    let history = &log.histories[index];
    let events = (0..history.len())
        .filter(|&at| history.event_ts()[at] < at_us)
        .map(|at| pb::Event {
            event_id: format!("{at:06}"),
            name: log.symbols.text(history.name()[at]).to_owned(),
            kind: match history.kind(at) {
                EventKind::Page => pb::EventKind::Page,
                EventKind::Screen => pb::EventKind::Screen,
                EventKind::Identify => pb::EventKind::Identify,
                EventKind::Group => pb::EventKind::Group,
                EventKind::Track | EventKind::Alias => pb::EventKind::Track,
            } as i32,
            event_time: Some(timestamp(history.event_ts()[at])),
            known_time: Some(timestamp(history.known_ts()[at])),
            sequence: 0,
            session_id: log.symbols.text(history.session(at)).to_owned(),
            properties: history
                .properties(at)
                .iter()
                .map(|(key, value)| (log.symbols.text(*key).to_owned(), property(log, *value)))
                .collect(),
        })
        .collect();
    EventHistory { events, as_of: Some(timestamp(at_us)), request_fields: BTreeMap::new() }
}

fn property(log: &EventLog, value: Scalar) -> PropertyValue {
    let kind = match value {
        Scalar::Number(number) => property_value::Kind::Number(number),
        Scalar::Text(text) => property_value::Kind::Text(log.symbols.text(text).to_owned()),
        Scalar::Flag(flag) => property_value::Kind::Flag(flag),
    };
    PropertyValue { kind: Some(kind) }
}

fn timestamp(us: i64) -> Timestamp {
    let nanos = (us.rem_euclid(1_000_000) * 1_000) as i32;
    Timestamp { seconds: us.div_euclid(1_000_000), nanos }
}

/// For models to be loaded, and for an answer; both take far less.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks once the server says that it is ready, and compares every score with the offline one.
pub(super) async fn ask(address: SocketAddr, questions: &[Question]) -> anyhow::Result<Asked> {
    let client = Client::builder(format!("http://{address}")).deadline(PATIENCE).connect()?;
    client.wait_until_serving("", tokio::time::Instant::now() + PATIENCE).await?;
    let (mut machine, mut rows) = (Vec::new(), Vec::new());
    for question in questions {
        let mut call = client.score(JOBS[0].0);
        for (name, _) in &JOBS[1..] {
            call = call.and_model(*name);
        }
        let scored = call.events(question.history.clone()).explain(2).send().await?;
        for (prediction, offline) in scored.predictions().iter().zip(&question.offline) {
            let served_by = scored.served_by_of(prediction);
            if prediction.score.to_bits() != offline.to_bits() {
                bail!(
                    "{} of {}: the server says {}, training said {offline}",
                    served_by.model,
                    question.user,
                    prediction.score
                );
            }
            let reasons: Vec<String> = prediction
                .attributions
                .iter()
                .map(|reason| {
                    let sign = if reason.direction() == Direction::Raises { '+' } else { '-' };
                    format!("{sign} {}", reason.behaviour)
                })
                .collect();
            rows.push(vec![
                question.user.clone(),
                format!("{}/{}", served_by.model, served_by.version),
                format!("{:.3}", prediction.score),
                prediction.segment.clone(),
                reasons.join(", "),
            ]);
            machine.push(json!({
                "user": question.user,
                "model": served_by.model,
                "version": served_by.version,
                "score": prediction.score,
                "segment": prediction.segment,
                "reasons": reasons,
            }));
        }
    }
    let mut people = table(&["user", "model", "probability", "segment", "reasons"], &rows);
    people.push_str("every score equals the one computed in training, bit for bit\n");
    Ok(Asked { machine, people })
}
