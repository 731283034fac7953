//! Bytes of a TOML value that depend on its content only, and their hash.

use sha2::{Digest, Sha256};
use toml::{Table, Value};

/// SHA-256 of a table as 64 lower-case hex digits. Keys count in sorted order, texts carry their
/// length and every value its type, so that no two contents share their bytes.
pub(crate) fn hash(table: &Table) -> String {
    let mut bytes = b"segue feature set\n".to_vec();
    put_table(table, &mut bytes);
    hex::encode(Sha256::digest(&bytes))
}

fn put_table(table: &Table, bytes: &mut Vec<u8>) {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    put_length(b't', entries.len(), bytes);
    for (key, value) in entries {
        put_text(key, bytes);
        put(value, bytes);
    }
}

fn put(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::String(text) => put_text(text, bytes),
        Value::Integer(number) => {
            bytes.push(b'i');
            bytes.extend(number.to_le_bytes());
        }
        Value::Float(number) => {
            bytes.push(b'f');
            bytes.extend(number.to_bits().to_le_bytes());
        }
        Value::Boolean(flag) => bytes.extend([b'b', u8::from(*flag)]),
        Value::Datetime(time) => put_text(&time.to_string(), bytes),
        Value::Array(values) => {
            put_length(b'a', values.len(), bytes);
            values.iter().for_each(|value| put(value, bytes));
        }
        Value::Table(table) => put_table(table, bytes),
    }
}

fn put_text(text: &str, bytes: &mut Vec<u8>) {
    put_length(b's', text.len(), bytes);
    bytes.extend(text.as_bytes());
}

fn put_length(kind: u8, length: usize, bytes: &mut Vec<u8>) {
    bytes.push(kind);
    bytes.extend((length as u64).to_le_bytes());
}
