//! Which predictions are logged, and how their subjects are named.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use arc_swap::ArcSwap;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::id::PredictionId;
use super::options::{ALL_BASIS_POINTS, PredictionLogOptions, SubjectLogging};

/// Shares in basis points: one for all models, and those of models that have their own.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) default: u32,
    pub(crate) by_model: BTreeMap<String, u32>,
}

impl Rates {
    /// The share of a model.
    pub(crate) fn of(&self, model: &str) -> u32 {
        self.by_model.get(model).copied().unwrap_or(self.default)
    }
}

/// Draws by subject, so that a subject is logged whole or not at all and those with many predictions
/// are no likelier; without a subject by prediction. The draw of a subject is the same on every server
/// and the smaller of two shares is a part of the larger.
#[derive(Debug)]
pub(crate) struct Sampling(ArcSwap<Rates>);

impl Sampling {
    pub(crate) fn new(default: u32) -> Self {
        Self(ArcSwap::from_pointee(Rates { default, by_model: BTreeMap::new() }))
    }

    /// The shares of this moment.
    pub(crate) fn rates(&self) -> Rates {
        Rates::clone(&self.0.load())
    }

    /// Sets the share of a model, or of all without their own and of those that have it.
    pub(crate) fn set(&self, model: Option<&str>, basis_points: u32) {
        self.0.rcu(|rates| match model {
            Some(model) => {
                let mut rates = Rates::clone(rates);
                rates.by_model.insert(model.to_owned(), basis_points);
                rates
            }
            None => Rates { default: basis_points, by_model: BTreeMap::new() },
        });
    }

    /// Whether a prediction is for the log.
    pub(crate) fn takes(&self, model: &str, subject: &str, id: PredictionId) -> bool {
        match self.0.load().of(model) {
            0 => false,
            ALL_BASIS_POINTS.. => true,
            share if subject.is_empty() => is_drawn(&id.bits().to_le_bytes(), share),
            share => is_drawn(subject.as_bytes(), share),
        }
    }
}

/// FNV-1a with the finish of MurmurHash3. Not that of the split of the traffic: who is logged must not
/// depend on who meets the canary.
fn is_drawn(key: &[u8], basis_points: u32) -> bool {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = b"segue.prediction_log".iter().chain(key).fold(0xcbf2_9ce4_8422_2325, fold);
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    let place = (u128::from(hash) * u128::from(ALL_BASIS_POINTS)) >> 64;
    place < u128::from(basis_points)
}

/// Names subjects as the operator wants.
#[derive(Debug)]
pub(crate) enum Subjects {
    None,
    Plain,
    Hashed(Box<hmac::Key>),
}

/// Bytes of a key that is drawn.
const KEY_BYTES: usize = 32;

impl Subjects {
    /// With the key of the options, or one kept in the folder.
    pub(crate) fn open(options: &PredictionLogOptions) -> io::Result<Self> {
        Ok(match options.subjects {
            SubjectLogging::None => Self::None,
            SubjectLogging::Plain => Self::Plain,
            SubjectLogging::Hashed => {
                let key = match &options.subject_key {
                    Some(path) => fs::read(path)?,
                    None => kept_key(&options.dir.join(".subject-key"))?,
                };
                if key.len() < 16 {
                    let message = "the key of subjects has fewer than 16 bytes";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                Self::Hashed(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &key)))
            }
        })
    }

    /// The name of a subject in the log.
    pub(crate) fn name(&self, subject: String) -> Option<String> {
        match self {
            _ if subject.is_empty() => None,
            Self::None => None,
            Self::Plain => Some(subject),
            Self::Hashed(keyed) => {
                let hash = hmac::sign(keyed, subject.as_bytes());
                Some(hex::encode(&hash.as_ref()[..16]))
            }
        }
    }

    /// Whether the log has the column.
    pub(crate) fn are_named(&self) -> bool {
        !matches!(self, Self::None)
    }
}

/// Reads a key, or draws one that only this user can read.
fn kept_key(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Ok(key) => return Ok(key),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut key = [0; KEY_BYTES];
    let no_key = |_| io::Error::other("the system gives no random numbers");
    SystemRandom::new().fill(&mut key).map_err(no_key)?;
    let part = path.with_extension(format!("{}", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(&key)?;
    file.sync_all()?;
    // Of two servers that start at once one key stays.
    let linked = fs::hard_link(&part, path);
    fs::remove_file(&part)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::read(path),
    }
}
