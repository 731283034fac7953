//! The instants at which users are asked.

use std::borrow::Cow;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};
use rayon::prelude::*;
use segue_events::{Cell, EventKind, EventLog, History, Micros, RoleMap, Symbols};
use segue_features::EventPattern;

use super::RowsError;
use super::cell::bad_cell;
use super::instant::instant_of;
use crate::job::Spine;
use crate::read::Frame;

/// One microsecond after the trigger became known, so that the trigger itself is visible.
const AFTER_TRIGGER_US: Micros = 1;

/// 1980-01-01 to 2200-01-01 UTC, as for events: beyond, a number is in another unit.
const INSTANTS_US: std::ops::Range<Micros> = 315_532_800_000_000..7_258_118_400_000_000;

/// Index of the history and instant of each row.
pub(crate) type Instants = Vec<(usize, Micros)>;

/// The instants in the order of users and then time, and how many of a table have no history: their
/// user is in no event. A grid ends at `latest`, so that its newest rows are not used up by instants
/// that cannot be labelled yet.
pub(crate) fn spine_of(
    spine: &Spine,
    log: &EventLog,
    roles: &RoleMap,
    latest: Micros,
    folder: &Path,
) -> Result<(Instants, u64), RowsError> {
    let each = |rows: &(dyn Fn(&History) -> Vec<Micros> + Sync)| {
        let of_history = |(index, history): (usize, &History)| {
            rows(history).into_iter().map(move |t| (index, t))
        };
        log.histories.par_iter().enumerate().flat_map_iter(of_history).collect::<Vec<_>>()
    };
    let instants = match spine {
        Spine::AfterStart { offset, event } => {
            let matching = Matching::new(event, roles, &log.symbols)?;
            each(&|history| {
                let start = matching.events(history).next();
                start.map(|at| history.event_ts()[at] + offset.us).into_iter().collect()
            })
        }
        Spine::Grid { every, max_rows_per_user } => each(&|history| {
            let Some(&first) = history.event_ts().first() else { return Vec::new() };
            // grid points are multiples of `every` since 1970, so that they do not move with the data
            let mut t = latest.div_euclid(every.us) * every.us;
            let mut rows = Vec::new();
            while t > first && rows.len() < *max_rows_per_user {
                rows.push(t);
                t -= every.us;
            }
            rows.reverse();
            rows
        }),
        Spine::AtEvent { event, offset, max_rows_per_user } => {
            let matching = Matching::new(event, roles, &log.symbols)?;
            each(&|history| {
                let mut rows: Vec<Micros> = matching
                    .events(history)
                    .map(|at| {
                        let trigger = history.event_ts()[at].max(history.known_ts()[at]);
                        trigger + AFTER_TRIGGER_US + offset.us
                    })
                    .collect();
                rows.sort_unstable();
                rows.dedup();
                rows.truncate(*max_rows_per_user);
                rows
            })
        }
        Spine::Table { file, user, time, offset } => {
            return from_table(&folder.join(file), user, time, offset.us, log);
        }
    };
    Ok((instants, 0))
}

fn from_table(
    path: &Path,
    user: &str,
    time: &str,
    offset_us: Micros,
    log: &EventLog,
) -> Result<(Instants, u64), RowsError> {
    let frame = Frame::read(path)?;
    let users = frame.column(user, "spine.user")?;
    let times = frame.column(time, "spine.time")?;
    let places = Places::of(log);
    let (mut rows, mut n_without_history) = (Vec::new(), 0);
    for row in 0..frame.n_rows() {
        let id: Cow<'_, str> = match users.cell(row) {
            Cell::Text(text) => text,
            Cell::Integer(number) => number.to_string().into(),
            other => return Err(bad_cell(&frame, row, user, &other, "a user id")),
        };
        let cell = times.cell(row);
        let instant = instant_of(&cell).and_then(|t| t.checked_add(offset_us));
        let t = instant.filter(|t| INSTANTS_US.contains(t)).ok_or_else(|| {
            let expected = "microseconds UTC or a date and time, from 1980 to 2199";
            bad_cell(&frame, row, time, &cell, expected)
        })?;
        match places.of_user(&id) {
            Some(history) => rows.push((history, t)),
            None => n_without_history += 1,
        }
    }
    rows.sort_unstable();
    rows.dedup();
    Ok((rows, n_without_history))
}

/// Where each user's history is. A table asks for many of them, and a search by text looks at many texts.
struct Places<'a> {
    symbols: &'a Symbols,
    /// By symbol; of one that is no user, nothing.
    histories: Vec<Option<usize>>,
}

impl<'a> Places<'a> {
    fn of(log: &'a EventLog) -> Self {
        let mut histories = vec![None; log.symbols.len()];
        for (index, history) in log.histories.iter().enumerate() {
            histories[history.user().index()] = Some(index);
        }
        Self { symbols: &log.symbols, histories }
    }

    fn of_user(&self, user: &str) -> Option<usize> {
        self.histories[self.symbols.get(user)?.index()]
    }
}

/// Which events of a log a pattern names, decided once per name.
struct Matching {
    is_match: Vec<bool>,
}

impl Matching {
    fn new(pattern: &str, roles: &RoleMap, symbols: &Symbols) -> Result<Self, RowsError> {
        let glob = |text: &str| -> Result<GlobMatcher, RowsError> {
            GlobBuilder::new(text).build().map(|glob| glob.compile_matcher()).map_err(|error| {
                RowsError::LabelEvents {
                    message: format!("spine.event {text:?} is no glob: {error}"),
                }
            })
        };
        let is_match: Box<dyn Fn(&str) -> bool> = match EventPattern::parse(pattern) {
            EventPattern::Role(role) => Box::new(move |name| roles.has_role(name, &role)),
            EventPattern::Bare(text) if roles.contains(&text) => {
                Box::new(move |name| roles.has_role(name, &text))
            }
            EventPattern::Glob(text) => {
                let glob = glob(&text)?;
                Box::new(move |name| glob.is_match(name))
            }
            EventPattern::Bare(text) if text.contains(['*', '?', '[', '{']) => {
                let glob = glob(&text)?;
                Box::new(move |name| glob.is_match(name))
            }
            EventPattern::Name(text) | EventPattern::Bare(text) => {
                Box::new(move |name| name == text)
            }
        };
        Ok(Self { is_match: symbols.iter().map(|(_, name)| is_match(name)).collect() })
    }

    /// Indices of the matching events of a history, in order. Traits and identity are no events here.
    fn events<'a>(&'a self, history: &'a History) -> impl Iterator<Item = usize> + 'a {
        (0..history.len()).filter(|&at| {
            let activity =
                matches!(history.kind(at), EventKind::Track | EventKind::Page | EventKind::Screen);
            activity && self.is_match[history.name()[at].index()]
        })
    }
}
