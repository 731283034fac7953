//! One user's events, as a request brings them, through the same assembly as a whole data set.

use super::{AssembleOptions, EventLog, LogBuilder, LogCounts};
use crate::{Event, History, Symbol, Symbols};

/// Inline events that are not one user's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The events belong to several users.
    #[error(
        "the events belong to `{first}` and to `{second}`; send one user's events, all with the \
         same user id or all without one"
    )]
    SeveralUsers {
        /// One user.
        first: String,
        /// Another.
        second: String,
    },
}

/// The history that [`LogBuilder`] with default options would build of one user's events: the same
/// removal of duplicates, quarantine, identity, order and conversion. Texts go to `symbols`.
///
/// Events may all come without any id; the history's user is then the empty text, as it is for no
/// events at all.
///
/// # Errors
/// If the events belong to several users.
pub fn history_from(events: Vec<Event>, symbols: &mut Symbols) -> Result<History, HistoryError> {
    let (history, _) = history_and_counts_from(events, AssembleOptions::default(), symbols)?;
    Ok(history)
}

/// As [`history_from`], with options, and with what became of the events.
///
/// # Errors
/// If the events belong to several users.
pub fn history_and_counts_from(
    events: Vec<Event>,
    options: AssembleOptions,
    symbols: &mut Symbols,
) -> Result<(History, LogCounts), HistoryError> {
    let mut builder = LogBuilder::with_symbols(options, std::mem::take(symbols), true);
    for event in events {
        builder.push(event);
    }
    let EventLog { symbols: filled, mut histories, counts, .. } = builder.finish();
    *symbols = filled;
    if let [first, second, ..] = histories.as_slice() {
        let text = |history: &History| symbols.text(history.user()).to_owned();
        return Err(HistoryError::SeveralUsers { first: text(first), second: text(second) });
    }
    Ok((histories.pop().unwrap_or_else(|| History::new(Symbol::EMPTY)), counts))
}
