//! What people see: progress, notes, tables and errors. All of it on stderr but the result.

use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use segue_training::watch::Watch;
use serde::Serialize;

use crate::interrupt;

/// Where output goes and in which form.
pub(crate) struct Console {
    json: bool,
    quiet: bool,
    bar: ProgressBar,
}

impl Console {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        // indicatif hides the bar by itself when stderr is not a terminal
        let bar = if quiet || json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        Self { json, quiet, bar }
    }

    /// The result: JSON for machines, text for people.
    pub(crate) fn result(&self, machine: &impl Serialize, people: impl FnOnce() -> String) {
        self.bar.finish_and_clear();
        if self.json {
            match serde_json::to_string_pretty(machine) {
                Ok(text) => print(&text),
                Err(error) => eprintln!("error: cannot print the result as JSON: {error}"),
            }
        } else {
            print(people().trim_end());
        }
    }

    /// A line for people while work goes on.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet && !self.json {
            self.bar.suspend(|| eprintln!("{text}"));
        }
    }

    /// [`Console::say`] for a thread of its own.
    pub(crate) fn speaker(&self) -> impl Fn(&str) + Send + 'static {
        let (is_silent, bar) = (self.quiet || self.json, self.bar.clone());
        move |text| {
            if !is_silent {
                bar.suspend(|| eprintln!("{text}"));
            }
        }
    }

    /// Ends the progress bar.
    pub(crate) fn done_all(&self) {
        self.bar.finish_and_clear();
    }

    /// The error and its causes; each sentence once.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        self.bar.finish_and_clear();
        let mut sentences: Vec<String> = Vec::new();
        for cause in error.chain() {
            let text = cause.to_string();
            if !sentences.iter().any(|sentence| sentence.contains(&text)) {
                sentences.push(text);
            }
        }
        if self.json {
            eprintln!("{}", serde_json::json!({ "error": sentences.join(": ") }));
        } else {
            eprintln!("error: {}", sentences.join(": "));
        }
    }
}

impl Watch for Console {
    fn stage(&self, name: &str, total: u64) {
        interrupt::nobody_asks();
        if self.quiet || self.json {
            return;
        }
        if self.bar.is_hidden() {
            eprintln!("{name} …");
            return;
        }
        let template = if total > 0 {
            "{spinner} {msg:28} {bar:32} {human_pos}/{human_len} {elapsed}"
        } else {
            "{spinner} {msg:28} {human_pos} {elapsed}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_length(total);
        self.bar.set_position(0);
        self.bar.reset_elapsed();
        self.bar.enable_steady_tick(Duration::from_millis(120));
        self.bar.set_message(name.to_owned());
    }

    fn done(&self, done: u64) {
        self.bar.set_position(done);
    }

    fn note(&self, text: &str) {
        self.say(&format!("note: {text}"));
    }

    fn wants_end(&self) -> bool {
        interrupt::is_asked()
    }
}

/// A line on stdout. A reader that has left early (`| head`) has read enough.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{text}").and_then(|()| stdout.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        eprintln!("error: cannot print the result: {error}");
    }
}

/// Columns padded to their widest cell; the first column left, numbers right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let is_number = |column: usize| {
        let mut cells =
            rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty());
        cells.all(|cell| {
            let digits = cell.strip_prefix(['-', '+']).unwrap_or(cell);
            digits.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    let right: Vec<bool> = (0..head.len()).map(|column| column > 0 && is_number(column)).collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().enumerate().map(|(column, cell)| {
            let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            if right[column] { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let mut text = line(&head);
    text.push('\n');
    for row in rows {
        text.push_str(&line(row));
        text.push('\n');
    }
    text
}

/// Microseconds UTC as a readable instant.
pub(crate) fn instant(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us)
        .map_or_else(|_| us.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}
