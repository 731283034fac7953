//! An object store: blobs first, the manifest last, commits by conditional create.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::thread;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Create, Listing, NewFolder, Storage};
use crate::error::RegistryError;
use crate::steps::Steps;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A registry under a prefix of an object store.
///
/// The store is asynchronous, the registry is not: one thread owns a small runtime and the callers
/// wait for it, so that a call works from any thread, also from one that drives a runtime itself.
#[derive(Debug)]
pub(crate) struct ObjectFiles {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    location: String,
    jobs: UnboundedSender<Job>,
}

impl ObjectFiles {
    /// The store of a URL, with its credentials from the environment variables of its vendor.
    pub(crate) fn from_url(location: &str) -> Result<Self, RegistryError> {
        let unusable =
            |reason: String| RegistryError::Location { location: location.to_owned(), reason };
        let url = location.parse().map_err(|error| unusable(format!("{error}")))?;
        let (store, prefix) = object_store::parse_url_opts(&url, std::env::vars())
            .map_err(|error| unusable(error.to_string()))?;
        Self::new(Arc::from(store), prefix.as_ref(), location)
    }

    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        location: &str,
    ) -> Result<Self, RegistryError> {
        let unusable = |error: io::Error| RegistryError::io(location, error);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unusable)?;
        let (jobs, queue) = unbounded_channel();
        thread::Builder::new()
            .name("registry-store".into())
            .spawn(move || runtime.block_on(run_jobs(queue)))
            .map_err(unusable)?;
        let location = location.trim_end_matches('/').to_owned();
        Ok(Self { store, prefix: Path::from(prefix), location, jobs })
    }

    fn path(&self, key: &str) -> Path {
        Path::from(format!("{}/{key}", self.prefix))
    }

    /// Runs `work` on the thread of the store and waits.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let gone = || io::Error::other("the thread of the object store has ended");
        let (answer, result) = mpsc::channel();
        let job = async move {
            // Nobody waits any more if this fails, and then nobody misses the answer.
            let _ = answer.send(work.await);
        };
        self.jobs.send(Box::pin(job)).map_err(|_| gone())?;
        result.recv().map_err(|_| gone())?.map_err(io::Error::other)
    }

    /// Puts an object that must not exist.
    fn put_new(&self, key: &str, bytes: &[u8]) -> io::Result<Create> {
        let (store, path, bytes) = (Arc::clone(&self.store), self.path(key), bytes.to_vec());
        self.wait(async move {
            let options = PutOptions::from(PutMode::Create);
            match store.put_opts(&path, bytes.into(), options).await {
                Ok(_) => Ok(Create::Created),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(Create::Exists),
                Err(error) => Err(error),
            }
        })
    }

    /// Puts an object that must not exist, or is there with these very bytes. A store that answers a
    /// create with an error may have done it, and then tells the client that tries again that it exists.
    fn put_ours(&self, key: &str, bytes: &[u8]) -> io::Result<Create> {
        match self.put_new(key, bytes)? {
            Create::Exists if self.read(key, bytes.len() as u64)?.as_deref() == Some(bytes) => {
                Ok(Create::Created)
            }
            created => Ok(created),
        }
    }
}

async fn run_jobs(mut queue: UnboundedReceiver<Job>) {
    while let Some(job) = queue.recv().await {
        tokio::spawn(job);
    }
}

impl Storage for ObjectFiles {
    fn place(&self, key: &str) -> String {
        format!("{}/{key}", self.location)
    }

    fn read(&self, key: &str, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        let (store, path) = (Arc::clone(&self.store), self.path(key));
        let end = max_bytes.saturating_add(1);
        self.wait(async move {
            match store.get(&path).await {
                Ok(found) if found.meta.size > end => {
                    Ok(Some(store.get_range(&path, 0..end).await?.to_vec()))
                }
                Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn list(&self, folder: &str) -> io::Result<Listing> {
        let (store, path) = (Arc::clone(&self.store), self.path(folder));
        let found = self.wait(async move { store.list_with_delimiter(Some(&path)).await })?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        Ok(Listing {
            folders: found.common_prefixes.iter().filter_map(name).collect(),
            files: found.objects.iter().filter_map(|object| name(&object.location)).collect(),
        })
    }

    fn create(&self, key: &str, bytes: &[u8], steps: &Steps) -> io::Result<Create> {
        steps.before("create object")?;
        let created = self.put_ours(key, bytes)?;
        steps.before("object created")?;
        Ok(created)
    }

    fn replace(&self, key: &str, bytes: &[u8], steps: &Steps) -> io::Result<()> {
        steps.before("replace object")?;
        let (store, path, bytes) = (Arc::clone(&self.store), self.path(key), bytes.to_vec());
        self.wait(async move { store.put(&path, bytes.into()).await }).map(drop)
    }

    /// The claim is created first: whoever finds it there leaves the folder alone. It is not compared,
    /// because two drafts may have the same model.
    fn create_folder(
        &self,
        folder: &str,
        content: NewFolder<'_>,
        steps: &Steps,
    ) -> io::Result<Create> {
        let NewFolder { claim, files, last } = content;
        let (first, others): (Vec<_>, Vec<_>) =
            files.iter().partition(|(name, _)| name.as_str() == claim);
        for (name, bytes) in first {
            steps.before("create object")?;
            if self.put_new(&format!("{folder}/{name}"), bytes)? == Create::Exists {
                return Ok(Create::Exists);
            }
        }
        let others = others.into_iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        for (name, bytes) in others.chain([last]) {
            steps.before("create object")?;
            let key = format!("{folder}/{name}");
            if self.put_ours(&key, bytes)? == Create::Exists {
                let place = self.place(&key);
                return Err(io::Error::other(format!("{place} was written by someone else")));
            }
        }
        steps.before("objects created")?;
        Ok(Create::Created)
    }
}
