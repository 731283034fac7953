//! Which version of which model.

use segue_api::v1 as pb;

/// A model, and optionally the version or alias that is to answer. Without one the server decides: the
/// champion, or the canary for those who are routed to it.
///
/// Text reads as on the command line: `churn`, `churn@7`, `churn@challenger`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    model: String,
    choice: Choice,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Choice {
    Routed,
    Version(i64),
    Alias(String),
}

impl Selector {
    /// The version that the server routes to.
    #[must_use]
    pub fn model(name: impl Into<String>) -> Self {
        Self { model: name.into(), choice: Choice::Routed }
    }

    /// A certain version.
    #[must_use]
    pub fn version(name: impl Into<String>, version: i64) -> Self {
        Self { model: name.into(), choice: Choice::Version(version) }
    }

    /// The version under an alias.
    #[must_use]
    pub fn alias(name: impl Into<String>, alias: impl Into<String>) -> Self {
        Self { model: name.into(), choice: Choice::Alias(alias.into()) }
    }

    /// Name of the model.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.model
    }

    pub(crate) fn to_proto(&self) -> pb::ModelSelector {
        use pb::model_selector::Choice as Wire;
        let choice = match &self.choice {
            Choice::Routed => None,
            Choice::Version(version) => Some(Wire::Version(*version)),
            Choice::Alias(alias) => Some(Wire::Alias(alias.clone())),
        };
        pb::ModelSelector { model: self.model.clone(), choice }
    }
}

impl From<&str> for Selector {
    fn from(text: &str) -> Self {
        match text.split_once('@') {
            None => Self::model(text),
            Some((name, choice)) => match choice.parse() {
                Ok(version) => Self::version(name, version),
                Err(_) => Self::alias(name, choice),
            },
        }
    }
}

impl From<String> for Selector {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Selector> for Selector {
    fn from(selector: &Selector) -> Self {
        selector.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_as_on_the_command_line() {
        assert_eq!(Selector::from("churn"), Selector::model("churn"));
        assert_eq!(Selector::from("churn@7"), Selector::version("churn", 7));
        assert_eq!(Selector::from("churn@shadow"), Selector::alias("churn", "shadow"));
    }
}
