//! Segments in words, as a person reads them.

use std::fmt;

use super::{SegmentDescribed, SegmentsDescribed, TreeDescribed};

impl fmt::Display for SegmentsDescribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}/{}: {} held-out rows", self.model, self.version, self.n_rows)?;
        for segment in &self.segments {
            writeln!(f)?;
            segment.fmt(f)?;
        }
        if self.n_unassigned > 0 {
            let share = percent(self.n_unassigned as f64 / self.n_rows.max(1) as f64);
            writeln!(f, "\nin no segment: {} rows ({share})", self.n_unassigned)?;
        }
        for note in &self.notes {
            writeln!(f, "\nnote: {note}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SegmentDescribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} rows ({})", self.name, self.n_rows, percent(self.share))?;
        if !self.description.is_empty() {
            write!(f, ", {}", self.description)?;
        }
        writeln!(f, "\n  when {}", self.when)?;
        match (&self.by_score, &self.by_behaviour) {
            (None, None) if self.n_rows == 0 => writeln!(f, "  nobody is in it"),
            (None, None) => writeln!(f, "  everybody is in it"),
            (what, who) => {
                for (title, tree) in [("what it is", what), ("who is in it", who)] {
                    if let Some(tree) = tree {
                        writeln!(f, "  {title}")?;
                        tree.fmt(f)?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for TreeDescribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.decides {
            writeln!(f, "    no three questions single it out; nearest:")?;
        }
        for rule in &self.rules {
            writeln!(f, "    - {}", rule.text)?;
            let (coverage, precision) = (percent(rule.coverage), percent(rule.precision));
            writeln!(
                f,
                "      covers {coverage} of it; {precision} of these {} rows are in it",
                rule.n_rows
            )?;
        }
        let (plain, balanced) = (percent(self.fidelity), percent(self.balanced_fidelity));
        writeln!(f, "    agrees with the segment on {plain} of rows (balanced {balanced})")
    }
}

/// Percent with one digit, never rounded up to all or down to none.
fn percent(share: f64) -> String {
    let rounded = (share * 1000.0).round() / 10.0;
    if rounded == 100.0 && share < 1.0 {
        "99.9 %".to_owned()
    } else if rounded == 0.0 && share > 0.0 {
        "under 0.1 %".to_owned()
    } else {
        format!("{rounded:.1} %")
    }
}
