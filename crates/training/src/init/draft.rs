//! The sections of a job that belong to a log and a task, every key with a word on what it does.

use segue_events::PlainMapping;
use serde::Serialize;

use super::roles::RoleCandidate;
use crate::job::{EventsSection, PreflightSection, Span, SplitBy, Task};

/// Column at which comments begin.
const COMMENT_AT: usize = 46;

/// When users are asked, of the spines that need no more than a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum SpineChoice {
    /// Once per user, so long after the first event.
    AfterStart {
        /// Distance from the first event.
        offset: Span,
    },
    /// On a grid of instants that all users share.
    Grid {
        /// Distance of grid points.
        every: Span,
        /// Rows a user has at most.
        max_rows_per_user: usize,
    },
}

/// A job file in the making.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) text: String,
    /// Whether keys and sections are explained.
    with_words: bool,
}

impl Page {
    pub(super) fn new(with_words: bool) -> Self {
        Self { text: String::new(), with_words }
    }

    fn header(&mut self, name: &str, words: &str) {
        if self.with_words {
            self.text.push_str(&format!("\n# {words}\n"));
        }
        self.text.push_str(&format!("[{name}]\n"));
    }

    fn key(&mut self, name: &str, value: &str, words: &str) {
        self.line(&format!("{name} = {}", string(value)), words);
    }

    fn line(&mut self, code: &str, words: &str) {
        if words.is_empty() || !self.with_words {
            self.text.push_str(&format!("{code}\n"));
        } else {
            self.text.push_str(&format!("{code:<COMMENT_AT$} # {words}\n"));
        }
    }
}

/// A job to be.
#[derive(Debug, Clone)]
pub(super) struct Draft<'a> {
    pub(super) model: String,
    pub(super) task: Task,
    pub(super) source: &'a EventsSection,
    pub(super) roles: &'a [RoleCandidate],
    pub(super) events: Option<String>,
    pub(super) value: Option<String>,
    pub(super) window: Span,
    pub(super) spine: SpineChoice,
    pub(super) split: SplitBy,
    pub(super) preflight: PreflightSection,
}

/// The whole job as TOML.
pub(super) fn sections(draft: &Draft<'_>) -> String {
    let mut page = Page::new(true);
    page.key("model", &draft.model, "name under which versions are published");
    page.key(
        "task",
        draft.task.name(),
        "churn, support_need, conversion, adoption, lifetime_value, needs_help_at",
    );
    page.line("seed = 42", "the same seed on the same data gives the same model");
    events(&mut page, draft.source);
    roles(&mut page, draft.roles);
    page.header(
        "features",
        "What a model may look at: all of it from before the moment of asking.",
    );
    page.line(
        "auto = true",
        "chosen from the log; [[features.grid]] and [[features.feature]] add your own",
    );
    task_sections(&mut page, draft);
    rest(&mut page);
    page.text
}

/// The sections that change with the task.
pub(super) fn task_sections(page: &mut Page, draft: &Draft<'_>) {
    page.header("label", label_words(draft.task));
    if let Some(events) = &draft.events {
        page.key("events", events, "role, event name or glob that counts");
    }
    if let Some(value) = &draft.value {
        page.key("value", value, "property that is added up");
    }
    page.key("window", &draft.window.to_string(), "how far ahead the question looks");

    page.header(
        "spine",
        "When users are asked: the moment that features end and the label begins.",
    );
    match draft.spine {
        SpineChoice::AfterStart { offset } => {
            page.key("at", "after_start", "once per user; also: grid, at_event, table");
            page.key("offset", &offset.to_string(), "so long after the first event of the user");
        }
        SpineChoice::Grid { every, max_rows_per_user } => {
            page.key("at", "grid", "at regular instants; also: after_start, at_event, table");
            page.key("every", &every.to_string(), "distance of the instants");
            page.line(&format!("max_rows_per_user = {max_rows_per_user}"), "the latest ones");
        }
    }
    page.header("split", "Which rows fit, calibrate and test the model.");
    match draft.split {
        SplitBy::Time => {
            page.key("by", "time", "later users test what was learnt from earlier ones")
        }
        SplitBy::User => {
            page.key("by", "user", "by a hash of the user; \"time\" is the harder, better test");
        }
    }
    page.line("calibrate = 0.2", "share of rows for early stopping and calibration");
    page.line("test = 0.25", "share of rows for every figure of the report");

    page.header(
        "preflight",
        "Training stops before it starts if there is less than this to learn from.",
    );
    let limits = &draft.preflight;
    page.line(
        &format!("min_rows_per_class = {}", limits.min_rows_per_class),
        "rows of each class to fit on",
    );
    page.line(
        &format!("min_rows = {}", limits.min_rows),
        "rows to fit on, if a number is predicted",
    );
}

fn label_words(task: Task) -> &'static str {
    match task {
        Task::Churn => "What is predicted: 1 if the user does nothing at all in the window.",
        Task::SupportNeed => "What is predicted: 1 if the user asks for support in the window.",
        Task::Conversion => {
            "What is predicted: 1 if the user converts in the window, for the first time."
        }
        Task::Adoption => {
            "What is predicted: 1 if the user does this in the window, for the first time."
        }
        Task::LifetimeValue => "What is predicted: the sum of a value over the window.",
        Task::NeedsHelpAt => {
            "What is predicted: the onboarding step at which the user goes for help."
        }
    }
}

fn events(page: &mut Page, source: &EventsSection) {
    page.header("events", "Where the events are and how they read.");
    let files: Vec<String> = source.files.iter().map(|file| string(file)).collect();
    page.line(
        &format!("files = [{}]", files.join(", ")),
        "files or globs, from this file's folder",
    );
    page.key("format", source.format.name(), "segment, amplitude, mixpanel, posthog or plain");
    if let Some(zone) = &source.project_tz {
        page.key(
            "project_tz",
            zone,
            "zone of the project; UTC since 2023, else where it was set up",
        );
    }
    page.key(
        "lateness",
        &source.lateness.to_string(),
        "events known later than this after they happened are dropped",
    );
    page.line(
        &format!("keep_anonymous = {}", source.keep_anonymous),
        "whether visitors who never signed up are users too",
    );
    if let Some(columns) = &source.columns {
        page.header(
            "events.columns",
            "Which column is what; every other column is a property of the event.",
        );
        for (name, value) in mapping(columns) {
            page.key(name, &value, column_words(name));
        }
    }
    if !source.derive.is_empty() {
        page.header("events.derive", "Properties made of others.");
        for (name, formula) in &source.derive {
            page.key(&bare_key(name), formula, "arithmetic over properties");
        }
    }
}

/// Keys of a mapping that are set, as texts.
fn mapping(columns: &PlainMapping) -> Vec<(&'static str, String)> {
    let unit = columns.time_unit.map(|unit| unit.name().to_owned());
    let keys = [
        ("user", &columns.user),
        ("anonymous", &columns.anonymous),
        ("event", &columns.event),
        ("event_name", &columns.event_name),
        ("time", &columns.time),
        ("time_unit", &unit),
        ("time_format", &columns.time_format),
        ("known_time", &columns.known_time),
        ("event_id", &columns.event_id),
        ("seq", &columns.seq),
        ("session", &columns.session),
    ];
    keys.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
}

fn column_words(key: &str) -> &'static str {
    match key {
        "user" => "who",
        "anonymous" => "device or visitor, before the user is known",
        "event" => "what happened",
        "event_name" => "what happened, the same for every row",
        "time" => "when it happened",
        "time_unit" => "unit of times that are numbers",
        "time_format" => "how times are written, in the letters of strptime",
        "known_time" => "when it was received; features never see it before",
        "event_id" => "rows that share it are one event",
        "seq" => "order within equal times",
        _ => "session",
    }
}

fn roles(page: &mut Page, roles: &[RoleCandidate]) {
    page.header(
        "roles",
        "What event names mean. Names that are known without being told are shown as comments.",
    );
    for role in roles {
        let names: Vec<String> =
            role.events.iter().map(|name| string(&globset::escape(name))).collect();
        let mark = if role.well_known { "# " } else { "" };
        let list = format!("{mark}{} = [{}]", bare_key(&role.role), names.join(", "));
        page.line(&list, if role.well_known { "" } else { &role.why });
    }
}

/// What has the same default for every log and task.
fn rest(page: &mut Page) {
    page.header(
        "learner",
        "What learns. `segue train --explain` shows every parameter and its default.",
    );
    page.key("kind", "boosting", "boosting, forest, linfa_tree or smartcore_forest");
    page.key(
        "learning_rate",
        "auto",
        "as slow as half of the rounds allow; or a number such as 0.05",
    );
    page.key("leaves", "auto", "as many as the rows allow; `segue tune` looks further");

    page.header("gates", "What a version must hold to be promoted.");
    page.line("max_calibration_error = 0.05", "on the test rows");
    page.line("non_inferiority_margin = 0.01", "how much worse than the champion it may be");
    page.line("min_slice_auc = 0.5", "lowest AUC of a slice with enough rows");
}

/// A TOML string on one line.
fn string(value: &str) -> String {
    let escaped = serde_json::Value::from(value).to_string();
    // JSON's strings are TOML's, but for the delete character, which JSON leaves as it is
    if value.contains('\u{7f}') { escaped.replace('\u{7f}', "\\u007f") } else { escaped }
}

/// A key, quoted where TOML needs it.
fn bare_key(name: &str) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { string(name) }
}
