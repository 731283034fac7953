//! What the operator may set, with the values that stand without it.

mod net;

use std::time::Duration;

pub use self::net::{AccessOptions, NetOptions, ReloadSignal, TlsFiles};
use crate::{PredictionLogOptions, ServeError};

/// Settings of a server. [`ServeOptions::default`] is meant to be right.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Models that must have their champion loaded before the server says it is ready. Empty: any
    /// one model.
    pub required_models: Vec<String>,
    /// How often the registry is asked whether an alias has moved. 1 ms or more.
    pub poll_interval: Duration,
    /// Rows that a batch may have, at least 1.
    pub max_batch_rows: usize,
    /// Events that a row may have, at least 1.
    pub max_row_events: usize,
    /// Bytes that a request may have, at least 1024.
    pub max_message_bytes: usize,
    /// Scoring requests at once, at least 1; above, RESOURCE_EXHAUSTED.
    pub max_in_flight: usize,
    /// Registry requests at once, at least 1. Their own, so that a promotion works under overload.
    pub max_in_flight_registry: usize,
    /// Requests and streams with outcomes at once, at least 1.
    pub max_in_flight_feedback: usize,
    /// Open streams at once, of scores and of what is served; at least 1.
    pub max_streams: usize,
    /// Streams of one connection at once, at least 1.
    pub max_streams_per_connection: u32,
    /// The longest that an answer may take, whatever the caller's deadline; not for streams.
    pub max_request_time: Duration,
    /// Bytes that an uploaded version may have, kept in memory while it comes; one comes at a time.
    /// 0 refuses uploads.
    pub max_upload_bytes: u64,
    /// The longest that an upload may take.
    pub max_upload_time: Duration,
    /// What a caller is told to wait when the server is overloaded.
    pub retry_after: Duration,
    /// Batches of at most so many rows are scored on the thread that read them.
    pub inline_rows: usize,
    /// Threads that score larger batches, at least 1.
    pub n_scoring_threads: usize,
    /// Rows that may wait for shadows to score them, at least 1; more are left out and counted.
    pub max_shadow_rows: usize,
    /// Whether nobody may put a version in front of users that they have published themselves, whatever
    /// the gates of the version say.
    pub distinct_approver: bool,
    /// What ends a canary or a new champion without a person.
    pub guard: GuardOptions,
    /// From the wish to stop until new requests are refused, so that balancers can turn away.
    pub pre_drain: Duration,
    /// From then until requests that still run are given up.
    pub drain_timeout: Duration,
    /// Connections, their times and their memory, TLS.
    pub net: NetOptions,
    /// Who may do what.
    pub access: AccessOptions,
    /// Where predictions and their outcomes are kept; `None`: nowhere.
    pub prediction_log: Option<PredictionLogOptions>,
    /// Length of the windows that drift is measured on, 1 s or more: the running one and the one
    /// before.
    pub drift_window: Duration,
    /// Requests that take at least so long are told in the log; `None`: none is.
    pub slow_request: Option<Duration>,
    /// Where spans of requests go; `None`: none are made.
    pub traces: Option<TraceOptions>,
}

/// Where spans go, and of which requests there are any.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceOptions {
    /// URL of a collector that speaks OTLP over gRPC, such as `http://127.0.0.1:4317`. It need not be
    /// there: spans that cannot be sent are dropped and counted.
    pub endpoint: String,
    /// Of the requests whose caller has not decided: the share that is traced, 0 to 1.
    pub sample_ratio: f64,
}

/// Bounds on what a canary or a new champion may do. Off unless one of the three is set.
///
/// A canary that breaches one loses its share; a champion that does so within its probation is rolled
/// back. Both are events of the registry by `segue-guard`, made only to the state that was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardOptions {
    /// Share of rows that may fail beyond the reference's own share, 0 to 1. A row fails that is
    /// refused, that panics, or that a canary cannot read. The reference is the champion for a canary,
    /// the version before for a new champion.
    pub max_error_rate: Option<f64>,
    /// Time that 99 of 100 requests may take within the server at most; requests of many rows count as
    /// those of one.
    pub max_p99: Option<Duration>,
    /// Population stability index of the scores against the reference's, less what chance alone gives;
    /// above 0. From 0.1 on a shift is commonly called small, from 0.25 on large.
    pub max_score_shift: Option<f64>,
    /// How far back is looked. 1 ms or more.
    pub window: Duration,
    /// How often is looked. 1 ms or more.
    pub interval: Duration,
    /// Rows of either side without which nothing is judged, at least 1.
    pub min_rows: u64,
    /// How long after its promotion a champion is judged.
    pub probation: Duration,
}

impl Default for GuardOptions {
    fn default() -> Self {
        Self {
            max_error_rate: None,
            max_p99: None,
            max_score_shift: None,
            window: Duration::from_secs(300),
            interval: Duration::from_secs(5),
            min_rows: 500,
            probation: Duration::from_secs(3600),
        }
    }
}

impl GuardOptions {
    /// Whether anything is judged.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.max_error_rate.is_some() || self.max_p99.is_some() || self.max_score_shift.is_some()
    }

    fn check(&self) -> Result<(), ServeError> {
        let bad =
            |option, found: String, expected| Err(ServeError::Option { option, found, expected });
        if let Some(rate) = self.max_error_rate.filter(|rate| !(0.0..=1.0).contains(rate)) {
            return bad("guard.max_error_rate", rate.to_string(), "0 to 1");
        }
        if let Some(shift) = self.max_score_shift.filter(|shift| shift.is_nan() || *shift <= 0.0) {
            return bad("guard.max_score_shift", shift.to_string(), "above 0");
        }
        if self.max_p99 == Some(Duration::ZERO) {
            return bad("guard.max_p99", "0".to_owned(), "above 0");
        }
        for (option, found) in [("guard.window", self.window), ("guard.interval", self.interval)] {
            if found < Duration::from_millis(1) {
                return bad(option, format!("{found:?}"), "at least 1 ms");
            }
        }
        if self.min_rows == 0 {
            return bad("guard.min_rows", "0".to_owned(), "at least 1");
        }
        Ok(())
    }
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            required_models: Vec::new(),
            poll_interval: Duration::from_secs(1),
            max_batch_rows: 10_000,
            max_row_events: 10_000,
            max_message_bytes: 4 << 20,
            max_in_flight: 512,
            max_in_flight_registry: 8,
            max_in_flight_feedback: 64,
            max_streams: 256,
            max_streams_per_connection: 1024,
            max_request_time: Duration::from_secs(30),
            max_upload_bytes: 256 << 20,
            max_upload_time: Duration::from_secs(300),
            retry_after: Duration::from_millis(100),
            inline_rows: 16,
            n_scoring_threads: std::thread::available_parallelism().map_or(1, usize::from),
            max_shadow_rows: 1024,
            distinct_approver: false,
            guard: GuardOptions::default(),
            pre_drain: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(25),
            net: NetOptions::default(),
            access: AccessOptions::default(),
            prediction_log: None,
            drift_window: Duration::from_secs(3600),
            slow_request: Some(Duration::from_secs(1)),
            traces: None,
        }
    }
}

impl ServeOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// [`ServeError::Option`] names the first option that is out of range.
    pub fn check(&self) -> Result<(), ServeError> {
        let at_least = |option, found: usize, least: usize, expected| {
            if found >= least {
                return Ok(());
            }
            Err(ServeError::Option { option, found: found.to_string(), expected })
        };
        at_least("max_batch_rows", self.max_batch_rows, 1, "at least 1")?;
        at_least("max_row_events", self.max_row_events, 1, "at least 1")?;
        at_least("max_message_bytes", self.max_message_bytes, 1024, "at least 1024")?;
        at_least("max_in_flight", self.max_in_flight, 1, "at least 1")?;
        at_least("max_in_flight_registry", self.max_in_flight_registry, 1, "at least 1")?;
        at_least("max_in_flight_feedback", self.max_in_flight_feedback, 1, "at least 1")?;
        at_least("max_streams", self.max_streams, 1, "at least 1")?;
        let per_connection = self.max_streams_per_connection as usize;
        at_least("max_streams_per_connection", per_connection, 1, "at least 1")?;
        at_least("n_scoring_threads", self.n_scoring_threads, 1, "at least 1")?;
        self.guard.check()?;
        at_least("max_shadow_rows", self.max_shadow_rows, 1, "at least 1")?;
        for (option, found) in [
            ("poll_interval", self.poll_interval),
            ("max_request_time", self.max_request_time),
            ("max_upload_time", self.max_upload_time),
        ] {
            if found < Duration::from_millis(1) {
                let found = format!("{found:?}");
                return Err(ServeError::Option { option, found, expected: "at least 1 ms" });
            }
        }
        if self.drift_window < Duration::from_secs(1) {
            let found = format!("{:?}", self.drift_window);
            return Err(ServeError::Option {
                option: "drift_window",
                found,
                expected: "at least 1 s",
            });
        }
        self.prediction_log.as_ref().map_or(Ok(()), PredictionLogOptions::check)?;
        if let Some(traces) = &self.traces
            && !(0.0..=1.0).contains(&traces.sample_ratio)
        {
            let (option, found) = ("traces.sample_ratio", traces.sample_ratio.to_string());
            return Err(ServeError::Option { option, found, expected: "0 to 1" });
        }
        self.net.check()
    }
}
