//! What Prometheus reads of the log, of drift and of outcomes.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{ReasonLabels, VersionLabels};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DriftLabels {
    pub(crate) model: String,
    pub(crate) version: u64,
    pub(crate) feature: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DriftOutputLabels {
    pub(crate) model: String,
    pub(crate) version: u64,
    pub(crate) output: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct MatchedLabels {
    pub(crate) matched: &'static str,
}

/// The metrics of this module and its neighbours. A clone is the same metrics.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogMetrics {
    pub(crate) rows: Counter,
    dropped: Family<ReasonLabels, Counter>,
    drift_dropped: Family<ReasonLabels, Counter>,
    pub(crate) bytes: Gauge,
    pub(crate) queue_bytes: Gauge,
    pub(crate) files: Counter,
    removed: Family<ReasonLabels, Counter>,
    pub(crate) write_errors: Counter,
    pub(crate) drift_psi: Family<DriftLabels, Gauge<f64, AtomicU64>>,
    pub(crate) drift_output_psi: Family<DriftOutputLabels, Gauge<f64, AtomicU64>>,
    pub(crate) drift_rows: Family<VersionLabels, Gauge>,
    outcomes: Family<MatchedLabels, Counter>,
    pub(crate) outcomes_matched_later: Counter,
    outcomes_refused: Family<ReasonLabels, Counter>,
    pub(crate) outcome_duplicates: Counter,
    pub(crate) outcome_corrections: Counter,
    pub(crate) outcomes_held: Gauge,
    pub(crate) outcome_bytes: Gauge,
    pub(crate) outcomes_let_go: Counter,
    pub(crate) outcome_write_errors: Counter,
    pub(crate) outcome_lines_unreadable: Counter,
}

impl LogMetrics {
    pub(super) fn registered(all: &mut Registry) -> Self {
        let metrics = Self::default();
        metrics.register(all);
        metrics.register_outcomes(all);
        metrics.begin();
        metrics
    }

    /// Has every series whose labels are known on the page before anything happens.
    fn begin(&self) {
        for reason in ["queue_full", "write_error", "over_budget", "torn", "stopped"] {
            self.dropped(reason);
        }
        for reason in ["queue_full", "stopped"] {
            self.drift_dropped(reason);
        }
        for reason in ["age", "bytes"] {
            self.removed(reason);
        }
        for reason in ["invalid", "too_late", "over_budget"] {
            self.refused(reason);
        }
        for matched in [true, false] {
            self.outcomes(matched);
        }
    }

    fn register(&self, all: &mut Registry) {
        all.register("segue_log_rows", "Predictions written to the log", self.rows.clone());
        all.register(
            "segue_log_dropped",
            "Predictions that the log does not have: queue_full, write_error, over_budget or stopped; \
             torn counts ends of journals",
            self.dropped.clone(),
        );
        all.register(
            "segue_drift_dropped",
            "Predictions that are not for the log and that drift was not counted of: queue_full or \
             stopped",
            self.drift_dropped.clone(),
        );
        all.register("segue_log_bytes", "Bytes of the prediction log", self.bytes.clone());
        all.register(
            "segue_log_queue_bytes",
            "Bytes of predictions that wait to be written",
            self.queue_bytes.clone(),
        );
        all.register(
            "segue_log_files",
            "Files of the log that were made whole",
            self.files.clone(),
        );
        all.register(
            "segue_log_removed_files",
            "Files of the log that were removed: age or bytes",
            self.removed.clone(),
        );
        all.register(
            "segue_log_write_errors",
            "Failed writes of the log",
            self.write_errors.clone(),
        );
        all.register(
            "segue_drift_psi",
            "Population stability index of a feature against training; below 0.1 stable, above 0.25 \
             moved",
            self.drift_psi.clone(),
        );
        all.register(
            "segue_drift_output_psi",
            "Population stability index of an output against training",
            self.drift_output_psi.clone(),
        );
        all.register(
            "segue_drift_rows",
            "Rows in the windows that drift is measured on",
            self.drift_rows.clone(),
        );
    }

    fn register_outcomes(&self, all: &mut Registry) {
        all.register(
            "segue_outcomes",
            "Outcomes recorded, by whether their prediction was known then",
            self.outcomes.clone(),
        );
        all.register(
            "segue_outcomes_matched_later",
            "Outcomes that came before their prediction was in the log",
            self.outcomes_matched_later.clone(),
        );
        all.register(
            "segue_outcomes_refused",
            "Outcomes that were not recorded, by reason",
            self.outcomes_refused.clone(),
        );
        all.register(
            "segue_outcome_duplicates",
            "Outcomes that were recorded before",
            self.outcome_duplicates.clone(),
        );
        all.register(
            "segue_outcome_corrections",
            "Outcomes that differ from an earlier one of the same prediction",
            self.outcome_corrections.clone(),
        );
        all.register(
            "segue_outcomes_held",
            "Predictions whose outcome is in memory",
            self.outcomes_held.clone(),
        );
        all.register(
            "segue_outcome_bytes",
            "Bytes of the files of outcomes",
            self.outcome_bytes.clone(),
        );
        all.register(
            "segue_outcomes_let_go",
            "Outcomes that left the memory before their age: there were too many",
            self.outcomes_let_go.clone(),
        );
        all.register(
            "segue_outcome_write_errors",
            "Failed writes of outcomes; their callers were told",
            self.outcome_write_errors.clone(),
        );
        all.register(
            "segue_outcome_lines_unreadable",
            "Lines of outcome files that could not be read at the start",
            self.outcome_lines_unreadable.clone(),
        );
    }

    /// Predictions that the log does not have.
    pub(crate) fn dropped(&self, reason: &'static str) -> Counter {
        self.dropped.get_or_create_owned(&ReasonLabels { reason })
    }

    /// Predictions that were for drift only, and are not counted there.
    pub(crate) fn drift_dropped(&self, reason: &'static str) -> Counter {
        self.drift_dropped.get_or_create_owned(&ReasonLabels { reason })
    }

    /// Files that were removed.
    pub(crate) fn removed(&self, reason: &'static str) -> Counter {
        self.removed.get_or_create_owned(&ReasonLabels { reason })
    }

    /// Outcomes that were not recorded.
    pub(crate) fn refused(&self, reason: &'static str) -> Counter {
        self.outcomes_refused.get_or_create_owned(&ReasonLabels { reason })
    }

    /// Outcomes recorded.
    pub(crate) fn outcomes(&self, matched: bool) -> Counter {
        let matched = if matched { "true" } else { "false" };
        self.outcomes.get_or_create_owned(&MatchedLabels { matched })
    }
}
