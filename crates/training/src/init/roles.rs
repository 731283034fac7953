//! What event names may mean: names that common tracking plans share, words in names, and behaviour.

use std::collections::BTreeMap;

use segue_events::RoleMap;
use segue_features::{LogSummary, Occurrence};
use serde::Serialize;

/// Words in names (lower case, spaces) by role, asked where no well-known name is in the log.
const HINTS: &[(&str, &[&str])] = &[
    (
        "support_request",
        &[
            "ticket",
            "contact support",
            "support request",
            "live chat",
            "support chat",
            "chat started",
            "complaint",
        ],
    ),
    ("help_visit", &["help", "docs", "faq", "support", "discussion", "forum"]),
    ("cancel", &["cancel", "unsubscribe", "downgrade", "delete account", "churn"]),
    (
        "conversion",
        &[
            "purchase",
            "order",
            "checkout",
            "subscribe",
            "upgrade",
            "payment",
            "transaction",
            "buy",
            "convert",
        ],
    ),
    ("signup", &["register", "sign up", "signup", "create account"]),
];

/// Roles whose events are no feature that somebody could take up.
const NO_FEATURE: &[&str] = &[
    "page_view",
    "click",
    "signup",
    "login",
    "trial_start",
    "trial_end",
    "onboarding_step",
    "help_visit",
    "support_request",
    "conversion",
    "refund",
    "cancel",
    "error",
];

/// Share of users below and above which the first use of a feature is no question.
const ADOPTION_SHARE: std::ops::RangeInclusive<f64> = 0.03..=0.8;

/// A role and the events of the log that may have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleCandidate {
    /// The role.
    pub role: String,
    /// Names of events, most frequent first.
    pub events: Vec<String>,
    /// Whether the role has these events without being told, by their names.
    pub well_known: bool,
    /// Why.
    pub why: String,
}

/// Candidate roles in the order of their names.
pub(super) fn candidates(summary: &LogSummary) -> Vec<RoleCandidate> {
    let known = RoleMap::well_known();
    let events = summary.most_frequent_events();
    let mut found: BTreeMap<String, RoleCandidate> = BTreeMap::new();
    let mut put = |role: &str, name: &str, well_known: bool, why: String| {
        let candidate = found.entry(role.to_owned()).or_insert_with(|| RoleCandidate {
            role: role.to_owned(),
            events: Vec::new(),
            well_known,
            why,
        });
        if candidate.well_known == well_known {
            candidate.events.push(name.to_owned());
        }
    };
    for (name, _) in &events {
        for role in known.roles_of(name) {
            put(role, name, true, "known by name".to_owned());
        }
    }
    for (name, _) in &events {
        let words = words_of(name);
        for (role, hints) in HINTS {
            let ends = known.has_role(name, "cancel") || known.has_role(name, "refund");
            if *role == "conversion" && (ends || words.contains("cancel")) {
                continue;
            }
            if let Some(hint) = hints.iter().find(|hint| words.contains(**hint)) {
                put(role, name, false, format!("guessed: a name contains {hint:?}"));
            }
        }
    }
    let is_step_known = found.get("onboarding_step").is_some_and(|steps| steps.events.len() > 1);
    if !is_step_known && let Some(steps) = steps(summary, &events, &found) {
        found.insert(steps.role.clone(), steps);
    }
    found.into_values().collect()
}

/// Lower case, one space between words.
fn words_of(name: &str) -> String {
    let letters = name.chars().map(|letter| if letter.is_alphanumeric() { letter } else { ' ' });
    let text: String = letters.flat_map(char::to_lowercase).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Events that many users do, and nearly each of them once, read like the steps of a setup.
fn steps(
    summary: &LogSummary,
    events: &[(&str, Occurrence)],
    found: &BTreeMap<String, RoleCandidate>,
) -> Option<RoleCandidate> {
    let has_other_role = |name: &str| {
        let with = |role: &RoleCandidate| role.events.iter().any(|event| event == name);
        found.values().any(|role| role.role != "onboarding_step" && with(role))
    };
    let is_step = |(name, n): &(&str, Occurrence)| {
        let share = n.n_users as f64 / summary.n_users.max(1) as f64;
        n.n_events as f64 <= 1.3 * n.n_users as f64 && share >= 0.2 && !has_other_role(name)
    };
    let steps: Vec<String> =
        events.iter().filter(|event| is_step(event)).map(|(name, _)| (*name).to_owned()).collect();
    (steps.len() > 1).then(|| RoleCandidate {
        role: "onboarding_step".to_owned(),
        events: steps,
        well_known: false,
        why: "guessed: events that many users do, and do once".to_owned(),
    })
}

/// Events whose first use can be predicted, the most users first.
pub(super) fn features(summary: &LogSummary, roles: &[RoleCandidate], n: usize) -> Vec<String> {
    let no_feature = |name: &str| {
        let role_of = |role: &RoleCandidate| role.events.iter().any(|event| event == name);
        roles.iter().any(|role| NO_FEATURE.contains(&role.role.as_str()) && role_of(role))
    };
    let share = |n: &Occurrence| n.n_users as f64 / summary.n_users.max(1) as f64;
    let mut events: Vec<(&str, Occurrence)> = summary
        .most_frequent_events()
        .into_iter()
        .filter(|(name, n)| ADOPTION_SHARE.contains(&share(n)) && !no_feature(name))
        .collect();
    events.sort_by(|a, b| b.1.n_users.cmp(&a.1.n_users).then(a.0.cmp(b.0)));
    events.into_iter().take(n).map(|(name, _)| name.to_owned()).collect()
}
