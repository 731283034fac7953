//! What can go wrong: a parameter out of range, or a writer that refuses.

/// Why a simulation did not run or did not finish.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// A whole-number parameter is out of range.
    #[error(
        "{field} must be between {least} and {most}, found {found}: choose a value in that range"
    )]
    OutOfRange {
        /// The parameter.
        field: &'static str,
        /// Smallest allowed value.
        least: u64,
        /// Largest allowed value.
        most: u64,
        /// What was given.
        found: u64,
    },
    /// The start is not a whole millisecond or lies outside the years 1971 to 2200.
    #[error(
        "start must be whole milliseconds within the years 1971 to 2200, found {found} microseconds \
         since 1970: choose such an instant, for example {example}"
    )]
    Start {
        /// What was given, microseconds since 1970-01-01 UTC.
        found: i64,
        /// A value that works.
        example: i64,
    },
    /// A rate of dirt is not a share.
    #[error(
        "dirt.{field} is a share between 0 and {most}, found {found}: choose a value in that range"
    )]
    Rate {
        /// The rate.
        field: &'static str,
        /// Largest allowed value.
        most: f64,
        /// What was given.
        found: f64,
    },
    /// Writing failed; what was written so far is incomplete.
    #[error(
        "writing the {stream} failed: free space or choose another place, then run again with the same seed"
    )]
    Write {
        /// `events` or `truth`.
        stream: &'static str,
        /// The writer's own error.
        source: std::io::Error,
    },
}
