//! Roles: what event names mean, so that features and labels can speak of `help_visit` or
//! `conversion` whatever a product calls them.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

/// Names that the common tracking plans share (Segment's semantic specs and their snake-case
/// spellings), by role.
const WELL_KNOWN: &[(&str, &[&str])] = &[
    (
        "page_view",
        &[
            "page",
            "screen",
            "$pageview",
            "$screen",
            "$mp_web_page_view",
            "{page,screen}[ _-]view*",
            "viewed *page",
        ],
    ),
    ("click", &["click", "$autocapture", "*[ _-]clicked", "clicked[ _-]*", "button[ _-]click*"]),
    (
        "signup",
        &["signup", "sign[ _-]up", "signed[ _-]up", "account[ _-]created", "user[ _-]registered"],
    ),
    ("login", &["login", "log[ _-]in", "logged[ _-]in", "signed[ _-]in", "sign[ _-]in"]),
    ("trial_start", &["trial[ _-]started", "trial[ _-]start"]),
    ("trial_end", &["trial[ _-]ended", "trial[ _-]expired"]),
    (
        "onboarding_step",
        &[
            "onboarding*",
            "setup[ _-]*",
            "tutorial*",
            "*[ _-]step[ _-]completed",
            "step[ _-]completed",
        ],
    ),
    ("feature_use", &["feature[ _-]*", "*[ _-]feature[ _-]used"]),
    (
        "help_visit",
        &[
            "help",
            "help[ _-]*",
            "live[ _-]chat*",
            "support[ _-]*",
            "*[ _-]ticket[ _-]*",
            "ticket[ _-]*",
            "faq*",
            "docs[ _-]*",
            "contact[ _-]support",
        ],
    ),
    (
        "support_request",
        &[
            "live[ _-]chat[ _-]conversation[ _-]started",
            "*[ _-]ticket[ _-]{opened,created,submitted}",
            "ticket[ _-]{opened,created,submitted}",
            "contact[ _-]support",
            "support[ _-]{request*,contacted}",
        ],
    ),
    (
        "conversion",
        &[
            "conversion",
            "order[ _-]completed",
            "purchase",
            "purchased",
            "purchase[ _-]*",
            "subscription[ _-]{started,created}",
            "subscribed",
            "{plan,account,subscription}[ _-]upgraded",
            "upgraded",
            "submit[ _-]upgrade",
        ],
    ),
    ("refund", &["order[ _-]refunded", "refund*"]),
    (
        "cancel",
        &[
            "cancel",
            "cancelled",
            "canceled",
            "cancel[ _-]*",
            "cancellation*",
            "account[ _-]deleted",
            "{subscription,plan,account,order}[ _-]{cancelled,canceled}",
            "unsubscribed",
            "downgraded",
            "submit[ _-]downgrade",
        ],
    ),
    ("invite", &["invite[ _-]sent", "invited[ _-]*", "account[ _-]added[ _-]user"]),
    ("error", &["error", "error[ _-]*", "*[ _-]{error,failed}"]),
];

/// A role map that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// A glob that does not parse.
    #[error("roles.{role}: `{glob}` is not a glob: {why}; quote special characters as [*] or [?]")]
    Glob {
        /// Role.
        role: String,
        /// Glob as given.
        glob: String,
        /// What the parser says.
        why: String,
    },
    /// A role without a name.
    #[error("roles: a role needs a name, such as help_visit")]
    Unnamed,
    /// A role without globs.
    #[error("roles.{role}: no event names; give at least one, or leave the role out")]
    Empty {
        /// Role.
        role: String,
    },
}

/// Event names (globs) by role.
///
/// Globs match the whole name, without regard to case; `*` also crosses `/`. A name may have
/// several roles.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Vec<String>>", into = "BTreeMap<String, Vec<String>>")]
pub struct RoleMap {
    globs: BTreeMap<String, Vec<String>>,
    matchers: BTreeMap<String, Vec<GlobMatcher>>,
}

impl PartialEq for RoleMap {
    fn eq(&self, other: &Self) -> bool {
        self.globs == other.globs
    }
}

impl RoleMap {
    /// Checks and compiles the globs.
    ///
    /// # Errors
    /// On a bad glob, a role without a name, or one without globs.
    pub fn new(globs: BTreeMap<String, Vec<String>>) -> Result<Self, RoleError> {
        let mut matchers = BTreeMap::new();
        for (role, texts) in &globs {
            if role.trim().is_empty() {
                return Err(RoleError::Unnamed);
            }
            if texts.is_empty() {
                return Err(RoleError::Empty { role: role.clone() });
            }
            let compiled =
                texts.iter().map(|text| compile(role, text)).collect::<Result<_, _>>()?;
            matchers.insert(role.clone(), compiled);
        }
        Ok(Self { globs, matchers })
    }

    /// Roles of the names that common tracking plans share.
    #[must_use]
    pub fn well_known() -> Self {
        let globs = WELL_KNOWN
            .iter()
            .map(|(role, globs)| {
                ((*role).to_owned(), globs.iter().map(|&g| g.to_owned()).collect())
            })
            .collect();
        // The table is fixed and a test compiles it.
        Self::new(globs).unwrap_or_default()
    }

    /// This map with the roles of `other` put in the place of its own.
    #[must_use]
    pub fn overridden_by(&self, other: &Self) -> Self {
        let mut merged = self.clone();
        merged.globs.extend(other.globs.clone());
        merged.matchers.extend(other.matchers.clone());
        merged
    }

    /// The roles of an event name, in the order of their names.
    pub fn roles_of<'a>(&'a self, event_name: &'a str) -> impl Iterator<Item = &'a str> {
        self.matchers
            .iter()
            .filter(move |(_, matchers)| matchers.iter().any(|glob| glob.is_match(event_name)))
            .map(|(role, _)| role.as_str())
    }

    /// Whether an event name has a role. False for a role that is not in the map.
    #[must_use]
    pub fn has_role(&self, event_name: &str, role: &str) -> bool {
        self.matchers
            .get(role)
            .is_some_and(|matchers| matchers.iter().any(|glob| glob.is_match(event_name)))
    }

    /// Names of all roles, sorted.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.globs.keys().map(String::as_str)
    }

    /// Whether the map defines a role.
    #[must_use]
    pub fn contains(&self, role: &str) -> bool {
        self.globs.contains_key(role)
    }

    /// Globs by role.
    #[must_use]
    pub fn globs(&self) -> &BTreeMap<String, Vec<String>> {
        &self.globs
    }

    /// Whether there is no role at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }
}

impl TryFrom<BTreeMap<String, Vec<String>>> for RoleMap {
    type Error = RoleError;

    fn try_from(globs: BTreeMap<String, Vec<String>>) -> Result<Self, RoleError> {
        Self::new(globs)
    }
}

impl From<RoleMap> for BTreeMap<String, Vec<String>> {
    fn from(roles: RoleMap) -> Self {
        roles.globs
    }
}

fn compile(role: &str, text: &str) -> Result<GlobMatcher, RoleError> {
    let glob = GlobBuilder::new(text).case_insensitive(true).literal_separator(false).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| RoleError::Glob {
        role: role.to_owned(),
        glob: text.to_owned(),
        why: error.kind().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(name: &str) -> Vec<String> {
        RoleMap::well_known().roles_of(name).map(str::to_owned).collect()
    }

    #[test]
    fn well_known_names_have_their_roles() {
        assert_eq!(RoleMap::well_known().roles().count(), WELL_KNOWN.len());
        for (name, role) in [
            ("Signed Up", "signup"),
            ("signed_up", "signup"),
            ("Trial Started", "trial_start"),
            ("Order Completed", "conversion"),
            ("Account Deleted", "cancel"),
            ("$pageview", "page_view"),
            ("Onboarding Step 3", "onboarding_step"),
        ] {
            assert_eq!(roles(name), [role], "{name}");
        }
        let chat = roles("Live Chat Conversation Started");
        assert_eq!(chat, ["help_visit", "support_request"]);
        assert!(roles("domain_register").is_empty());
        assert!(roles("").is_empty());
    }

    #[test]
    fn a_job_overrides_role_by_role() {
        let own = r#"{"help_visit": ["discussion", "wiki/*"]}"#;
        let own: RoleMap = serde_json::from_str(own).unwrap();
        let map = RoleMap::well_known().overridden_by(&own);
        assert!(map.has_role("wiki/a/b", "help_visit"));
        assert!(!map.has_role("help", "help_visit"));
        assert!(map.has_role("login", "login"));
        assert!(!map.has_role("login", "no such role"));
        let text = serde_json::to_string(&own).unwrap();
        assert_eq!(serde_json::from_str::<RoleMap>(&text).unwrap(), own);
    }

    #[test]
    fn bad_maps_say_what_is_wrong() {
        let error = |text: &str| serde_json::from_str::<RoleMap>(text).unwrap_err().to_string();
        assert!(error(r#"{"help": ["[a"]}"#).contains("roles.help: `[a` is not a glob"));
        assert!(error(r#"{"help": []}"#).contains("roles.help: no event names"));
        assert!(error(r#"{" ": ["a"]}"#).contains("needs a name"));
    }
}
