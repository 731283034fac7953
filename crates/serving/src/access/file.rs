//! The access file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobSet, GlobSetBuilder};
use serde::Deserialize;

use super::identity::Identity;
use super::jwt::{Jwt, JwtRules};
use super::role::{Grant, glob};
use super::{Digest, role};
use crate::reload::{Files, ReloadError};

/// What callers are looked up in.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) keys: HashMap<Digest, KeyEntry>,
    pub(super) certificates: Vec<CertificateEntry>,
    pub(super) jwt: Option<Jwt>,
    pub(super) anonymous: Option<Arc<Identity>>,
}

#[derive(Debug)]
pub(super) struct KeyEntry {
    pub(super) digest: Digest,
    /// Seconds since 1970.
    pub(super) expires: Option<i64>,
    pub(super) identity: Arc<Identity>,
}

#[derive(Debug)]
pub(super) struct CertificateEntry {
    pub(super) names: GlobSet,
    pub(super) grants: Vec<Grant>,
    /// `None`: named by the certificate.
    pub(super) identity: Option<Arc<Identity>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessFile {
    version: u32,
    #[serde(default)]
    key: Vec<Key>,
    #[serde(default)]
    certificate: Vec<Certificate>,
    jwt: Option<JwtRules>,
    anonymous: Option<Anonymous>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    name: String,
    sha256: String,
    roles: Vec<String>,
    expires: Option<toml::value::Datetime>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Certificate {
    /// Globs over `DNS:`, `URI:`, `IP:` and `EMAIL:` names.
    names: Vec<String>,
    name: Option<String>,
    roles: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Anonymous {
    roles: Vec<String>,
}

pub(super) fn parse(path: &Path, content: &[u8]) -> Result<AccessFile, ReloadError> {
    let refuse = |detail: String| ReloadError::refused(path, detail);
    let text = std::str::from_utf8(content).map_err(|error| refuse(error.to_string()))?;
    let parsed: AccessFile = toml::from_str(text).map_err(|error| refuse(error.to_string()))?;
    if parsed.version != 1 {
        return Err(refuse(format!("version = {}, but 1 is known here", parsed.version)));
    }
    Ok(parsed)
}

impl AccessFile {
    /// Where the keys of JWTs are; relative to the access file.
    pub(super) fn key_set_path(&self, of: &Path) -> Option<PathBuf> {
        let jwt = self.jwt.as_ref()?;
        Some(of.parent().unwrap_or(Path::new("")).join(&jwt.jwks))
    }

    pub(super) fn table(
        self,
        path: &Path,
        key_set: Option<&Path>,
        files: &Files,
    ) -> Result<Table, ReloadError> {
        let refuse = |detail: String| ReloadError::refused(path, detail);
        let mut table = Table::default();
        for key in self.key {
            let entry = key.entry().map_err(refuse)?;
            let name = entry.identity.name.clone();
            if table.keys.insert(entry.digest, entry).is_some() {
                return Err(refuse(format!("{name}: its sha256 is there twice")));
            }
        }
        for certificate in self.certificate {
            table.certificates.push(certificate.entry().map_err(refuse)?);
        }
        if let (Some(rules), Some(key_set)) = (self.jwt, key_set) {
            let keys = files.of(key_set);
            let jwt = Jwt::new(rules, keys);
            table.jwt = Some(jwt.map_err(|detail| ReloadError::refused(key_set, detail))?);
        }
        if let Some(Anonymous { roles }) = self.anonymous {
            let grants = grants(&roles).map_err(|error| refuse(format!("[anonymous]: {error}")))?;
            table.anonymous = Some(Arc::new(Identity::new("anonymous", grants)));
        }
        Ok(table)
    }
}

impl Table {
    /// Everybody with a certificate may do everything.
    pub(super) fn any_certificate() -> Self {
        let grants = grants(&["admin".to_owned()]).unwrap_or_default();
        let names = names(&["*".to_owned()]).unwrap_or_default();
        let certificates = vec![CertificateEntry { names, grants, identity: None }];
        Self { certificates, ..Self::default() }
    }
}

impl Key {
    fn entry(self) -> Result<KeyEntry, String> {
        let Self { name, sha256, roles, expires } = self;
        check_name(&name)?;
        let in_key = |error: String| format!("key {name:?}: {error}");
        let mut digest = Digest::default();
        hex::decode_to_slice(&sha256, &mut digest).map_err(|_| {
            in_key("sha256 must be 64 hexadecimal digits; segue access new-key makes them".into())
        })?;
        let expires = expires.map(|at| seconds(&at)).transpose().map_err(in_key)?;
        let grants = grants(&roles).map_err(in_key)?;
        let identity = Arc::new(Identity::new(&format!("key:{name}"), grants));
        Ok(KeyEntry { digest, expires, identity })
    }
}

impl Certificate {
    fn entry(self) -> Result<CertificateEntry, String> {
        let Self { names: patterns, name, roles } = self;
        let in_entry = |error: String| format!("certificate {patterns:?}: {error}");
        if let Some(name) = &name {
            check_name(name)?;
        }
        let grants = grants(&roles).map_err(in_entry)?;
        let names = names(&patterns).map_err(in_entry)?;
        let identity =
            name.map(|name| Arc::new(Identity::new(&format!("cert:{name}"), grants.clone())));
        Ok(CertificateEntry { names, grants, identity })
    }
}

fn names(patterns: &[String]) -> Result<GlobSet, String> {
    if patterns.is_empty() {
        return Err("names must have one pattern at least".to_owned());
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(glob(pattern)?.glob().clone());
    }
    set.build().map_err(|error| error.to_string())
}

pub(super) fn grants(roles: &[String]) -> Result<Vec<Grant>, String> {
    if roles.is_empty() {
        return Err("roles must have one role at least".to_owned());
    }
    roles.iter().map(|role| role::Grant::parse(role)).collect()
}

/// Names stand in logs and audit trails, one a line.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_good =
        (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_good {
        return Ok(());
    }
    Err(format!("name {name:?}: expected 1 to 128 visible ASCII characters without spaces"))
}

pub(super) fn seconds(at: &toml::value::Datetime) -> Result<i64, String> {
    let at: jiff::Timestamp = at.to_string().parse().map_err(|_| {
        format!("expires = {at}: expected a time with its offset, such as 2027-01-31T00:00:00Z")
    })?;
    Ok(at.as_second())
}
