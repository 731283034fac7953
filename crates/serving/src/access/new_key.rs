//! What `segue access` does.

use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

use super::file::{check_name, grants};
use super::{Access, sha256};
use crate::ServeError;

/// A key, and the entry that lets its holder in.
#[derive(Clone, PartialEq, Eq)]
pub struct NewKey {
    /// To be given to its holder, and kept nowhere else.
    pub key: String,
    /// Lines for the access file.
    pub entry: String,
}

/// Makes a key of 256 random bits for `name`.
///
/// `roles` are as in the access file, such as `scorer` or `promoter:churn*@staging`; `expires` is a
/// time with its offset, such as `2027-01-31T00:00:00Z`.
///
/// # Errors
/// [`ServeError::Resource`] if the name, a role or the time is not good, or there are no random numbers.
pub fn new_access_key(
    name: &str,
    roles: &[String],
    expires: Option<&str>,
) -> Result<NewKey, ServeError> {
    let refuse =
        |detail: String| ServeError::Resource { action: "make a key", source: detail.into() };
    check_name(name).map_err(refuse)?;
    grants(roles).map_err(refuse)?;
    let mut random = [0; 32];
    let source = SystemRandom::new();
    source.fill(&mut random).map_err(|_| refuse("the system has no random numbers".to_owned()))?;
    let key = format!("segue_{}", hex::encode(random));
    let digest = hex::encode(sha256(key.as_bytes()));
    // Written as Rust writes texts, which for visible ASCII is how TOML does.
    let mut entry = format!("[[key]]\nname = {name:?}\nsha256 = \"{digest}\"\nroles = {roles:?}\n");
    if let Some(expires) = expires {
        let at: toml::value::Datetime = expires.parse().map_err(|_| {
            refuse(format!("{expires:?} is no time; expected such as 2027-01-31T00:00:00Z"))
        })?;
        super::file::seconds(&at).map_err(refuse)?;
        entry.push_str(&format!("expires = {expires}\n"));
    }
    Ok(NewKey { key, entry })
}

/// Reads an access file and what it names, as the server would.
///
/// # Errors
/// [`ServeError::Resource`] says what the server would refuse.
pub fn check_access_file(path: &Path) -> Result<(), ServeError> {
    Access::open(path).map(|_| ())
}
