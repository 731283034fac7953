//! The job file that init writes: what the log holds, a job that runs, and the other tasks.

use std::path::{Component, Path, PathBuf};

use super::draft::{Draft, Page, sections, task_sections};
use super::show::{classes, thousands};
use super::tasks::{Setup, TaskProfile, parse};
use super::{InitError, InitOptions, LogProfile};

/// A commented job that runs on the log: the best possible task, the others as comments.
///
/// # Errors
/// [`InitError::NothingPossible`] says of each task why this log does not hold it.
pub fn job_text(profile: &LogProfile, options: &InitOptions) -> Result<String, InitError> {
    let chosen = profile.best.and_then(|at| profile.tasks.get(at));
    let Some((task, setup)) = chosen.and_then(|task| Some((task, task.setup.as_ref()?))) else {
        let reason = |task: &TaskProfile| format!("  {}: {}", task.task.name(), task.why);
        let reasons: Vec<String> = profile.tasks.iter().map(reason).collect();
        return Err(InitError::NothingPossible { reasons: reasons.join("\n") });
    };
    let folder = options.job_folder.as_deref().unwrap_or(&profile.folder);
    let mut source = profile.source.clone();
    for file in &mut source.files {
        *file = seen_from(folder, &profile.folder, file);
    }
    let model = options.model.clone().unwrap_or_else(|| task.task.name().to_owned());
    let of = |task: &TaskProfile, setup: &Setup| Draft {
        model: model.clone(),
        task: task.task,
        source: &source,
        roles: &profile.roles,
        events: task.events.clone(),
        value: task.value.clone(),
        window: setup.window,
        spine: setup.spine,
        split: setup.split,
        preflight: setup.preflight.clone(),
    };
    let draft = of(task, setup);
    parse(&draft, folder)?;
    let mut text = head(profile, task, setup);
    text.push_str(&sections(&draft));
    text.push_str(
        "\n# Other tasks of this log. To take one, put its lines in the place of those above.\n",
    );
    for (at, other) in profile.tasks.iter().enumerate() {
        if profile.best == Some(at) {
            continue;
        }
        match &other.setup {
            Some(setup) => alternative(&mut text, &of(other, setup), other, setup),
            None => {
                let (name, why) = (other.task.name(), one_line(&other.why));
                text.push_str(&format!("#\n# {name}: not possible: {why}\n"));
            }
        }
    }
    Ok(text)
}

fn head(profile: &LogProfile, task: &TaskProfile, setup: &Setup) -> String {
    let (n_events, n_users) = (thousands(profile.n_events), thousands(profile.n_users));
    let (first, last) = (&profile.first_day, &profile.last_day);
    let mut text = format!("# {n_events} events of {n_users} users, {first} to {last}.\n");
    text.push_str(&format!("# {}: {}.\n", task.task.name(), classes(setup)));
    if setup.is_thin() {
        text.push_str("# Little data: this job runs, and its figures will be rough.\n");
    }
    text.push_str("# Every default: segue train --explain. Run it: segue train.\n\n");
    text
}

fn alternative(text: &mut String, draft: &Draft<'_>, task: &TaskProfile, setup: &Setup) {
    let mut page = Page::new(false);
    task_sections(&mut page, draft);
    let of = task.events.as_ref().map(|events| format!(" of {events}")).unwrap_or_default();
    text.push_str(&format!("#\n# ---- {}{of}: {}\n", task.task.name(), classes(setup)));
    text.push_str(&format!("# task = {:?}\n", task.task.name()));
    for line in page.text.lines() {
        text.push_str(&format!("# {line}\n"));
    }
}

/// A pattern given from one folder, seen from another.
fn seen_from(job_folder: &Path, folder: &Path, pattern: &str) -> String {
    if Path::new(pattern).is_absolute() {
        return pattern.to_owned();
    }
    let normal = |path: &Path| -> PathBuf {
        path.components().filter(|part| *part != Component::CurDir).collect()
    };
    let (job_folder, folder) = (normal(job_folder), normal(folder));
    if job_folder == folder {
        return pattern.to_owned();
    }
    let below = job_folder.strip_prefix(&folder).ok();
    let steps = below.filter(|below| !below.components().any(|part| part == Component::ParentDir));
    match steps {
        Some(steps) => format!("{}{pattern}", "../".repeat(steps.components().count())),
        None => folder.join(pattern).to_string_lossy().into_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
