//! What ends a canary or a new champion without a person.

use clap::Args as ClapArgs;

/// Bounds of the guard over the traffic, which is off unless one of the first three is given.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Automatic rollback")]
pub(crate) struct GuardArgs {
    /// Stop a canary, or roll a new champion back, if more than this share of its rows fails beyond the
    /// share of the version it is compared with, such as 0.05
    #[arg(long, value_name = "SHARE")]
    pub(crate) guard_error_rate: Option<f64>,
    /// The same if one request in a hundred takes longer than so many milliseconds
    #[arg(long, value_name = "MS")]
    pub(crate) guard_p99_ms: Option<f64>,
    /// The same if its scores shift by more than this population stability index, such as 0.25
    #[arg(long, value_name = "PSI")]
    pub(crate) guard_score_shift: Option<f64>,
    /// Seconds that the guard looks back
    #[arg(long, default_value_t = 300.0, value_name = "SECONDS")]
    pub(crate) guard_window: f64,
    /// Rows without which the guard does not judge
    #[arg(long, default_value_t = 500, value_name = "ROWS")]
    pub(crate) guard_min_rows: u64,
    /// Seconds after its promotion that a champion is under guard
    #[arg(long, default_value_t = 3600.0, value_name = "SECONDS")]
    pub(crate) guard_probation: f64,
}
