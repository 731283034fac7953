//! The open end of the log: rows as they come, before they are a Parquet file.
//!
//! A Parquet file means nothing before its last byte is written, so rows wait in a journal, which a
//! killed process leaves readable up to its last whole row. A journal is a head and then rows, each in
//! a frame: length in four bytes, CRC-32 of the payload in four bytes, payload, numbers little-endian.
//! Its writer holds a lock on it as long as it lives.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use prost::Message;

use super::record::{Row, Shape};

/// Longest payload that is believed; above, the journal is torn.
const MAX_FRAME_BYTES: u32 = 64 << 20;

const FRAME_HEAD_BYTES: usize = 8;

/// A journal that is being written.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    file: File,
    buffer: Vec<u8>,
    /// Bytes that are whole frames in the file.
    n_bytes: u64,
    n_rows: u64,
    n_buffered_rows: u64,
}

impl JournalWriter {
    /// A new journal, its head written, locked. `None` if a sealer that looks for what others left has
    /// found it before it was locked, and takes it for an empty one: then it is, or will be, removed.
    ///
    /// `before_lock` is called between the two, for tests.
    pub(crate) fn create(
        path: &Path,
        shape: &Shape,
        before_lock: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(path)?;
        before_lock()?;
        match file.try_lock() {
            // Nobody else makes a file of this name.
            Ok(()) if path.try_exists()? => {}
            Ok(()) | Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut journal =
            Self { file, buffer: Vec::new(), n_bytes: 0, n_rows: 0, n_buffered_rows: 0 };
        let head = serde_json::to_vec(shape).map_err(io::Error::other)?;
        put_frame(&mut journal.buffer, |payload| payload.extend_from_slice(&head));
        if let Err(error) = journal.flush() {
            // Nothing is in it.
            drop(std::fs::remove_file(path));
            return Err(error);
        }
        Ok(Some(journal))
    }

    /// Adds a row to the buffer; [`flush`](Self::flush) writes it.
    pub(crate) fn push(&mut self, row: &Row) {
        put_frame(&mut self.buffer, |payload| {
            // A vector grows as it must.
            let _ = row.encode(payload);
        });
        self.n_buffered_rows += 1;
    }

    /// Writes what is buffered. After an error the file ends where it ended before, and the rows of
    /// the buffer are gone: [`n_rows`](Self::n_rows) does not count them.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.buffer);
        match &written {
            Ok(()) => {
                self.n_bytes += self.buffer.len() as u64;
                self.n_rows += self.n_buffered_rows;
            }
            Err(_) => {
                // If not even this works, the reader stops at the torn frame.
                drop(self.file.set_len(self.n_bytes));
                drop(self.file.seek(io::SeekFrom::Start(self.n_bytes)));
            }
        }
        self.buffer.clear();
        self.n_buffered_rows = 0;
        written
    }

    /// The file, still locked, for who makes a whole file of it. What is buffered is gone.
    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// Empties the buffer without writing it.
    pub(crate) fn forget(&mut self) {
        self.buffer.clear();
        self.n_buffered_rows = 0;
    }

    /// Rows in the buffer.
    pub(crate) fn n_buffered_rows(&self) -> u64 {
        self.n_buffered_rows
    }

    /// Bytes of the buffer.
    pub(crate) fn n_buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Rows in the file.
    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Bytes of the file.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }
}

fn put_frame(buffer: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    payload(buffer);
    let (head, payload) = buffer[start..].split_at_mut(FRAME_HEAD_BYTES);
    // A row is far below 4 GiB: it came in one message.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
}

/// A journal that is being read, by whoever has its lock or while its writer goes on.
#[derive(Debug)]
pub(crate) struct JournalReader {
    input: BufReader<File>,
    shape: Shape,
    n_left: u64,
    payload: Vec<u8>,
}

/// What follows in a journal.
#[derive(Debug)]
pub(crate) enum Next {
    Row(Box<Row>),
    End,
    /// So many last bytes are no whole row.
    Torn(u64),
}

impl JournalReader {
    /// Reads the head, from the start of the file. `None` if not even that is whole.
    pub(crate) fn open(mut file: File) -> io::Result<Option<Self>> {
        file.rewind()?;
        let n_left = file.metadata()?.len();
        let mut input = BufReader::with_capacity(1 << 16, file);
        let mut payload = Vec::new();
        let Frame::Whole(n_bytes) = read_frame(&mut input, n_left, &mut payload)? else {
            return Ok(None);
        };
        let Ok(shape) = serde_json::from_slice(&payload) else { return Ok(None) };
        Ok(Some(Self { input, shape, n_left: n_left - n_bytes, payload }))
    }

    /// What the rows are of.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The next row.
    pub(crate) fn next(&mut self) -> io::Result<Next> {
        match read_frame(&mut self.input, self.n_left, &mut self.payload)? {
            Frame::End => Ok(Next::End),
            Frame::Torn => Ok(Next::Torn(self.n_left)),
            Frame::Whole(n_bytes) => {
                let Ok(row) = Row::decode(&self.payload[..]) else {
                    return Ok(Next::Torn(self.n_left));
                };
                if row.values.len() != self.shape.features.len()
                    || row.scores.len() != 1 + self.shape.classes.len()
                {
                    return Ok(Next::Torn(self.n_left));
                }
                self.n_left -= n_bytes;
                Ok(Next::Row(Box::new(row)))
            }
        }
    }
}

enum Frame {
    /// Of so many bytes with its head.
    Whole(u64),
    Torn,
    End,
}

/// Reads at most `n_left` bytes, so that a journal that grows meanwhile is read as it was.
fn read_frame(input: &mut impl Read, n_left: u64, payload: &mut Vec<u8>) -> io::Result<Frame> {
    if n_left == 0 {
        return Ok(Frame::End);
    }
    let mut head = [0; FRAME_HEAD_BYTES];
    if n_left < FRAME_HEAD_BYTES as u64 {
        return Ok(Frame::Torn);
    }
    if !is_filled(input, &mut head)? {
        return Ok(Frame::Torn);
    }
    let [a, b, c, d, e, f, g, h] = head;
    let (length, checksum) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let n_bytes = FRAME_HEAD_BYTES as u64 + u64::from(length);
    if length > MAX_FRAME_BYTES || n_bytes > n_left {
        return Ok(Frame::Torn);
    }
    payload.resize(length as usize, 0);
    if !is_filled(input, payload)? {
        return Ok(Frame::Torn);
    }
    if crc32fast::hash(payload) != checksum {
        return Ok(Frame::Torn);
    }
    Ok(Frame::Whole(n_bytes))
}

/// Whether there was enough. A writer that could not write cuts off what it wrote, also under a reader
/// who has seen the file longer.
fn is_filled(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
