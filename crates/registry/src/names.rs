//! Which names models, aliases and files may have.

use crate::error::RegistryError;

/// The alias that is served when nothing else is asked for.
pub const CHAMPION: &str = "champion";

/// Longest name, in bytes.
const MAX_NAME_LEN: usize = 128;

/// Checks the name of a model: `[a-z0-9][a-z0-9._-]{0,127}`.
///
/// # Errors
/// [`RegistryError::NameInvalid`].
pub fn check_model_name(name: &str) -> Result<(), RegistryError> {
    const EXPECTED: &str = "[a-z0-9][a-z0-9._-]{0,127}";
    if is_name(name) { Ok(()) } else { Err(invalid("model name", name, EXPECTED)) }
}

/// Checks the name of an alias: as for a model, and not digits only, which would be a version.
///
/// # Errors
/// [`RegistryError::NameInvalid`].
pub fn check_alias_name(name: &str) -> Result<(), RegistryError> {
    const EXPECTED: &str = "[a-z0-9][a-z0-9._-]{0,127} with something other than digits";
    if is_name(name) && !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(invalid("alias", name, EXPECTED))
}

/// Checks the name of a run of a server: as for a model.
pub(crate) fn check_run_name(name: &str) -> Result<(), RegistryError> {
    const EXPECTED: &str = "[a-z0-9][a-z0-9._-]{0,127}";
    if is_name(name) { Ok(()) } else { Err(invalid("run", name, EXPECTED)) }
}

/// Checks the name of a file of a version: one flat name.
pub(crate) fn check_file_name(name: &str) -> Result<(), RegistryError> {
    const EXPECTED: &str = "letters, digits, '.', '_' and '-', not beginning with '.'";
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let flat = !name.is_empty() && name.len() <= MAX_NAME_LEN && name.bytes().all(fits);
    if flat && !name.starts_with('.') { Ok(()) } else { Err(invalid("file", name, EXPECTED)) }
}

pub(crate) fn is_name(name: &str) -> bool {
    let inner = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    };
    name.len() <= MAX_NAME_LEN
        && name.bytes().all(inner)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

fn invalid(what: &'static str, name: &str, expected: &'static str) -> RegistryError {
    RegistryError::NameInvalid { what, name: name.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        let longest = "a".repeat(128);
        for name in ["churn", "7", "a.b_c-d", "0x", longest.as_str()] {
            assert!(check_model_name(name).is_ok(), "{name}");
        }
        let too_long = "a".repeat(129);
        for name in ["", "-a", ".a", "..", "A", "a/b", "a b", "ä", "a\0", too_long.as_str()] {
            assert!(check_model_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_alias_is_never_a_version_number() {
        assert!(check_alias_name("v7").is_ok());
        assert!(check_alias_name("7").is_err());
    }

    #[test]
    fn files_are_flat() {
        assert!(check_file_name("report.html").is_ok());
        for name in ["", ".", "..", "a/b", "a\\b", ".hidden"] {
            assert!(check_file_name(name).is_err(), "{name}");
        }
    }
}
