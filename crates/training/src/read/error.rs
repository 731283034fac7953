//! What can be wrong with a file: said with its path, line and column.

use std::path::PathBuf;

/// Why files cannot be read at all. Single bad rows are not errors: they are counted as rejects.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A pattern matches nothing.
    #[error("no file matches {pattern:?} (looked from {}); check the path in the job's `files`", folder.display())]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// Folder it starts from.
        folder: PathBuf,
    },
    /// A pattern that is none.
    #[error("{pattern:?} is not a file pattern: {message}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        message: String,
    },
    /// The ending of a file names no format.
    #[error("{}: cannot tell the format from the name; expected one of .jsonl .ndjson .json .csv (each also with .gz) or .parquet", path.display())]
    UnknownKind {
        /// The file.
        path: PathBuf,
    },
    /// The file system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Temporary files that cannot be written or read.
    #[error("{}: cannot keep the events that do not fit in memory in temporary files: {source}; make room there, name another folder with --temp, or allow more memory with --memory", folder.display())]
    Spill {
        /// Their folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A table that does not parse.
    #[error("{}: cannot be read as {kind}: {message}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// CSV or Parquet.
        kind: &'static str,
        /// What the parser says.
        message: String,
    },
    /// Not one line of a file is JSON.
    #[error("{}:{line}: no line of the first {n_lines} is a JSON object ({message}); expected one event a line", path.display())]
    NotJsonLines {
        /// The file.
        path: PathBuf,
        /// First bad line, from 1.
        line: u64,
        /// Lines looked at.
        n_lines: u64,
        /// What the parser says of the first.
        message: String,
    },
    /// A mapping names a column that a file does not have.
    #[error("{}:{line}: there is no column {column:?} ({key}); the file has: {found}", path.display())]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// Line of the header, or of the first record.
        line: u64,
        /// The column.
        column: String,
        /// The job key that names it.
        key: String,
        /// What there is, with the nearest first.
        found: String,
    },
    /// A column of a kind that cannot be used so.
    #[error("{}: column {column:?} holds {found}, expected {expected}", path.display())]
    ColumnKind {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// One value of a table that cannot be used.
    #[error("{}:{line}: column {column:?} holds {found:?}, expected {expected}", path.display())]
    CellValue {
        /// The file.
        path: PathBuf,
        /// Line of a CSV, row of a Parquet file, from 1.
        line: u64,
        /// The column.
        column: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// An arithmetic expression that does not compile or names no column.
    #[error("events.derive.{name}: {message}")]
    Derive {
        /// Name of the property.
        name: String,
        /// Why.
        message: String,
    },
    /// The mapping itself is not valid.
    #[error("events.columns: {message}")]
    Mapping {
        /// Why.
        message: String,
    },
    /// Everything was rejected.
    #[error(
        "not one of {n_read} records could be used; most often: {reason} ({n_reason} times), such as {example}"
    )]
    NothingUsable {
        /// Records read.
        n_read: u64,
        /// The commonest reason.
        reason: String,
        /// How often.
        n_reason: u64,
        /// One of them.
        example: String,
    },
}
