//! Ids that name nobody.

/// Placeholders that trackers write when they have no id, in lower case.
const PLACEHOLDERS: &[&str] = &[
    "-1",
    "null",
    "nil",
    "none",
    "nan",
    "n/a",
    "undefined",
    "unknown",
    "anonymous",
    "guest",
    "true",
    "false",
    "{}",
    "[]",
    "[object object]",
    "(null)",
    "<null>",
    "(not set)",
];

/// Whether an id is a placeholder that would merge strangers into one user: empty, nothing but
/// zeros and dashes (`0`, `00000000-0000-0000-0000-000000000000`), or a word such as `null`,
/// `undefined`, `anonymous` in any case.
#[must_use]
pub fn is_blocked_id(id: &str) -> bool {
    let id = id.trim();
    id.bytes().all(|byte| byte == b'0' || byte == b'-')
        || PLACEHOLDERS.iter().any(|placeholder| id.eq_ignore_ascii_case(placeholder))
}

#[cfg(test)]
mod tests {
    use super::is_blocked_id;

    #[test]
    fn placeholders_are_blocked_and_people_are_not() {
        for id in
            ["", " ", "0", "-", "00-00", "-1", "NULL", "Anonymous", "undefined", "[object Object]"]
        {
            assert!(is_blocked_id(id), "{id}");
        }
        for id in ["1", "-2", "10", "nullable", "anonymous-7", "é"] {
            assert!(!is_blocked_id(id), "{id}");
        }
    }
}
