//! Where the log is: names of files, what is there, what is too much.
//!
//! ```text
//! predictions/MODEL/VERSION/2026-11-22T16-SERVER-0000.parquet   whole, never changed
//! outcomes/2026-11-22-SERVER.jsonl                              by day of the prediction
//! .open/MODEL@VERSION@2026-11-22T16-SERVER-0000.journal         being written, or left by a crash
//! .open/2026-11-22T16-SERVER-0000.parquet.part                  half a file
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::id::{HOUR_US, ServerId};

const HOUR_FORMAT: &str = "%Y-%m-%dT%H";
const HOUR_CHARS: usize = 13;

/// The folder of a log.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    dir: PathBuf,
}

/// Which file of a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileName {
    /// Hours since 1970.
    pub(crate) hour: i64,
    pub(crate) model: String,
    pub(crate) version: u64,
    pub(crate) server: ServerId,
    pub(crate) sequence: u64,
}

/// A whole file.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    pub(crate) name: FileName,
    pub(crate) path: PathBuf,
    pub(crate) n_bytes: u64,
}

impl FileName {
    fn stem(&self) -> String {
        format!("{}-{}-{:04}", hour_text(self.hour), self.server, self.sequence)
    }

    fn parse(model: &str, version: &str, stem: &str) -> Option<Self> {
        let (hour, rest) = stem.split_at_checked(HOUR_CHARS)?;
        let (server, sequence) = rest.strip_prefix('-')?.split_once('-')?;
        Some(Self {
            hour: parse_hour(hour)?,
            model: model.to_owned(),
            version: version.parse().ok()?,
            server: ServerId::parse(server)?,
            sequence: sequence.parse().ok()?,
        })
    }
}

/// Such as `2026-11-22T16`, in UTC.
pub(crate) fn hour_text(hour: i64) -> String {
    let time = Timestamp::from_microsecond(hour.saturating_mul(HOUR_US)).unwrap_or_default();
    time.to_zoned(TimeZone::UTC).strftime(HOUR_FORMAT).to_string()
}

fn parse_hour(text: &str) -> Option<i64> {
    let (date, hour) = text.split_once('T')?;
    let date: jiff::civil::Date = date.parse().ok()?;
    let hour: i8 = hour.parse().ok()?;
    let time: DateTime = date.at((0..24).contains(&hour).then_some(hour)?, 0, 0, 0);
    let time = time.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(time.as_microsecond().div_euclid(HOUR_US))
}

impl Folder {
    /// Makes the folders that are not there.
    pub(crate) fn create(dir: &Path) -> io::Result<Self> {
        let folder = Self { dir: dir.to_owned() };
        for part in [folder.predictions(), folder.outcomes(), folder.open()] {
            fs::create_dir_all(part)?;
        }
        Ok(folder)
    }

    /// A folder that is there already.
    pub(crate) fn existing(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn predictions(&self) -> PathBuf {
        self.dir.join("predictions")
    }

    /// Where outcomes are.
    pub(crate) fn outcomes(&self) -> PathBuf {
        self.dir.join("outcomes")
    }

    fn open(&self) -> PathBuf {
        self.dir.join(".open")
    }

    /// Where the journal of a file is.
    pub(crate) fn journal(&self, name: &FileName) -> PathBuf {
        self.open().join(format!("{}@{}@{}.journal", name.model, name.version, name.stem()))
    }

    /// Where a file is built.
    pub(crate) fn part(&self, name: &FileName) -> PathBuf {
        self.open().join(format!("{}@{}@{}.parquet.part", name.model, name.version, name.stem()))
    }

    /// Where a whole file is.
    pub(crate) fn file(&self, name: &FileName) -> PathBuf {
        let folder = self.predictions().join(&name.model).join(name.version.to_string());
        folder.join(format!("{}.parquet", name.stem()))
    }

    /// The journals that are there, of this process and of others, oldest first.
    pub(crate) fn journals(&self) -> io::Result<Vec<(FileName, PathBuf)>> {
        let mut journals = Vec::new();
        for path in entries(&self.open())? {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name.and_then(|name| name.strip_suffix(".journal")) else { continue };
            let mut parts = name.splitn(3, '@');
            if let (Some(model), Some(version), Some(stem)) =
                (parts.next(), parts.next(), parts.next())
                && let Some(name) = FileName::parse(model, version, stem)
            {
                journals.push((name, path));
            }
        }
        journals.sort();
        Ok(journals)
    }

    /// The whole files, oldest first.
    pub(crate) fn files(&self) -> io::Result<Vec<LogFile>> {
        let sized = |(name, path): (FileName, PathBuf)| {
            let n_bytes = size_of(&path);
            LogFile { name, path, n_bytes }
        };
        let mut files: Vec<LogFile> = self.names()?.into_iter().map(sized).collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Names and places of the whole files, in any order, without a look at each.
    pub(crate) fn names(&self) -> io::Result<Vec<(FileName, PathBuf)>> {
        let mut files = Vec::new();
        for model in entries(&self.predictions())? {
            for version in entries(&model)? {
                for path in entries(&version)? {
                    files.extend(named_file(&model, &version, path));
                }
            }
        }
        Ok(files)
    }

    /// Bytes of everything but outcomes.
    pub(crate) fn n_bytes(&self) -> io::Result<u64> {
        let open: u64 = entries(&self.open())?.iter().map(|path| size_of(path)).sum();
        Ok(open + self.files()?.iter().map(|file| file.n_bytes).sum::<u64>())
    }
}

fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn named_file(model: &Path, version: &Path, path: PathBuf) -> Option<(FileName, PathBuf)> {
    let text = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
    let stem = text(&path)?.strip_suffix(".parquet")?.to_owned();
    let name = FileName::parse(&text(model)?, &text(version)?, &stem)?;
    Some((name, path))
}

/// What is in a folder; nothing if it is not there or no folder.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    listing.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction_log::id::PredictionIds;

    #[test]
    fn names_of_files_come_back() {
        let hour = 498_712;
        assert_eq!(hour_text(hour), "2026-11-22T16");
        let server = PredictionIds::new(0).server();
        let name = FileName { hour, model: "a.b-c".into(), version: 7, server, sequence: 12 };
        assert_eq!(FileName::parse("a.b-c", "7", &name.stem()), Some(name.clone()));
        for bad in ["", "2026-11-22T16", "2026-11-22T24-0-0", "é", &name.stem()[1..]] {
            assert_eq!(FileName::parse("a", "7", bad), None, "{bad}");
        }
    }
}
