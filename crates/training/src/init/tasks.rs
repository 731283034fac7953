//! What can be predicted: for each task a candidate job, and its rows by class, counted by the very
//! code that a job runs.

use std::path::Path;

use segue_dataset::{Target, TargetKind};
use segue_events::EventLog;
use segue_features::LogSummary;
use serde::Serialize;

use super::InitError;
use super::draft::{Draft, SpineChoice, sections};
use super::roles::{self, RoleCandidate};
use super::values::{self, ValueCandidate};
use crate::job::{Answer, EventsSection, Job, Origin, PreflightSection, Span, SplitBy, Task};
use crate::rows::{LogRows, RowsError, divide, label_rows};
use crate::train::Preflight;

/// Features whose adoption is tried.
const N_ADOPTION: usize = 3;
/// Least users or rows with a value that is not zero, for a value to be worth predicting.
const MIN_WITH_VALUE: usize = 50;
/// Class rows beyond which more of them decide nothing between two tasks.
const PLENTY: usize = 200;
/// What preflight asks for, and what is asked for where a log has less: enough to run, no more.
const FLOORS: [PreflightSection; 2] = [
    PreflightSection { min_rows_per_class: 50, min_rows: 200 },
    PreflightSection { min_rows_per_class: 15, min_rows: 60 },
];

/// Rows of a class in all and by part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// `0`, `1`, a class, or `rows` for a number.
    pub class: String,
    /// Rows in all.
    pub n_rows: usize,
    /// Rows to fit.
    pub train: usize,
    /// Rows to calibrate.
    pub calibrate: usize,
    /// Rows to judge.
    pub test: usize,
}

/// How a task would be asked of this log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setup {
    /// Length of the label window.
    pub window: Span,
    /// When users are asked.
    pub spine: SpineChoice,
    /// What divides the rows.
    pub split: SplitBy,
    /// Least rows of a class to fit (or of all, for a number).
    pub preflight: PreflightSection,
    /// Rows by class.
    pub classes: Vec<ClassCount>,
}

impl Setup {
    /// Whether the log has so little that figures will be rough.
    #[must_use]
    pub fn is_thin(&self) -> bool {
        self.preflight != PreflightSection::default()
    }

    /// Rows of the rarest class that are fitted on.
    fn rarest(&self) -> usize {
        self.classes.iter().map(|class| class.train).min().unwrap_or(0)
    }
}

/// A task and whether this log can answer it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskProfile {
    /// The task.
    pub task: Task,
    /// Role or event that the label counts; the task's default if empty.
    pub events: Option<String>,
    /// Property that is summed.
    pub value: Option<String>,
    /// The job's settings; `None` if it cannot be predicted.
    pub setup: Option<Setup>,
    /// Why not, or what to know.
    pub why: String,
}

/// What counting needs.
pub(super) struct Counting<'a> {
    pub(super) source: &'a EventsSection,
    pub(super) roles: &'a [RoleCandidate],
    pub(super) values: &'a [ValueCandidate],
    pub(super) log: &'a EventLog,
    pub(super) summary: &'a LogSummary,
    pub(super) folder: &'a Path,
}

impl Counting<'_> {
    /// Every task, in the order in which they are told.
    pub(super) fn tasks(&self) -> Result<Vec<TaskProfile>, InitError> {
        let has = |role: &str| self.roles.iter().any(|candidate| candidate.role == role);
        let mut tasks = vec![self.task(Task::Churn, None, None)?];
        tasks.push(if has("conversion") {
            self.task(Task::Conversion, None, None)?
        } else {
            impossible(
                Task::Conversion,
                "no event reads like a conversion; name some in roles.conversion",
            )
        });
        tasks.push(match (has("support_request"), has("help_visit")) {
            (true, _) => self.task(Task::SupportNeed, None, None)?,
            (false, true) => {
                let mut task = self.task(Task::SupportNeed, Some("help_visit".into()), None)?;
                task.why = format!(
                    "no event reads like a request for support, so visits to help stand in; {}",
                    task.why
                );
                task
            }
            (false, false) => impossible(
                Task::SupportNeed,
                "no event reads like a request for support; name some in roles.support_request",
            ),
        });
        let features = roles::features(self.summary, self.roles, N_ADOPTION);
        if features.is_empty() {
            tasks.push(impossible(
                Task::Adoption,
                "no event is used by some users and not by nearly all",
            ));
        }
        for feature in features {
            tasks.push(self.task(Task::Adoption, Some(pattern_of(&feature, self.roles)), None)?);
        }
        tasks.push(match values::lifetime(self.values, self.roles) {
            Some((value, events)) => self.task(Task::LifetimeValue, Some(events), Some(value))?,
            None => impossible(Task::LifetimeValue, &self.no_value()),
        });
        tasks.push(match self.roles.iter().find(|role| role.role == "onboarding_step") {
            _ if !has("help_visit") => {
                impossible(Task::NeedsHelpAt, "no event reads like a visit to help; name some in roles.help_visit")
            }
            Some(steps) if steps.events.len() > 1 => self.task(Task::NeedsHelpAt, None, None)?,
            _ => impossible(
                Task::NeedsHelpAt,
                "needs at least two events that are steps of the onboarding; name them in roles.onboarding_step",
            ),
        });
        Ok(tasks)
    }

    fn no_value(&self) -> String {
        let names: Vec<&str> =
            self.values.iter().take(5).map(|value| value.property.as_str()).collect();
        if names.is_empty() {
            "no event carries a number".to_owned()
        } else {
            format!("no number reads like money; name one of {} as label.value", names.join(", "))
        }
    }

    /// The best settings of a task: rows of every class first, then a split in time, then the task's
    /// own window, then one row a user.
    fn task(
        &self,
        task: Task,
        events: Option<String>,
        value: Option<String>,
    ) -> Result<TaskProfile, InitError> {
        let span =
            Span { us: (self.log.last_known_ts.max(self.log.last_ts) - self.log.first_ts).max(0) };
        let mut best: Option<([usize; 4], Setup)> = None;
        let mut why = String::new();
        'all: for (nth_window, window) in windows(task, span).into_iter().enumerate() {
            for (nth_spine, spine) in spines(span).into_iter().enumerate() {
                let mut draft = self.draft(task, events.clone(), value.clone(), window, spine);
                let rows = match self.rows(&draft)? {
                    Ok(rows) => rows,
                    Err(reason) => {
                        remember(&mut why, reason);
                        continue;
                    }
                };
                for (nth_split, split) in [SplitBy::Time, SplitBy::User].into_iter().enumerate() {
                    draft.split = split;
                    let counts = match self.count(&draft, &rows)? {
                        Ok(counts) => counts,
                        Err(reason) => {
                            remember(&mut why, reason);
                            continue;
                        }
                    };
                    for (nth_floor, floor) in FLOORS.iter().enumerate() {
                        match enough(&counts, &rows.target, floor) {
                            Ok(()) => {
                                let rank = [nth_floor, nth_split, nth_window, nth_spine];
                                if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                                    best = Some((rank, setup(&draft, floor, &counts)));
                                }
                                break;
                            }
                            Err(reason) => remember(&mut why, reason),
                        }
                    }
                    if best.as_ref().is_some_and(|(rank, _)| rank[..2] == [0, 0]) {
                        break 'all;
                    }
                }
            }
        }
        let setup = best.map(|(_, setup)| setup);
        let why = match &setup {
            None if why.is_empty() => {
                format!("the log's {:.1} days are too few for any label window", span.in_days())
            }
            None => why,
            Some(setup) if setup.is_thin() => {
                "little data: it runs, and its figures will be rough".to_owned()
            }
            Some(setup) if setup.split == SplitBy::User => {
                "divided by user, because too few rows are left on one side of a cut in time"
                    .to_owned()
            }
            Some(_) => "possible".to_owned(),
        };
        Ok(TaskProfile { task, events, value, setup, why })
    }

    fn draft(
        &self,
        task: Task,
        events: Option<String>,
        value: Option<String>,
        window: Span,
        spine: SpineChoice,
    ) -> Draft<'_> {
        Draft {
            model: task.name().to_owned(),
            task,
            source: self.source,
            roles: self.roles,
            events,
            value,
            window,
            spine,
            split: SplitBy::Time,
            preflight: PreflightSection::default(),
        }
    }

    /// Labelled rows of a candidate, or why there are none.
    fn rows(&self, draft: &Draft<'_>) -> Result<Result<LogRows, String>, InitError> {
        let job = parse(draft, self.folder)?;
        let Origin::Events(events) = &job.origin else { return Ok(Err(String::new())) };
        match label_rows(&job, events, self.log, self.summary) {
            Ok(rows) => Ok(Ok(rows)),
            Err(RowsError::Features(error)) => Ok(Err(error.to_string())),
            Err(error @ (RowsError::NoRows { .. } | RowsError::LabelEvents { .. })) => {
                Ok(Err(error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Rows by part and class, or why they cannot be divided.
    fn count(
        &self,
        draft: &Draft<'_>,
        rows: &LogRows,
    ) -> Result<Result<Preflight, String>, InitError> {
        let job = parse(draft, self.folder)?;
        let Origin::Events(events) = &job.origin else { return Ok(Err(String::new())) };
        match divide(&job, events, self.log, &rows.rows) {
            Ok((_, split)) => Ok(Ok(Preflight::of_split(&rows.target, &split))),
            Err(error @ RowsError::Split(_)) => Ok(Err(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }
}

/// The job that a draft says.
pub(super) fn parse(draft: &Draft<'_>, folder: &Path) -> Result<Job, InitError> {
    Ok(Job::parse(&sections(draft), Path::new("job.toml"), folder.to_owned())?)
}

/// The first reason is the one of the most natural settings.
fn remember(why: &mut String, reason: String) {
    if why.is_empty() {
        *why = reason;
    }
}

fn impossible(task: Task, why: &str) -> TaskProfile {
    TaskProfile { task, events: None, value: None, setup: None, why: why.to_owned() }
}

/// A pattern that means exactly this event.
fn pattern_of(name: &str, roles: &[RoleCandidate]) -> String {
    let is_role = segue_events::RoleMap::well_known().contains(name)
        || roles.iter().any(|role| role.role == name);
    if is_role || name.contains(['*', '?', '[', ']', '{', '}', ':']) {
        format!("name:{name}")
    } else {
        name.to_owned()
    }
}

/// The task's own label window, then others that fit into the log with time to spare.
fn windows(task: Task, span: Span) -> Vec<Span> {
    let days: &[i64] = match task {
        Task::Churn | Task::Conversion | Task::Adoption => &[28, 14, 7],
        Task::SupportNeed | Task::NeedsHelpAt => &[14, 28, 7],
        Task::LifetimeValue => &[90, 28, 14, 7],
    };
    let days = days.iter().chain(if span.in_days() < 21.0 { &[3, 1][..] } else { &[] });
    days.map(|&days| Span::days(days)).filter(|window| 2 * window.us <= span.us).collect()
}

fn spines(span: Span) -> Vec<SpineChoice> {
    let mut spines = vec![
        SpineChoice::AfterStart { offset: Span::days(7) },
        SpineChoice::Grid { every: Span::days(7), max_rows_per_user: 4 },
    ];
    if span.in_days() < 21.0 {
        spines.push(SpineChoice::AfterStart { offset: Span::days(1) });
        spines.push(SpineChoice::Grid { every: Span::days(1), max_rows_per_user: 4 });
    }
    spines
}

/// Whether every part has what a fit and its judgement need.
fn enough(counts: &Preflight, target: &Target, floor: &PreflightSection) -> Result<(), String> {
    counts.check(floor)?;
    let empty = |part: &[usize]| part.iter().sum::<usize>() == 0;
    if empty(&counts.calibrate) || empty(&counts.test) {
        return Err("no row is left to calibrate or to test on".to_owned());
    }
    match &target.kind {
        TargetKind::Multiclass { classes } if classes.len() < 3 => {
            Err(format!("all help is asked for at one place: {}", classes.join(", ")))
        }
        TargetKind::Regression => {
            let n = target.values.iter().filter(|value| **value != 0.0).count();
            let need = MIN_WITH_VALUE.min(floor.min_rows);
            if n < need {
                return Err(format!(
                    "only {n} rows have a value in the label window, needed are {need}"
                ));
            }
            Ok(())
        }
        TargetKind::Multiclass { .. } | TargetKind::Binary => Ok(()),
    }
}

fn setup(draft: &Draft<'_>, floor: &PreflightSection, counts: &Preflight) -> Setup {
    let class = |at: usize| ClassCount {
        class: counts.classes[at].clone(),
        n_rows: counts.train[at] + counts.calibrate[at] + counts.test[at],
        train: counts.train[at],
        calibrate: counts.calibrate[at],
        test: counts.test[at],
    };
    Setup {
        window: draft.window,
        spine: draft.spine,
        split: draft.split,
        preflight: floor.clone(),
        classes: (0..counts.classes.len()).map(class).collect(),
    }
}

/// A question of yes or no before others, for its answer is the easiest to read; then the task with the
/// most rows of its rarest class, up to where more would decide nothing; then the first one.
pub(super) fn best(tasks: &[TaskProfile]) -> Option<usize> {
    let value = |task: &TaskProfile| {
        let setup = task.setup.as_ref()?;
        let is_yes_no = task.task.answer() == Answer::YesNo;
        let rows = setup.rarest().min(PLENTY);
        Some((!setup.is_thin(), setup.split == SplitBy::Time, is_yes_no, rows))
    };
    let mut best: Option<(usize, _)> = None;
    for (at, value) in tasks.iter().enumerate().filter_map(|(at, task)| Some((at, value(task)?))) {
        if best.is_none_or(|(_, most)| value > most) {
            best = Some((at, value));
        }
    }
    best.map(|(at, _)| at)
}
