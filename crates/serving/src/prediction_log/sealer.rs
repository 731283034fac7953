//! The thread that turns journals into Parquet files and keeps the log within its bounds.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parquet::errors::ParquetError;

use super::columns::RowWriter;
use super::folder::{FileName, Folder};
use super::id::HOUR_US;
use super::journal::{JournalReader, Next};
use super::options::PredictionLogOptions;
use crate::metrics::LogMetrics;
use crate::scoring_service::now_us;

/// After this long what failed is tried again, and what is too old looked for.
const RETRY: Duration = Duration::from_secs(5);

/// The file of a journal of this process, locked by it.
type Held = File;

enum Command {
    Seal(FileName, Held),
    /// Answer when everything asked for before has been tried.
    Settle(Sender<()>),
    Stop,
}

/// Talks to the sealer's thread.
#[derive(Debug)]
pub(super) struct Sealer {
    commands: Sender<Command>,
    /// Bytes of the log at the last look.
    n_bytes: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Sealer {
    /// Starts the thread; it first seals what earlier processes left.
    pub(super) fn start(
        folder: Folder,
        options: Arc<PredictionLogOptions>,
        metrics: LogMetrics,
    ) -> io::Result<Self> {
        let (commands, inbox) = channel();
        let n_bytes = Arc::new(AtomicU64::new(folder.n_bytes()?));
        let work = Work {
            folder,
            options,
            metrics,
            n_bytes: Arc::clone(&n_bytes),
            waiting: Vec::new(),
            failing: false,
        };
        let thread = std::thread::Builder::new().name("segue-sealer".to_owned());
        let thread = thread.spawn(move || work.run(&inbox))?;
        Ok(Self { commands, n_bytes, thread: Some(thread) })
    }

    /// Has a journal sealed that nobody writes any more. Its lock comes along: let go and taken anew,
    /// it could be in other hands for a moment (a child of this process holds it until it has become
    /// its own program), and the journal would be left behind at the end of the process.
    pub(super) fn seal(&self, name: FileName, held: Held) {
        // Without the thread it is sealed at the next start.
        let _ = self.commands.send(Command::Seal(name, held));
    }

    /// Waits until every journal given before has been tried.
    pub(super) fn settle(&self) {
        let (done, is_done) = channel();
        if self.commands.send(Command::Settle(done)).is_ok() {
            let _ = is_done.recv();
        }
    }

    /// Bytes of the log at the last look.
    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes.load(Ordering::Relaxed)
    }

    /// Ends the thread after what was asked for.
    pub(super) fn stop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed.
            let _ = thread.join();
        }
    }
}

struct Work {
    folder: Folder,
    options: Arc<PredictionLogOptions>,
    metrics: LogMetrics,
    n_bytes: Arc<AtomicU64>,
    /// Journals that could not be sealed yet, with the files of those of this process.
    waiting: Vec<(FileName, Option<Held>)>,
    failing: bool,
}

impl Work {
    fn run(mut self, inbox: &Receiver<Command>) {
        match self.folder.journals() {
            Ok(journals) => {
                self.waiting.extend(journals.into_iter().map(|(name, _)| (name, None)));
            }
            Err(error) => {
                tracing::warn!(%error, "journals of earlier processes cannot be listed");
            }
        }
        self.pass();
        loop {
            match inbox.recv_timeout(RETRY) {
                Ok(Command::Seal(name, held)) => {
                    self.waiting.push((name, Some(held)));
                    self.pass();
                }
                Ok(Command::Settle(done)) => {
                    self.pass();
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => self.pass(),
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn pass(&mut self) {
        for (name, held) in std::mem::take(&mut self.waiting) {
            match self.seal(&name, held.as_ref()) {
                Ok(Sealed::Done { n_rows, n_torn_bytes }) => {
                    self.note_recovery(&name, n_rows, n_torn_bytes);
                    self.failing = false;
                }
                Ok(Sealed::Gone) => {}
                // Its writer lives; it will be sealed there, or here after that one's end.
                Ok(Sealed::Locked) => self.waiting.push((name, held)),
                Err(error) => {
                    self.metrics.write_errors.inc();
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::error!(%error, "a file of the prediction log cannot be written; tried again");
                    }
                    self.waiting.push((name, held));
                }
            }
        }
        if let Err(error) = self.keep_bounds() {
            tracing::warn!(%error, "the prediction log cannot be kept within its bounds");
        }
    }

    fn note_recovery(&self, name: &FileName, n_rows: u64, n_torn_bytes: u64) {
        self.metrics.files.inc();
        if n_torn_bytes > 0 {
            self.metrics.dropped("torn").inc();
            let journal = self.folder.journal(name);
            tracing::warn!(
                journal = %journal.display(),
                n_rows,
                n_torn_bytes,
                "the end of a journal was torn; the rows before it are kept"
            );
        }
    }

    fn seal(&self, name: &FileName, held: Option<&Held>) -> Result<Sealed, ParquetError> {
        let path = self.folder.journal(name);
        let file = match held {
            Some(held) => held.try_clone()?,
            None => match locked(&path)? {
                Ok(file) => file,
                Err(otherwise) => return Ok(otherwise),
            },
        };
        seal(file, &self.folder, name, &self.options)
    }

    /// Removes what is too old, then the oldest until the rest is not too much. What cannot be removed
    /// stays in the sum and holds up nothing else; the first such error is the result.
    fn keep_bounds(&self) -> io::Result<()> {
        let oldest = (now_us().saturating_sub(self.options.max_age_us())).div_euclid(HOUR_US);
        let mut n_bytes = self.folder.n_bytes()?;
        let mut failure = None;
        for file in self.folder.files()? {
            let reason = if file.name.hour < oldest {
                "age"
            } else if n_bytes > self.options.max_bytes {
                "bytes"
            } else {
                break;
            };
            match fs::remove_file(&file.path) {
                Ok(()) => {
                    self.metrics.removed(reason).inc();
                }
                // Another server over the same folder was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let text = format!("{}: {error}", file.path.display());
                    failure.get_or_insert_with(|| io::Error::new(error.kind(), text));
                    continue;
                }
            }
            n_bytes = n_bytes.saturating_sub(file.n_bytes);
        }
        self.n_bytes.store(n_bytes, Ordering::Relaxed);
        self.metrics.bytes.set(i64::try_from(n_bytes).unwrap_or(i64::MAX));
        failure.map_or(Ok(()), Err)
    }
}

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    Done {
        n_rows: u64,
        n_torn_bytes: u64,
    },
    /// There is no such journal any more.
    Gone,
    /// Somebody writes it.
    Locked,
}

/// The journal of another process, locked if nobody has it any more.
fn locked(path: &Path) -> io::Result<Result<File, Sealed>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(Sealed::Gone)),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(Err(Sealed::Locked)),
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    // Sealed by another between the opening and the lock.
    Ok(if path.exists() { Ok(file) } else { Err(Sealed::Gone) })
}

/// Writes the rows of a journal, whose lock `file` has, to a file without a real name, and gives it
/// its name when it is whole and on the disk. Killed at any point, the same is done again to the same
/// end.
pub(super) fn seal(
    file: File,
    folder: &Folder,
    name: &FileName,
    options: &PredictionLogOptions,
) -> Result<Sealed, ParquetError> {
    let path = folder.journal(name);
    let n_journal_bytes = file.metadata()?.len();
    let Some(mut journal) = JournalReader::open(file)? else {
        fs::remove_file(&path)?;
        return Ok(Sealed::Done { n_rows: 0, n_torn_bytes: n_journal_bytes });
    };
    options.before("seal")?;
    let part = folder.part(name);
    let written = write_part(&mut journal, &part, options);
    let (n_rows, n_torn_bytes) = written.inspect_err(|_| drop(fs::remove_file(&part)))?;
    if n_rows > 0 {
        options.before("name")?;
        put_in_place(&part, &folder.file(name))?;
    } else {
        fs::remove_file(&part)?;
    }
    options.before("remove the journal")?;
    fs::remove_file(&path)?;
    Ok(Sealed::Done { n_rows, n_torn_bytes })
}

fn write_part(
    journal: &mut JournalReader,
    part: &Path,
    options: &PredictionLogOptions,
) -> Result<(u64, u64), ParquetError> {
    let output = BufWriter::with_capacity(1 << 18, File::create(part)?);
    let mut rows = RowWriter::new(output, journal.shape().clone())?;
    let mut n_rows = 0;
    let n_torn_bytes = loop {
        match journal.next()? {
            Next::Row(row) => rows.push(*row)?,
            Next::End => break 0,
            Next::Torn(n_bytes) => break n_bytes,
        }
        n_rows += 1;
    };
    options.before("write a file")?;
    let output = rows.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    output.sync_all()?;
    Ok((n_rows, n_torn_bytes))
}

/// Renames within the file system, and has the name on the disk as well.
fn put_in_place(part: &Path, place: &PathBuf) -> io::Result<()> {
    let Some(folder) = place.parent() else { return Ok(()) };
    fs::create_dir_all(folder)?;
    fs::rename(part, place)?;
    // The folders of version and model may be new, and have names as well.
    for folder in folder.ancestors().take(3) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
