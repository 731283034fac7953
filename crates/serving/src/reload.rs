//! Files that are read again when they change, without a restart.
//!
//! What is compared is their content, so that a link that is turned elsewhere counts and a touched file
//! does not. A new content that is not good leaves the old one in force, and says so once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::access::Access;
use crate::guard::AUDIT_TARGET;
use crate::metrics::Metrics;
use crate::net::Tls;
use crate::{ReloadSignal, ServeError};

/// Why a set of files was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: {detail}", path.display())]
    Refused { path: PathBuf, detail: String },
}

impl ReloadError {
    pub(crate) fn refused(path: &Path, detail: impl Into<String>) -> Self {
        Self::Refused { path: path.to_owned(), detail: detail.into() }
    }
}

impl From<ReloadError> for ServeError {
    fn from(error: ReloadError) -> Self {
        Self::Resource { action: "read the security files", source: error.into() }
    }
}

/// Contents of files by their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    pub(crate) fn read<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self, ReloadError> {
        let mut files = Self::default();
        for path in paths {
            files.add(path)?;
        }
        Ok(files)
    }

    pub(crate) fn add(&mut self, path: &Path) -> Result<(), ReloadError> {
        let content = std::fs::read(path)
            .map_err(|source| ReloadError::Unreadable { path: path.to_owned(), source })?;
        self.0.insert(path.to_owned(), content);
        Ok(())
    }

    /// Empty for a file that was not read.
    pub(crate) fn of(&self, path: &Path) -> &[u8] {
        self.0.get(path).map_or(&[], Vec::as_slice)
    }
}

/// Something that files say.
trait Reloads {
    const WHAT: &'static str;
    fn files(&self) -> Result<Files, ReloadError>;
    fn take(&self, files: &Files) -> Result<(), ReloadError>;
}

impl Reloads for Tls {
    const WHAT: &'static str = "tls";

    fn files(&self) -> Result<Files, ReloadError> {
        self.files()
    }

    fn take(&self, files: &Files) -> Result<(), ReloadError> {
        self.take(files)
    }
}

impl Reloads for Access {
    const WHAT: &'static str = "access";

    fn files(&self) -> Result<Files, ReloadError> {
        self.files()
    }

    fn take(&self, _files: &Files) -> Result<(), ReloadError> {
        self.take()
    }
}

/// Looks at the files until it is dropped.
pub(crate) async fn follow(
    tls: Option<Arc<Tls>>,
    access: Option<Arc<Access>>,
    interval: Duration,
    signal: ReloadSignal,
    metrics: Arc<Metrics>,
) {
    let mut asked = signal.watch();
    let mut seen = (
        tls.as_ref().map(|tls| Seen::now(&**tls)),
        access.as_ref().map(|access| Seen::now(&**access)),
    );
    loop {
        if let Some(tls) = &tls {
            metrics.net.tls_not_after.set(tls.not_after());
        }
        wait(interval, &mut asked).await;
        let (tls, access, metrics) = (tls.clone(), access.clone(), Arc::clone(&metrics));
        // Files may lie on a disk that is slow today.
        let looked = tokio::task::spawn_blocking(move || {
            look(tls.as_deref(), &mut seen.0, &metrics);
            look(access.as_deref(), &mut seen.1, &metrics);
            seen
        });
        seen = looked.await.unwrap_or_default();
    }
}

async fn wait(interval: Duration, asked: &mut watch::Receiver<u64>) {
    tokio::select! {
        () = tokio::time::sleep(interval) => {}
        // The sender lives in the options of the caller; without it there is the clock.
        Ok(()) = asked.changed() => {}
    }
}

/// What was last tried, good or not.
#[derive(Debug)]
struct Seen(Result<Files, String>);

impl Seen {
    fn now(of: &impl Reloads) -> Self {
        Self(of.files().map_err(|error| error.to_string()))
    }
}

fn look<R: Reloads>(of: Option<&R>, seen: &mut Option<Seen>, metrics: &Metrics) {
    let Some(of) = of else { return };
    let found = of.files();
    let outcome = match &found {
        Ok(files) if seen.as_ref().is_some_and(|seen| seen.0.as_ref() == Ok(files)) => return,
        Ok(files) => of.take(files).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let tried = Seen(found.map_err(|error| error.to_string()));
    if matches!((&tried.0, &*seen), (Err(now), Some(Seen(Err(before)))) if now == before) {
        return;
    }
    match &outcome {
        Ok(()) => tracing::info!(target: AUDIT_TARGET, what = R::WHAT, "files taken"),
        Err(error) => tracing::error!(
            target: AUDIT_TARGET,
            what = R::WHAT,
            error,
            "changed files are not good, the old ones stay in force"
        ),
    }
    metrics.net.reloaded(R::WHAT, outcome.is_ok());
    *seen = Some(tried);
}

pub(crate) fn now_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
