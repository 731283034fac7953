//! Is there enough to learn from? Asked before a fit, answered with counts.

use segue_dataset::{Split, Target, TargetKind};
use serde::Serialize;

use crate::job::PreflightSection;
use crate::rows::Prepared;

/// Rows of each part, by class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// Class names: `0` and `1`, the classes, or `rows` for a number.
    pub classes: Vec<String>,
    /// Rows of each class to fit.
    pub train: Vec<usize>,
    /// Rows of each class to calibrate.
    pub calibrate: Vec<usize>,
    /// Rows of each class to test.
    pub test: Vec<usize>,
    /// Rows dropped because their label window crosses a cut.
    pub n_embargoed: usize,
    /// Rows dropped because their user has rows in a later part.
    pub n_user_overlap: usize,
}

impl Preflight {
    /// Counts.
    #[must_use]
    pub fn of(prepared: &Prepared) -> Self {
        Self::of_split(prepared.dataset.target(), &prepared.split)
    }

    /// Counts labels by part.
    #[must_use]
    pub fn of_split(target: &Target, split: &Split) -> Self {
        let classes = match &target.kind {
            TargetKind::Binary => vec!["0".to_owned(), "1".to_owned()],
            TargetKind::Multiclass { classes } => classes.clone(),
            TargetKind::Regression => vec!["rows".to_owned()],
        };
        let count = |rows: &[u32]| counts(target, rows, classes.len());
        Self {
            train: count(&split.train),
            calibrate: count(&split.calibrate),
            test: count(&split.test),
            n_embargoed: split.n_embargoed,
            n_user_overlap: split.n_user_overlap,
            classes,
        }
    }

    /// Says which class has too few rows, and what could help.
    ///
    /// # Errors
    /// The sentence.
    pub fn check(&self, limits: &PreflightSection) -> Result<(), String> {
        let need =
            if self.classes.len() == 1 { limits.min_rows } else { limits.min_rows_per_class };
        let key = if self.classes.len() == 1 { "min_rows" } else { "min_rows_per_class" };
        let short: Vec<String> = self
            .classes
            .iter()
            .zip(&self.train)
            .filter(|(_, n)| **n < need)
            .map(|(class, n)| format!("{n} training rows of class {class:?}"))
            .collect();
        let absent: Vec<String> = [("calibrate", &self.calibrate), ("test", &self.test)]
            .into_iter()
            .filter(|_| self.classes.len() == 2)
            .flat_map(|(part, counts)| {
                let none = self.classes.iter().zip(counts).filter(|(_, n)| **n == 0);
                none.map(move |(class, _)| format!("the {part} part has no row of class {class:?}"))
            })
            .collect();
        if short.is_empty() && absent.is_empty() {
            return Ok(());
        }
        let mut message = if short.is_empty() {
            absent.join(" and ")
        } else {
            format!("{}, needed are {need} (preflight.{key})", short.join(" and "))
        };
        message.push_str("; more users, a longer label window or a wider role would help");
        if self.n_embargoed + self.n_user_overlap > 0 {
            message.push_str(&format!(
                ". The split dropped {} rows to the embargo and {} to users in several parts; a shorter split.embargo or fewer rows per user would keep them",
                self.n_embargoed, self.n_user_overlap
            ));
        }
        Err(message)
    }
}

fn counts(target: &Target, rows: &[u32], n_classes: usize) -> Vec<usize> {
    let mut counts = vec![0; n_classes];
    for &row in rows {
        let class = if n_classes == 1 { 0 } else { target.values[row as usize] as usize };
        counts[class] += 1;
    }
    counts
}
