//! Who may do what: the access file, what callers show, and what that lets them do.
//!
//! A key is kept as its SHA-256 and found by it. Keys have 256 random bits, so the digest needs no salt;
//! what a lookup by digest takes tells nothing about any key, and the last word is a comparison in
//! constant time.

mod caller;
mod file;
mod identity;
mod jwt;
mod new_key;
mod ring_jwt;
mod role;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, header};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

pub(crate) use self::caller::Caller;
use self::file::Table;
pub(crate) use self::identity::Identity;
pub use self::new_key::{NewKey, check_access_file, new_access_key};
pub(crate) use self::role::{Need, Role};
use crate::net::PeerCertificate;
use crate::reload::{Files, ReloadError, now_seconds};
use crate::{ServeError, ServingError};

/// What it takes to look around.
pub(crate) const VIEWER: Need = Need::Role(Role::Viewer);

/// SHA-256 of a key or a token.
type Digest = [u8; 32];

fn sha256(text: &[u8]) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text).as_ref());
    bytes
}

/// What the access file says now.
#[derive(Debug)]
pub(crate) struct Access {
    path: Option<PathBuf>,
    table: ArcSwap<Table>,
    /// Told whenever the table is another one.
    changes: watch::Sender<()>,
}

impl Access {
    /// Reads the access file.
    pub(crate) fn open(path: &Path) -> Result<Self, ServeError> {
        let (_, table) = Self::read(path)?;
        Ok(Self::of(Some(path.to_owned()), table))
    }

    /// Whoever has a certificate of the right authority may do everything, under the name that it
    /// gives.
    pub(crate) fn by_certificate_alone() -> Self {
        Self::of(None, Table::any_certificate())
    }

    fn of(path: Option<PathBuf>, table: Table) -> Self {
        Self { path, table: ArcSwap::from_pointee(table), changes: watch::Sender::default() }
    }

    fn read(path: &Path) -> Result<(Files, Table), ReloadError> {
        let mut files = Files::read([path])?;
        let parsed = file::parse(path, files.of(path))?;
        let key_set = parsed.key_set_path(path);
        if let Some(key_set) = &key_set {
            files.add(key_set)?;
        }
        let table = parsed.table(path, key_set.as_deref(), &files)?;
        Ok((files, table))
    }

    pub(crate) fn files(&self) -> Result<Files, ReloadError> {
        self.path.as_deref().map_or_else(|| Ok(Files::default()), |path| Ok(Self::read(path)?.0))
    }

    /// Takes what the files say now, or leaves everything as it is.
    pub(crate) fn take(&self) -> Result<(), ReloadError> {
        if let Some(path) = &self.path {
            self.table.store(Arc::new(Self::read(path)?.1));
            self.changes.send_replace(());
        }
        Ok(())
    }

    /// Every change of what the files say.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// When what a caller shows stops to be good by itself, in seconds since 1970; `None` for never. What
    /// is not good any more has expired.
    pub(crate) fn expires(
        &self,
        headers: &HeaderMap,
        certificate: Option<&PeerCertificate>,
    ) -> Option<i64> {
        self.known(headers, certificate).map_or(Some(0), |known| known.expires)
    }

    /// Who asks. What is shown must be good: a wrong key is not made up for by a good certificate.
    pub(crate) fn who(
        &self,
        headers: &HeaderMap,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Arc<Identity>, ServingError> {
        self.known(headers, certificate).map(|known| known.identity)
    }

    fn known(
        &self,
        headers: &HeaderMap,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Known, ServingError> {
        let table = self.table.load();
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        match (shown.next(), shown.next()) {
            (Some(value), None) => table.bearer(value.as_bytes()),
            (Some(_), Some(_)) => Err(unauthenticated(
                "CREDENTIALS_INVALID",
                "more than one authorization header; send one",
            )),
            (None, _) => match certificate {
                Some(certificate) => table.certificate(certificate),
                None => table.anonymous(),
            },
        }
    }
}

/// Somebody who is known, and until when; `None` for as long as the file says so.
#[derive(Debug, Clone)]
struct Known {
    identity: Arc<Identity>,
    /// Seconds since 1970.
    expires: Option<i64>,
}

fn unauthenticated(reason: &'static str, detail: impl Into<String>) -> ServingError {
    ServingError::Unauthenticated { reason, detail: detail.into() }
}

impl Table {
    /// The holder of what stands in an authorization header.
    fn bearer(&self, value: &[u8]) -> Result<Known, ServingError> {
        let scheme_and_rest = value.split_at_checked(BEARER.len());
        let Some((_, token)) =
            scheme_and_rest.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(BEARER))
        else {
            let detail = "the authorization header must be \"Bearer \" and a key or a JWT";
            return Err(unauthenticated("CREDENTIALS_INVALID", detail));
        };
        let token = token.trim_ascii();
        let is_jwt = token.iter().filter(|byte| **byte == b'.').count() == 2;
        match &self.jwt {
            Some(jwt) if is_jwt => jwt.identity(token),
            None if is_jwt => {
                let detail = "this server takes no JWTs; show a key of its access file";
                Err(unauthenticated("TOKEN_INVALID", detail))
            }
            _ => self.key(token),
        }
    }

    fn key(&self, key: &[u8]) -> Result<Known, ServingError> {
        let shown = sha256(key);
        let found = self.keys.get(&shown).filter(|entry| bool::from(entry.digest.ct_eq(&shown)));
        let Some(entry) = found else {
            let detail = "no such key; it may have been withdrawn, ask for a new one";
            return Err(unauthenticated("KEY_UNKNOWN", detail));
        };
        if entry.expires.is_some_and(|at| at <= now_seconds()) {
            return Err(unauthenticated("KEY_EXPIRED", "the key has expired; ask for a new one"));
        }
        Ok(Known { identity: Arc::clone(&entry.identity), expires: entry.expires })
    }

    fn certificate(&self, certificate: &PeerCertificate) -> Result<Known, ServingError> {
        if certificate.not_after <= now_seconds() {
            let detail = "the certificate has expired since the connection began; connect again \
                          with a new one";
            return Err(unauthenticated("CERTIFICATE_EXPIRED", detail));
        }
        for entry in &self.certificates {
            if let Some(name) = certificate.names.iter().find(|name| entry.names.is_match(name)) {
                let identity = match &entry.identity {
                    Some(identity) => Arc::clone(identity),
                    // Named as the certificate says, because the file names nobody.
                    None => Arc::new(Identity::new(&format!("cert:{name}"), entry.grants.clone())),
                };
                return Ok(Known { identity, expires: Some(certificate.not_after) });
            }
        }
        let detail = "no entry of the access file is for a name of the certificate";
        Err(unauthenticated("CERTIFICATE_UNKNOWN", detail))
    }

    fn anonymous(&self) -> Result<Known, ServingError> {
        let Some(identity) = self.anonymous.clone() else {
            let detail = "no credentials; send \"authorization: Bearer KEY\", or connect with a \
                          client certificate";
            return Err(unauthenticated("CREDENTIALS_ABSENT", detail));
        };
        Ok(Known { identity, expires: None })
    }
}

const BEARER: &[u8] = b"Bearer ";
