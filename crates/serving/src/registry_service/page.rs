//! Lists in pages that neither repeat nor leave out anything when the list changes between two of them.

#[cfg(test)]
mod tests;

use std::fmt::Display;

use crate::{Reason, ServingError};

/// Largest page, and the size if none is asked for.
const MAX_PAGE: usize = 1000;

/// A part of a list that is in order of some key. A token is the key of the last item that was told, and
/// not a number of items: those that come and go before it move nothing. It names its list, so that the
/// token of another request is refused.
#[derive(Debug)]
pub(crate) struct Page<K> {
    list: String,
    /// Where the page begins: with the item that comes next to the one that has this key.
    pub(crate) after: Option<K>,
    pub(crate) size: usize,
}

impl<K> Page<K> {
    /// The page of `list` that a request asks for, whose keys `parse` reads.
    ///
    /// # Errors
    /// If the size is negative or the token is none of this list.
    pub(crate) fn read(
        list: String,
        size: i32,
        token: &str,
        parse: impl FnOnce(&str) -> Option<K>,
    ) -> Result<Self, ServingError> {
        let invalid = |field, description: &str| {
            ServingError::invalid(field, Reason::FieldInvalid, description)
        };
        let size = match usize::try_from(size) {
            Err(_) => return Err(invalid("page_size", "must not be negative")),
            Ok(0) => MAX_PAGE,
            Ok(size) => size.min(MAX_PAGE),
        };
        if token.is_empty() {
            return Ok(Self { list, after: None, size });
        }
        let key = token.strip_prefix(&list).and_then(|rest| rest.strip_prefix(':'));
        match key.and_then(parse) {
            Some(after) => Ok(Self { list, after: Some(after), size }),
            None => Err(invalid("page_token", "not a token of an earlier answer to this request")),
        }
    }

    /// The token of the page after the item that has this key.
    pub(crate) fn token(&self, key: impl Display) -> String {
        format!("{}:{key}", self.list)
    }

    /// The page, of the items that come after the key, and the token of the next one: empty if that was
    /// all.
    pub(crate) fn cut<T, D: Display>(
        &self,
        items: impl Iterator<Item = T>,
        key: impl FnOnce(&T) -> D,
    ) -> (Vec<T>, String) {
        // One more than the page has shows whether there is another one.
        let mut page: Vec<T> = items.take(self.size + 1).collect();
        if page.len() <= self.size {
            return (page, String::new());
        }
        page.truncate(self.size);
        let next = page.last().map(|last| self.token(key(last))).unwrap_or_default();
        (page, next)
    }
}

/// The number of a version or of an event, as tokens have it.
pub(crate) fn number_key(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}
