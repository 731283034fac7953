//! The profile as a person reads it.

use std::fmt;

use super::tasks::Setup;
use super::{LogProfile, TaskProfile};

/// Event names that are listed.
const MAX_EVENTS: usize = 25;
/// Gaps that are listed.
const MAX_GAPS: usize = 5;

impl fmt::Display for LogProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts(f)?;
        self.events(f)?;
        self.meanings(f)?;
        self.tasks(f)
    }
}

impl LogProfile {
    fn facts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = format!("{} to {} ({:.0} days)", self.first_day, self.last_day, self.n_days);
        let facts = [
            ("files", thousands(self.n_files)),
            ("format", self.source.format.name().to_owned()),
            ("records", thousands(self.n_records)),
            ("events", thousands(self.n_events)),
            ("users", thousands(self.n_users)),
            ("span", span),
        ];
        for (name, value) in facts {
            writeln!(f, "{name:<9} {value}")?;
        }
        for reason in &self.reasons {
            writeln!(f, "{:<9} {reason}", "")?;
        }
        for gap in self.gaps.iter().take(MAX_GAPS) {
            writeln!(
                f,
                "{:<9} {} to {}: no event on {} days",
                "gap", gap.first, gap.last, gap.n_days
            )?;
        }
        if self.gaps.len() > MAX_GAPS {
            writeln!(f, "{:<9} and {} more, none longer", "", self.gaps.len() - MAX_GAPS)?;
        }
        for reject in &self.rejects {
            let (n, reason) = (thousands(reject.n_records), &reject.reason);
            writeln!(f, "{:<9} {n}: {reason}, such as {}", "rejected", reject.example)?;
        }
        for (words, n) in &self.counts {
            writeln!(f, "{:<9} {}: {words}", "", thousands(*n))?;
        }
        Ok(())
    }

    fn events(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["event", "events", "users", "roles"].map(str::to_owned)];
        for event in self.events.iter().take(MAX_EVENTS) {
            rows.push([
                event.name.clone(),
                thousands(event.n_events),
                thousands(event.n_users),
                event.roles.join(", "),
            ]);
        }
        writeln!(f)?;
        table(f, &rows, [false, true, true, false])?;
        if self.events.len() > MAX_EVENTS {
            writeln!(f, "and {} more", self.events.len() - MAX_EVENTS)?;
        }
        Ok(())
    }

    fn meanings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["role", "events", "why"].map(str::to_owned)];
        for role in &self.roles {
            rows.push([role.role.clone(), role.events.join(", "), role.why.clone()]);
        }
        writeln!(f)?;
        if rows.len() > 1 {
            table(f, &rows, [false; 3])?;
        } else {
            writeln!(f, "no event name means anything by itself; name roles in the job")?;
        }
        let mut rows = vec![["number", "events", "min", "mean", "max", "money"].map(str::to_owned)];
        for value in &self.values {
            let number = |number: f64| format!("{number:.2}");
            rows.push([
                value.property.clone(),
                thousands(value.n_events),
                number(value.min),
                number(value.mean),
                number(value.max),
                if value.is_money { "likely" } else { "" }.to_owned(),
            ]);
        }
        if rows.len() > 1 {
            writeln!(f)?;
            table(f, &rows, [false, true, true, true, true, false])?;
        }
        Ok(())
    }

    fn tasks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows =
            vec![["", "task", "label", "window", "rows by class", ""].map(str::to_owned)];
        for (at, task) in self.tasks.iter().enumerate() {
            let mark = if self.best == Some(at) { "*" } else { "" };
            let setup = task.setup.as_ref();
            rows.push([
                mark.to_owned(),
                task.task.name().to_owned(),
                label(task),
                setup.map_or_else(|| "-".to_owned(), |setup| setup.window.to_string()),
                setup.map_or_else(|| "not possible".to_owned(), classes),
                // a table has room for one clause; the job has the rest
                task.why.split("; ").next().unwrap_or_default().to_owned(),
            ]);
        }
        writeln!(f)?;
        table(f, &rows, [false; 6])?;
        if self.best.is_some() {
            writeln!(f, "* the one that the job asks")?;
        }
        Ok(())
    }
}

fn label(task: &TaskProfile) -> String {
    match (&task.events, &task.value) {
        (Some(events), Some(value)) => format!("{value} of {events}"),
        (Some(events), None) => events.clone(),
        (None, _) => String::new(),
    }
}

/// `1,204 rows, 310 of class 1`.
pub(super) fn classes(setup: &Setup) -> String {
    let n_rows: usize = setup.classes.iter().map(|class| class.n_rows).sum();
    let rows = format!("{} rows", thousands(n_rows as u64));
    let by_class: Vec<String> = setup
        .classes
        .iter()
        .map(|class| format!("{} of {}", thousands(class.n_rows as u64), class.class))
        .collect();
    match setup.classes.len() {
        1 => rows,
        2 => format!("{rows}, {} of class 1", thousands(setup.classes[1].n_rows as u64)),
        _ => format!("{rows}: {}", by_class.join(", ")),
    }
}

/// Digits in groups of three.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Columns of one width each, two spaces apart; the last is not filled up.
fn table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    rows: &[[String; N]],
    right: [bool; N],
) -> fmt::Result {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let cells = row.iter().zip(widths).zip(right).map(|((cell, width), right)| {
            if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
