//! Trials in a file, a JSON line each, so that a search goes on where it was stopped.
//!
//! A line is written whole and synced before the next trial begins: whatever ends the process, at most
//! the running trial is lost. What a torn last line holds is dropped.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TuneError;
use super::space::Params;

/// What the trials of a file are of: the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Version of this format.
    pub(super) segue_tune: u32,
    /// SHA-256 of the job with every default.
    pub(super) job: String,
    /// SHA-256 of the data.
    pub(super) data: String,
    /// Folds.
    pub(super) folds: usize,
    /// Seed of the search.
    pub(super) seed: u64,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// All folds were fitted.
    Done,
    /// Given up, because three in four of the finished trials were better by then.
    Pruned,
    /// A fold could not be fitted.
    Failed,
}

/// What a fold came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FoldResult {
    /// Mean loss on its later rows.
    pub loss: f64,
    /// Rounds or trees kept.
    pub rounds: usize,
    /// Best loss so far each time that rounds times learning rate reached 2, 4, 8 and so on.
    pub curve: Vec<f64>,
}

/// One set of parameters, measured. Trial 0 is the job as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Its number, from 0.
    pub trial: usize,
    /// What was tried, by key of `[learner]`.
    pub params: Params,
    /// How it ended.
    pub state: TrialState,
    /// Mean over the folds, if all were fitted.
    pub loss: Option<f64>,
    /// The folds that were fitted, in order.
    pub folds: Vec<FoldResult>,
}

/// The file, open for one search.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    file: File,
}

impl Record {
    /// Opens or begins a file and gives what it holds already.
    pub(super) fn open(path: &Path, head: &Head) -> Result<(Self, Vec<Trial>), TuneError> {
        let io = |source| TuneError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(TuneError::Busy { path: path.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        let mut record = Self { path: path.to_owned(), file };
        let trials = record.read(&bytes[..whole], head)?;
        if whole == 0 {
            record.put(head)?;
        }
        Ok((record, trials))
    }

    fn read(&self, bytes: &[u8], head: &Head) -> Result<Vec<Trial>, TuneError> {
        let bad = |line: usize, reason: String| {
            Err(TuneError::Line { path: self.path.clone(), line, reason })
        };
        let mut trials = Vec::new();
        for (at, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            if at == 0 {
                match serde_json::from_slice::<Head>(line) {
                    Ok(found) => self.check(&found, head)?,
                    Err(error) => return bad(1, error.to_string()),
                }
                continue;
            }
            match serde_json::from_slice::<Trial>(line) {
                Ok(trial) if trial.trial == trials.len() => trials.push(trial),
                Ok(trial) => {
                    let reason = format!("it says {}, expected {}", trial.trial, trials.len());
                    return bad(at + 1, reason);
                }
                Err(error) => return bad(at + 1, error.to_string()),
            }
        }
        Ok(trials)
    }

    fn check(&self, found: &Head, head: &Head) -> Result<(), TuneError> {
        let text = |number: u64| number.to_string();
        let facts = [
            ("format", text(found.segue_tune.into()), text(head.segue_tune.into())),
            ("job", found.job.clone(), head.job.clone()),
            ("data set", found.data.clone(), head.data.clone()),
            ("number of folds", text(found.folds as u64), text(head.folds as u64)),
            ("seed", text(found.seed), text(head.seed)),
        ];
        match facts.into_iter().find(|(_, found, expected)| found != expected) {
            Some((what, found, expected)) => {
                let path = self.path.clone();
                Err(TuneError::OtherTrials { path, what, found, expected })
            }
            None => Ok(()),
        }
    }

    /// Appends a line.
    pub(super) fn put(&mut self, line: &impl Serialize) -> Result<(), TuneError> {
        let io = |source| TuneError::Io { path: self.path.clone(), source };
        let mut bytes = serde_json::to_vec(line).map_err(|error| io(error.into()))?;
        bytes.push(b'\n');
        self.file.write_all(&bytes).map_err(io)?;
        self.file.sync_data().map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(seed: u64) -> Head {
        Head { segue_tune: 1, job: "a".into(), data: "b".into(), folds: 3, seed }
    }

    fn trial(number: usize) -> Trial {
        let params = [("leaves".to_owned(), 7.0), ("l2".to_owned(), 0.1 + 0.2)].into();
        let folds = vec![FoldResult { loss: 0.5, rounds: 10, curve: vec![0.7, 0.6] }];
        Trial { trial: number, params, state: TrialState::Pruned, loss: None, folds }
    }

    #[test]
    fn trials_survive_a_torn_line_and_nothing_else_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        let (mut record, before) = Record::open(&path, &head(1)).unwrap();
        assert_eq!(before, []);
        record.put(&trial(0)).unwrap();
        record.put(&trial(1)).unwrap();
        assert!(matches!(Record::open(&path, &head(1)), Err(TuneError::Busy { .. })));
        drop(record);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let n_whole = whole[..cut].iter().filter(|&&byte| byte == b'\n').count();
            let (mut record, trials) = Record::open(&path, &head(1)).unwrap();
            assert_eq!(trials.len(), n_whole.saturating_sub(1), "cut at {cut}");
            record.put(&trial(trials.len())).unwrap();
            drop(record);
            let again = Record::open(&path, &head(1)).unwrap().1;
            assert_eq!(again.last(), Some(&trial(n_whole.saturating_sub(1))));
        }
    }

    #[test]
    fn what_is_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        drop(Record::open(&path, &head(1)).unwrap());
        let error = Record::open(&path, &head(2)).unwrap_err().to_string();
        assert!(error.contains("trials of another seed (1 instead of 2)"), "{error}");
        std::fs::write(&path, "{\"not\":1}\n").unwrap();
        let error = Record::open(&path, &head(1)).unwrap_err().to_string();
        assert!(error.contains("t.jsonl:1: is no trial"), "{error}");
        let mut text = serde_json::to_string(&head(1)).unwrap() + "\n";
        text.push_str(&(serde_json::to_string(&trial(4)).unwrap() + "\n"));
        std::fs::write(&path, text).unwrap();
        let error = Record::open(&path, &head(1)).unwrap_err().to_string();
        assert!(error.contains("t.jsonl:2: is no trial: it says 4, expected 0"), "{error}");
    }
}
