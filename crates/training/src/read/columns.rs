//! Columns that a plain mapping names, sought in JSON objects, which may leave keys out.

use std::path::{Path, PathBuf};

use segue_events::{Mapper, PlainMapping, Record};
use serde_json::{Map, Value};

use super::ReadError;
use super::frame::no_column;

/// Records of a file without the user, the event or the time after which none is expected to come.
const HOPELESS_RECORDS: u64 = 1_000;

/// Which columns no record has had so far.
#[derive(Debug, Default)]
pub(super) struct SoughtColumns {
    unseen: Vec<String>,
    /// Those without which no record can be used.
    needed: Vec<String>,
    n_records: u64,
    /// Where the first record is, and its keys.
    first: Option<(PathBuf, u64, Vec<String>)>,
}

impl SoughtColumns {
    /// All columns of the mapping are still to be seen; in the middle of a file, where others may have
    /// seen them, none is missed soon.
    pub(super) fn new(mapper: &Mapper, plain: Option<&PlainMapping>, is_continued: bool) -> Self {
        let needed = plain.filter(|_| !is_continued).map_or_else(Vec::new, |plain| {
            let user = plain.user.as_ref().filter(|_| plain.anonymous.is_none());
            [user, plain.event.as_ref(), plain.time.as_ref()]
                .into_iter()
                .flatten()
                .cloned()
                .collect()
        });
        let unseen = mapper.columns().into_iter().map(str::to_owned).collect();
        Self { unseen, needed, n_records: 0, first: None }
    }

    /// Looks at a record, which stands at `line` of a file.
    ///
    /// # Errors
    /// If one of the columns that every record needs is not in the first records of the file.
    pub(super) fn see(
        &mut self,
        path: &Path,
        line: u64,
        record: &Map<String, Value>,
    ) -> Result<(), ReadError> {
        if self.unseen.is_empty() {
            return Ok(());
        }
        self.n_records += 1;
        if self.first.is_none() {
            self.first = Some((path.to_owned(), line, record.keys().cloned().collect()));
        }
        let below = |column: &str| {
            let mut is_there = false;
            record.visit_under(column, &mut |_, _| is_there = true);
            is_there
        };
        self.unseen.retain(|column| record.cell(column).is_none() && !below(column));
        match self.unseen.iter().find(|column| self.needed.contains(column)) {
            Some(column) if self.n_records >= HOPELESS_RECORDS => Err(self.error(column)),
            _ => Ok(()),
        }
    }

    /// The same where so many lines of the file come before.
    pub(super) fn after(mut self, n_lines: u64) -> Self {
        if let Some((_, line, _)) = &mut self.first {
            *line += n_lines;
        }
        self
    }

    /// Puts together what two stretches of records have not shown.
    pub(super) fn join(&mut self, other: Self) {
        if other.first.is_none() {
            return;
        }
        if self.first.is_none() {
            *self = other;
        } else {
            self.unseen.retain(|column| other.unseen.contains(column));
        }
    }

    /// Fails if there were records and a column was in none of them.
    pub(super) fn check(&self) -> Result<(), ReadError> {
        match (&self.first, self.unseen.first()) {
            (Some(_), Some(column)) => Err(self.error(column)),
            _ => Ok(()),
        }
    }

    fn error(&self, column: &str) -> ReadError {
        let (path, line, keys) = self.first.clone().unwrap_or_default();
        no_column(&path, line, column, "events.columns", &keys)
    }
}

#[cfg(test)]
mod tests {
    use segue_events::{MapperOptions, SourceFormat};

    use super::*;

    fn sought() -> SoughtColumns {
        let plain: PlainMapping = toml::from_str(
            "user = 'who'\nevent = 'what'\ntime = 'when'\nproperties = ['price', 'place']",
        )
        .unwrap();
        let options = MapperOptions::default();
        let mapper = Mapper::new(SourceFormat::Plain, Some(plain.clone()), options).unwrap();
        SoughtColumns::new(&mapper, Some(&plain), false)
    }

    fn see(sought: &mut SoughtColumns, line: u64, text: &str) -> Result<(), ReadError> {
        let record: Map<String, Value> = serde_json::from_str(text).unwrap();
        sought.see(Path::new("log.jsonl"), line, &record)
    }

    #[test]
    fn a_key_may_come_late_and_even_in_another_file() {
        let (mut first, mut second) = (sought(), sought());
        see(&mut first, 1, r#"{"who": "a", "what": "b", "when": null}"#).unwrap();
        see(&mut first, 2, r#"{"place": {"city": "c"}}"#).unwrap();
        assert!(first.check().unwrap_err().to_string().contains("\"price\""));
        see(&mut second, 1, r#"{"price": 1}"#).unwrap();
        first.join(SoughtColumns::default());
        first.join(second);
        first.check().unwrap();
    }

    #[test]
    fn a_key_that_never_comes_is_told_soon_if_every_record_needs_it() {
        let mut sought = sought();
        let record = r#"{"whom": "a", "what": "b", "when": 1, "price": 1, "place": 1}"#;
        for line in 1..HOPELESS_RECORDS {
            see(&mut sought, line, record).unwrap();
        }
        let error = see(&mut sought, HOPELESS_RECORDS, record).unwrap_err().to_string();
        assert!(error.starts_with("log.jsonl:1: there is no column \"who\""), "{error}");
    }
}
