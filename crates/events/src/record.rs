//! One source row, whatever it was read from: cells by dotted key.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

/// Items of an array that become properties of their own; the rest is only counted.
pub const MAX_ARRAY_ITEMS: usize = 8;

/// Levels of nesting that are read; what lies deeper is left out.
const MAX_DEPTH: usize = 64;

/// One value of a source row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// There, but nothing in it.
    Null,
    /// True or false.
    Flag(bool),
    /// A whole number; one that does not fit is a text, because it is an id.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// An instant, microseconds UTC (a typed column with a zone).
    Time(i64),
    /// A wall-clock time, microseconds since 1970-01-01 00:00 on that clock
    /// (a typed column without a zone; the mapping's zone makes it an instant).
    WallTime(i64),
}

/// A source row: JSON objects here, table rows elsewhere.
///
/// Keys of nested values are joined by dots. Items of an array are numbered from 0, and only the
/// first [`MAX_ARRAY_ITEMS`] are visited; `KEY.length` is the whole number of items.
pub trait Record {
    /// The value under a dotted key. `None` if the row has no such key or it holds others.
    fn cell(&self, key: &str) -> Option<Cell<'_>>;

    /// Visits every value with its dotted key. The order does not matter.
    fn visit(&self, visit: &mut dyn FnMut(&str, Cell<'_>));

    /// Visits every value below `prefix`, with its key relative to it.
    fn visit_under(&self, prefix: &str, visit: &mut dyn FnMut(&str, Cell<'_>)) {
        self.visit(&mut |key, cell| {
            if let Some(rest) = key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) {
                visit(rest, cell);
            }
        });
    }
}

impl Record for Map<String, Json> {
    fn cell(&self, key: &str) -> Option<Cell<'_>> {
        leaf(find(self, key)?)
    }

    fn visit(&self, visit: &mut dyn FnMut(&str, Cell<'_>)) {
        walk_object(self, &mut String::new(), 0, visit);
    }

    fn visit_under(&self, prefix: &str, visit: &mut dyn FnMut(&str, Cell<'_>)) {
        match find(self, prefix) {
            Some(Json::Object(object)) => walk_object(object, &mut String::new(), 0, visit),
            Some(Json::Array(items)) => walk_array(items, &mut String::new(), 0, visit),
            _ => {}
        }
        // `{"context.page.url": …}`: already flat, but the caller asks for what is below `context`.
        for (key, value) in self {
            if let Some(rest) = key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) {
                walk(value, &mut rest.to_owned(), 1, visit);
            }
        }
    }
}

impl Record for Json {
    fn cell(&self, key: &str) -> Option<Cell<'_>> {
        self.as_object()?.cell(key)
    }

    fn visit(&self, visit: &mut dyn FnMut(&str, Cell<'_>)) {
        if let Some(object) = self.as_object() {
            object.visit(visit);
        }
    }

    fn visit_under(&self, prefix: &str, visit: &mut dyn FnMut(&str, Cell<'_>)) {
        if let Some(object) = self.as_object() {
            object.visit_under(prefix, visit);
        }
    }
}

/// The value under a dotted key; a key that holds the dots itself wins.
fn find<'a>(object: &'a Map<String, Json>, key: &str) -> Option<&'a Json> {
    if let Some(value) = object.get(key) {
        return Some(value);
    }
    key.match_indices('.').find_map(|(dot, _)| {
        let (head, rest) = (&key[..dot], &key[dot + 1..]);
        match object.get(head)? {
            Json::Object(inner) => find(inner, rest),
            Json::Array(items) => find_item(items, rest),
            _ => None,
        }
    })
}

fn find_item<'a>(items: &'a [Json], key: &str) -> Option<&'a Json> {
    let (head, rest) = key.split_once('.').map_or((key, None), |(head, rest)| (head, Some(rest)));
    let item = items.get(head.parse::<usize>().ok()?)?;
    match (item, rest) {
        (item, None) => Some(item),
        (Json::Object(inner), Some(rest)) => find(inner, rest),
        (Json::Array(inner), Some(rest)) => find_item(inner, rest),
        _ => None,
    }
}

fn leaf(value: &Json) -> Option<Cell<'_>> {
    Some(match value {
        Json::Null => Cell::Null,
        Json::Bool(flag) => Cell::Flag(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Cell::Integer(integer),
            // whole numbers beyond 64 bits with a sign are ids, of which every digit counts
            None if number.is_u64() => Cell::Text(Cow::Owned(number.to_string())),
            None => Cell::Number(number.as_f64()?),
        },
        Json::String(text) => Cell::Text(Cow::Borrowed(text)),
        Json::Object(_) | Json::Array(_) => return None,
    })
}

fn walk(value: &Json, key: &mut String, depth: usize, visit: &mut dyn FnMut(&str, Cell<'_>)) {
    match value {
        Json::Object(object) => walk_object(object, key, depth, visit),
        Json::Array(items) => walk_array(items, key, depth, visit),
        _ => {
            if let Some(cell) = leaf(value) {
                visit(key, cell);
            }
        }
    }
}

fn walk_object(
    object: &Map<String, Json>,
    key: &mut String,
    depth: usize,
    visit: &mut dyn FnMut(&str, Cell<'_>),
) {
    if depth < MAX_DEPTH {
        for (name, value) in object {
            below(key, depth, name, |key| walk(value, key, depth + 1, visit));
        }
    }
}

fn walk_array(
    items: &[Json],
    key: &mut String,
    depth: usize,
    visit: &mut dyn FnMut(&str, Cell<'_>),
) {
    if depth < MAX_DEPTH {
        for (index, value) in items.iter().take(MAX_ARRAY_ITEMS).enumerate() {
            below(key, depth, &index.to_string(), |key| walk(value, key, depth + 1, visit));
        }
        below(key, depth, "length", |key| visit(key, Cell::Integer(items.len() as i64)));
    }
}

/// Runs `step` with `name` appended to the key, then takes it off again.
fn below(key: &mut String, depth: usize, name: &str, step: impl FnOnce(&mut String)) {
    let length = key.len();
    if depth > 0 {
        key.push('.');
    }
    key.push_str(name);
    step(key);
    key.truncate(length);
}
