//! What a job predicts, as a question that a product manager understands.

use std::path::Path;

use segue_events::RoleMap;
use segue_features::EventPattern;

use super::file_name;
use crate::job::{Answer, EventsJob, Job, Label, LabelKind, Origin, Span, Spine, TableSection};

/// Roles, what a user does, and what that is called.
const ROLES: [(&str, &str, &str); 12] = [
    ("cancel", "cancel", "cancellation"),
    ("click", "click", "click"),
    ("conversion", "convert", "conversion"),
    ("error", "run into an error", "error"),
    ("feature_use", "use a feature", "feature use"),
    ("help_visit", "look for help", "visit to help"),
    ("login", "log in", "login"),
    ("onboarding_step", "take a step of the onboarding", "onboarding step"),
    ("page_view", "view a page", "page view"),
    ("refund", "get a refund", "refund"),
    ("signup", "sign up", "signup"),
    ("support_request", "ask for support", "support request"),
];

/// The question of a job, and when it is asked.
pub(super) fn question(job: &Job) -> String {
    match &job.origin {
        Origin::Events(events) => of_events(events),
        Origin::Table(table) => of_table(table, job.task.answer()),
    }
}

fn of_table(table: &TableSection, answer: Answer) -> String {
    let (label, file) = (&table.label, file_name(Path::new(&table.file)));
    match (answer, &table.positive) {
        (Answer::YesNo, Some(positive)) => {
            format!("Will {label:?} be {positive:?} for a row of {file}?")
        }
        (Answer::YesNo, None) => format!("Will {label:?} be a yes for a row of {file}?"),
        (Answer::Class, _) => format!("Which {label:?} will a row of {file} have?"),
        (Answer::Number, _) => format!("How large will {label:?} be for a row of {file}?"),
    }
}

fn of_events(events: &EventsJob) -> String {
    let Label { events: pattern, kind, gap, window, value, steps } = &events.label;
    let what = What::of(pattern, &events.roles);
    let when = if gap.us == 0 {
        format!("in the next {}", length(*window))
    } else {
        format!("in the {} that begin {} later", length(*window), length(*gap))
    };
    let asked = moment(&events.spine, &events.roles);
    let ask = match kind {
        LabelKind::Absent if what.is_anything() => {
            format!("Will this user do nothing at all {when}?")
        }
        LabelKind::Absent => format!("Will this user not {} {when}?", what.verb()),
        LabelKind::Occurs => format!("Will this user {} {when}?", what.verb()),
        LabelKind::Sum => {
            let value = value.as_deref().unwrap_or("value");
            format!("How much {value:?} will this user's {} bring {when}?", what.plural())
        }
        LabelKind::Step => {
            let steps = What::of(steps.as_deref().unwrap_or("onboarding_step"), &events.roles);
            format!(
                "After which {} will this user {} {when}, if at all?",
                steps.noun(),
                what.verb()
            )
        }
    };
    format!("{ask} Asked {asked}.")
}

/// When the question is asked.
fn moment(spine: &Spine, roles: &RoleMap) -> String {
    let after = |offset: &Span, what: String, at: &str| match offset.us {
        0 => format!("{at} {what}"),
        _ => format!("{} after {what}", length(*offset)),
    };
    match spine {
        Spine::AfterStart { offset, event } => {
            after(offset, format!("the first {}", What::of(event, roles).noun()), "at")
        }
        Spine::AtEvent { event, offset, .. } => {
            after(offset, format!("each {}", What::of(event, roles).noun()), "right after")
        }
        Spine::Grid { every, .. } => {
            let every = length(*every);
            let one = every.strip_prefix("a ").or(every.strip_prefix("an "));
            format!("every {}", one.unwrap_or(&every))
        }
        Spine::Table { file, time, offset, .. } => {
            after(offset, format!("the {time} of {}", file_name(Path::new(file))), "at")
        }
    }
}

/// Which events are meant.
enum What {
    Anything,
    Role(&'static str, &'static str),
    /// A role of the job's own.
    OwnRole(String),
    Name(String),
    Like(String),
}

impl What {
    fn of(pattern: &str, roles: &RoleMap) -> Self {
        if pattern == "*" {
            return Self::Anything;
        }
        let role = |name: &str| match ROLES.iter().find(|(role, _, _)| *role == name) {
            Some((_, verb, noun)) => Self::Role(verb, noun),
            None => Self::OwnRole(name.replace('_', " ")),
        };
        match EventPattern::parse(pattern) {
            EventPattern::Role(name) => role(&name),
            EventPattern::Bare(text) if roles.contains(&text) => role(&text),
            EventPattern::Glob(text) => Self::Like(text),
            EventPattern::Bare(text) if text.contains(['*', '?', '[', '{']) => Self::Like(text),
            EventPattern::Name(text) | EventPattern::Bare(text) => Self::Name(text),
        }
    }

    fn is_anything(&self) -> bool {
        matches!(self, Self::Anything)
    }

    /// What the user does.
    fn verb(&self) -> String {
        match self {
            Self::Anything => "do anything".to_owned(),
            Self::Role(verb, _) => (*verb).to_owned(),
            Self::Like(_) => format!("have an {}", self.noun()),
            Self::OwnRole(_) | Self::Name(_) => format!("have a {}", self.noun()),
        }
    }

    /// One such event.
    fn noun(&self) -> String {
        match self {
            Self::Anything => "activity".to_owned(),
            Self::Role(_, noun) => (*noun).to_owned(),
            Self::OwnRole(name) => name.clone(),
            Self::Name(name) => format!("{name:?} event"),
            Self::Like(glob) => format!("event named like {glob:?}"),
        }
    }

    fn plural(&self) -> String {
        match self {
            Self::Anything => "events".to_owned(),
            Self::Role(_, "visit to help") => "visits to help".to_owned(),
            Self::Like(glob) => format!("events named like {glob:?}"),
            _ => format!("{}s", self.noun()),
        }
    }
}

/// `28 days`, `an hour`.
fn length(span: Span) -> String {
    const UNITS: [(i64, &str, &str); 4] = [
        (86_400_000_000, "a day", "days"),
        (3_600_000_000, "an hour", "hours"),
        (60_000_000, "a minute", "minutes"),
        (1_000_000, "a second", "seconds"),
    ];
    let whole = UNITS.into_iter().find(|(us, _, _)| span.us >= *us && span.us % us == 0);
    match whole {
        Some((us, one, _)) if span.us == us => one.to_owned(),
        Some((us, _, many)) => format!("{} {many}", span.us / us),
        None => span.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn asked(task: &str, more: &str) -> String {
        let text =
            format!("model = \"m\"\ntask = \"{task}\"\n[events]\nfiles = [\"a.jsonl\"]\n{more}");
        question(&Job::parse(&text, Path::new("job.toml"), PathBuf::new()).unwrap())
    }

    #[test]
    fn every_task_asks_in_words() {
        let adoption = "[label]\nevents = \"Report Exported\"\n";
        for (task, more, expected) in [
            (
                "churn",
                "",
                "Will this user do nothing at all in the next 28 days? Asked 7 days after the first activity.",
            ),
            (
                "conversion",
                "[spine]\nevent = \"Signed Up\"\n",
                "Will this user convert in the next 28 days? Asked 7 days after the first \"Signed Up\" event.",
            ),
            (
                "support_need",
                "[spine]\nat = \"grid\"\nevery = \"1d\"\n",
                "Will this user ask for support in the next 14 days? Asked every day.",
            ),
            (
                "adoption",
                adoption,
                "Will this user have a \"Report Exported\" event in the next 28 days? Asked 7 days after the first activity.",
            ),
            (
                "lifetime_value",
                "",
                "How much \"revenue\" will this user's conversions bring in the next 90 days? Asked 7 days after the first activity.",
            ),
            (
                "needs_help_at",
                "",
                "After which onboarding step will this user look for help in the next 14 days, if at all? Asked 7 days after the first activity.",
            ),
        ] {
            assert_eq!(asked(task, more), expected, "{task}");
        }
    }

    #[test]
    fn roles_names_globs_and_gaps_read_as_words() {
        for (more, expected) in [
            (
                "[label]\nevents = \"conversion\"\n",
                "Will this user not convert in the next 28 days?",
            ),
            (
                "[label]\nevents = \"Order *\"\ngap = \"2d\"\n",
                "Will this user not have an event named like",
            ),
            (
                "[roles]\npower_use = [\"a\"]\n[label]\nkind = \"occurs\"\nevents = \"power_use\"\nwindow = \"12h\"\n",
                "Will this user have a power use in the next 12 hours?",
            ),
            (
                "[spine]\nat = \"at_event\"\nevent = \"signup\"\n",
                "Will this user do nothing at all in the next 28 days? Asked right after each signup.",
            ),
            (
                "[spine]\nat = \"table\"\nfile = \"x/starts.csv\"\nuser = \"u\"\ntime = \"start\"\noffset = \"1h\"\n",
                "Will this user do nothing at all in the next 28 days? Asked an hour after the start of starts.csv.",
            ),
        ] {
            let question = asked("churn", more);
            assert!(question.starts_with(expected), "{question}\nexpected {expected}");
        }
        assert!(
            asked("churn", "[label]\ngap = \"1d\"\n")
                .contains("in the 28 days that begin a day later")
        );
    }

    #[test]
    fn tables_ask_for_their_label() {
        let table = |task: &str, more: &str| {
            let text = format!(
                "model = \"m\"\ntask = \"{task}\"\n[table]\nfile = \"d/t.csv\"\nlabel = \"Churn\"\n{more}"
            );
            question(&Job::parse(&text, Path::new("job.toml"), PathBuf::new()).unwrap())
        };
        assert_eq!(
            table("churn", "positive = \"Yes\""),
            "Will \"Churn\" be \"Yes\" for a row of t.csv?"
        );
        assert_eq!(table("lifetime_value", ""), "How large will \"Churn\" be for a row of t.csv?");
    }
}
