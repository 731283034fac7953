//! Source mappings: one record of a product's export becomes one [`Event`].
//!
//! Each format has its module, which says field by field what becomes of it. Here is what they
//! share: the checked [`Mapper`] and the reading of fields.

mod amplitude;
mod fields;
mod mixpanel;
mod plain;
mod posthog;
mod segment;
mod table;

use std::sync::atomic::{AtomicU64, Ordering};

use globset::{Glob, GlobSet, GlobSetBuilder};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use plain::PlainMapping;
pub use table::Table;

use crate::record::Record;
use crate::skew::DEFAULT_SKEW_DEADBAND_US;
use crate::time::{TimeFormat, TimeReader, TimeUnit, zone_named};
use crate::{Event, EventId, Micros, Reject};

/// Whose export a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceFormat {
    /// Segment's specification; RudderStack writes the same.
    Segment,
    /// Amplitude's export API.
    Amplitude,
    /// Mixpanel's raw export.
    Mixpanel,
    /// PostHog's events export.
    #[serde(alias = "post_hog", rename = "posthog")]
    PostHog,
    /// Columns that the job names.
    Plain,
}

impl SourceFormat {
    /// Every format.
    pub const ALL: [Self; 5] =
        [Self::Segment, Self::Amplitude, Self::Mixpanel, Self::PostHog, Self::Plain];

    /// Name in jobs and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Amplitude => "amplitude",
            Self::Mixpanel => "mixpanel",
            Self::PostHog => "posthog",
            Self::Plain => "plain",
        }
    }
}

/// What a mapping needs to know beside the format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MapperOptions {
    /// IANA time zone of a Mixpanel project, `UTC` for one created since 2023. Older projects
    /// export local time as if it were UTC, so Mixpanel files are refused without it.
    pub project_time_zone: Option<String>,
    /// Unit of Mixpanel's `time`: seconds, or milliseconds if exported with `time_in_ms=true`.
    pub mixpanel_time_unit: TimeUnit,
    /// A Mixpanel property that holds the session id.
    pub session_property: Option<String>,
    /// Clock skew up to this many microseconds is left alone.
    pub skew_deadband_us: Micros,
    /// Globs of properties to leave out, by their flat key (`context.library.*`).
    pub exclude_properties: Vec<String>,
}

impl Default for MapperOptions {
    fn default() -> Self {
        Self {
            project_time_zone: None,
            mixpanel_time_unit: TimeUnit::Seconds,
            session_property: None,
            skew_deadband_us: DEFAULT_SKEW_DEADBAND_US,
            exclude_properties: Vec::new(),
        }
    }
}

/// A mapping that cannot work, whatever the data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// A key that a plain mapping needs.
    #[error("mapping.{key} is missing: {way_out}")]
    Missing {
        /// Key of the mapping.
        key: &'static str,
        /// What to write.
        way_out: &'static str,
    },
    /// Two keys that exclude each other.
    #[error("mapping.{first} and mapping.{second} are both given; keep one")]
    Contradiction {
        /// One key.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A key that is there but holds nothing.
    #[error("mapping.{key} is empty; name a column, or leave the key out")]
    EmptyName {
        /// Key of the mapping.
        key: &'static str,
    },
    /// A plain source without a mapping.
    #[error("a plain source needs a mapping that names its columns: user, event and time at least")]
    NoPlainMapping,
    /// A time zone that does not exist.
    #[error("{key} = \"{found}\" is not an IANA time zone; write for example \"Europe/Berlin\"")]
    TimeZone {
        /// Key.
        key: &'static str,
        /// Value found.
        found: String,
    },
    /// A way to write times that cannot be read.
    #[error(
        "mapping.time_format = \"{found}\" reads no time: {why}; write for example \"%m/%d/%Y %H:%M\""
    )]
    TimeFormat {
        /// Value found.
        found: String,
        /// What the reader says.
        why: String,
    },
    /// A Mixpanel source without its project's zone.
    #[error(
        "a mixpanel source needs project_time_zone: \"UTC\" for projects created since 2023, \
         else the project's own zone, because its times are exported as local time"
    )]
    MixpanelTimeZone,
    /// A glob that does not parse.
    #[error("exclude_properties: `{glob}` is not a glob: {why}")]
    Glob {
        /// Glob as given.
        glob: String,
        /// What the parser says.
        why: String,
    },
}

/// Things that a mapping put right without refusing the row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MapNotes {
    /// Events without a time of receipt: taken as known when they happened.
    pub without_known_time: u64,
    /// Events whose time was moved because the client's clock ran wrong.
    pub skew_corrected: u64,
    /// Events without an id of their own: their duplicates cannot be removed.
    pub without_event_id: u64,
}

#[derive(Debug, Default)]
struct Tally {
    without_known_time: AtomicU64,
    skew_corrected: AtomicU64,
    without_event_id: AtomicU64,
}

impl Tally {
    fn add(&self, without_known_time: u64, without_event_id: u64) {
        self.without_known_time.fetch_add(without_known_time, Ordering::Relaxed);
        self.without_event_id.fetch_add(without_event_id, Ordering::Relaxed);
    }
}

/// A checked mapping. Usable from several threads at once.
#[derive(Debug)]
pub struct Mapper {
    format: SourceFormat,
    options: MapperOptions,
    plain: PlainMapping,
    time: TimeReader,
    excluded: Option<GlobSet>,
    tally: Tally,
}

impl Mapper {
    /// Checks a mapping. `plain` is used, and needed, for [`SourceFormat::Plain`] only.
    ///
    /// # Errors
    /// If the mapping cannot work, with the key and the way out.
    pub fn new(
        format: SourceFormat,
        plain: Option<PlainMapping>,
        options: MapperOptions,
    ) -> Result<Self, MappingError> {
        let time = match format {
            SourceFormat::Plain => {
                plain.as_ref().ok_or(MappingError::NoPlainMapping)?.check()?;
                let zone = plain.as_ref().and_then(|plain| plain.time_zone.as_deref());
                let format = plain.as_ref().and_then(|plain| plain.time_format.as_deref());
                TimeReader {
                    unit: plain.as_ref().and_then(|plain| plain.time_unit),
                    zone: read_zone("mapping.time_zone", zone.unwrap_or("UTC"))?,
                    format: format.map(read_format).transpose()?,
                }
            }
            SourceFormat::Mixpanel => {
                let zone = options.project_time_zone.as_deref();
                let zone = zone.ok_or(MappingError::MixpanelTimeZone)?;
                TimeReader {
                    unit: Some(options.mixpanel_time_unit),
                    zone: read_zone("project_time_zone", zone)?,
                    format: None,
                }
            }
            _ => TimeReader::utc(None),
        };
        let excluded = globs(&options.exclude_properties)?;
        let plain = plain.unwrap_or_default();
        Ok(Self { format, options, plain, time, excluded, tally: Tally::default() })
    }

    /// The source's format.
    #[must_use]
    pub fn format(&self) -> SourceFormat {
        self.format
    }

    /// Columns that a table must have, to be checked before its first row. Empty for the formats of
    /// products, whose records carry what they carry.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        match self.format {
            SourceFormat::Plain => self.plain.columns(),
            _ => Vec::new(),
        }
    }

    /// Maps one record.
    ///
    /// # Errors
    /// With the reason, the field and what was found there.
    pub fn map(&self, record: &dyn Record) -> Result<Event, Reject> {
        let event = match self.format {
            SourceFormat::Segment => segment::map(self, record),
            SourceFormat::Amplitude => amplitude::map(self, record),
            SourceFormat::Mixpanel => mixpanel::map(self, record),
            SourceFormat::PostHog => posthog::map(self, record),
            SourceFormat::Plain => plain::map(self, record),
        }?;
        if event.event_id == EventId::Absent {
            count(&self.tally.without_event_id);
        }
        Ok(event)
    }

    /// What was put right so far.
    #[must_use]
    pub fn notes(&self) -> MapNotes {
        MapNotes {
            without_known_time: self.tally.without_known_time.load(Ordering::Relaxed),
            skew_corrected: self.tally.skew_corrected.load(Ordering::Relaxed),
            without_event_id: self.tally.without_event_id.load(Ordering::Relaxed),
        }
    }

    /// Whether a property's flat key is one to leave out.
    fn is_excluded(&self, key: &str) -> bool {
        self.excluded.as_ref().is_some_and(|globs| globs.is_match(key))
    }

    /// The time of receipt, or the time of the event where the source has none.
    fn known_or(&self, known_ts: Option<Micros>, event_ts: Micros) -> Micros {
        known_ts.unwrap_or_else(|| {
            count(&self.tally.without_known_time);
            event_ts
        })
    }

    /// [`crate::skew::corrected`] with this mapper's deadband, counted.
    fn corrected(&self, original: Micros, sent: Micros, received: Micros) -> Micros {
        let deadband_us = self.options.skew_deadband_us;
        let corrected = crate::skew::corrected(original, sent, received, deadband_us);
        if corrected != original {
            count(&self.tally.skew_corrected);
        }
        corrected
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read_zone(key: &'static str, name: &str) -> Result<TimeZone, MappingError> {
    zone_named(name).ok_or_else(|| MappingError::TimeZone { key, found: name.to_owned() })
}

fn read_format(text: &str) -> Result<TimeFormat, MappingError> {
    TimeFormat::new(text).map_err(|why| MappingError::TimeFormat { found: text.to_owned(), why })
}

fn globs(texts: &[String]) -> Result<Option<GlobSet>, MappingError> {
    if texts.is_empty() {
        return Ok(None);
    }
    let bad = |glob: &str, error: &globset::Error| MappingError::Glob {
        glob: glob.to_owned(),
        why: error.kind().to_string(),
    };
    let mut set = GlobSetBuilder::new();
    for text in texts {
        set.add(Glob::new(text).map_err(|error| bad(text, &error))?);
    }
    set.build().map(Some).map_err(|error| bad(&texts.join(", "), &error))
}

#[cfg(test)]
mod tests;
