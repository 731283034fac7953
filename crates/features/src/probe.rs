//! Accumulators: each is fed the selected, visible events of its window in the total order and is
//! read once. Several statistics share one.

use segue_events::{Micros, Scalar, Symbol};

use crate::window::SECOND_US;

/// What an accumulator keeps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ProbeKind {
    Times,
    Gaps,
    Moments,
    Ends,
    Latest { k: usize },
    Values,
    Numbers,
    Days { zone: usize },
    Sessions { timeout_us: i64 },
    Ngram { steps: Vec<usize>, max_gap_us: i64, timeout_us: i64 },
    Bins { n_bins: usize, length_us: i64, of_property: bool },
    Funnel { steps: Vec<usize> },
}

/// One event as an accumulator sees it.
#[derive(Clone, Copy)]
pub(crate) struct Fed {
    pub(crate) at: Micros,
    pub(crate) session: Symbol,
    /// The property that the accumulator looks at.
    pub(crate) value: Option<Scalar>,
}

/// An accumulator's state. Vectors keep their capacity from row to row.
#[derive(Debug)]
pub(crate) enum State {
    Times(Times),
    Gaps { last: Option<Micros>, gaps: Moments },
    Moments(Moments),
    Ends { first: Option<Scalar>, last: Option<Scalar> },
    Latest { ring: Vec<Scalar>, next: usize },
    Values(Vec<Scalar>),
    Numbers(Vec<f64>),
    Days(Vec<i64>),
    Sessions(Sessions),
    Ngram { matched: u32, last: Option<(Micros, Symbol)>, n: u64 },
    Bins { n: Vec<f64>, sum: Vec<f64> },
    Funnel { n: Vec<u64>, first: Vec<Micros> },
}

/// Number, first and last time.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) n: u64,
    pub(crate) first: Micros,
    pub(crate) last: Micros,
}

impl Times {
    /// Of times in order.
    pub(crate) fn of(times: &[Micros]) -> Self {
        match times {
            [] => Self::default(),
            [first, ..] => {
                Self { n: times.len() as u64, first: *first, last: times[times.len() - 1] }
            }
        }
    }
}

/// Count, sum, extremes, and the sum of squared deviations after Welford (1962).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    pub(crate) n: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    mean: f64,
    m2: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { n: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, mean: 0.0, m2: 0.0 }
    }
}

impl Moments {
    fn add(&mut self, x: f64) {
        self.n += 1;
        self.sum += x;
        self.min = self.min.min(x);
        self.max = self.max.max(x);
        let deviation = x - self.mean;
        self.mean += deviation / self.n as f64;
        self.m2 += deviation * (x - self.mean);
    }

    pub(crate) fn mean(&self) -> f64 {
        if self.n == 0 { f64::NAN } else { self.sum / self.n as f64 }
    }

    /// With n - 1 below; NaN under two values.
    pub(crate) fn std(&self) -> f64 {
        if self.n < 2 { f64::NAN } else { (self.m2 / (self.n - 1) as f64).sqrt() }
    }
}

/// Whether an event goes on with the session of the one before it.
pub(crate) fn same_session(
    (before, before_session): (Micros, Symbol),
    (at, session): (Micros, Symbol),
    timeout_us: i64,
) -> bool {
    if before_session != Symbol::EMPTY && session != Symbol::EMPTY {
        before_session == session
    } else {
        at - before < timeout_us
    }
}

/// Sessions that ended, and the one that goes on.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sessions {
    n: u64,
    length_us: i64,
    bounces: u64,
    /// Start, last event and number of events of the last session; the last is 0 if none.
    start: Micros,
    last: Option<(Micros, Symbol)>,
    n_events: u64,
}

impl Sessions {
    fn add(&mut self, at: Micros, session: Symbol, timeout_us: i64) {
        let goes_on = self.last.is_some_and(|last| same_session(last, (at, session), timeout_us));
        if !goes_on {
            if let Some((end, _)) = self.last {
                self.length_us += end - self.start;
                self.bounces += u64::from(self.n_events == 1);
            }
            self.n += 1;
            self.start = at;
            self.n_events = 0;
        }
        self.n_events += 1;
        self.last = Some((at, session));
    }

    pub(crate) fn count(&self) -> f64 {
        self.n as f64
    }

    pub(crate) fn last_length_s(&self) -> f64 {
        self.last.map_or(f64::NAN, |(end, _)| seconds(end - self.start))
    }

    pub(crate) fn mean_length_s(&self) -> f64 {
        let last = self.last.map_or(0, |(end, _)| end - self.start);
        if self.n == 0 { f64::NAN } else { seconds(self.length_us + last) / self.n as f64 }
    }

    pub(crate) fn bounce_rate(&self) -> f64 {
        let bounces = self.bounces + u64::from(self.n_events == 1);
        if self.n == 0 { f64::NAN } else { bounces as f64 / self.n as f64 }
    }

    pub(crate) fn open(&self, t: Micros, timeout_us: i64) -> f64 {
        f64::from(self.last.is_some_and(|(end, _)| t - end < timeout_us))
    }
}

/// Microseconds as seconds.
pub(crate) fn seconds(us: i64) -> f64 {
    us as f64 / SECOND_US as f64
}

/// A value as a number: flags are 0 and 1, text and what is not finite are none.
pub(crate) fn number_of(value: Scalar) -> Option<f64> {
    match value {
        Scalar::Number(x) => x.is_finite().then_some(x),
        Scalar::Flag(flag) => Some(f64::from(flag)),
        Scalar::Text(_) => None,
    }
}

/// Equal for equal values, by type; only its equality may reach a result.
fn key(value: &Scalar) -> (u8, u64) {
    match *value {
        Scalar::Flag(flag) => (0, u64::from(flag)),
        // Adding zero makes -0 and 0 one.
        Scalar::Number(x) => (1, (x + 0.0).to_bits()),
        Scalar::Text(text) => (2, text.index() as u64),
    }
}

impl State {
    pub(crate) fn new(kind: &ProbeKind) -> Self {
        match kind {
            ProbeKind::Times => Self::Times(Times::default()),
            ProbeKind::Gaps => Self::Gaps { last: None, gaps: Moments::default() },
            ProbeKind::Moments => Self::Moments(Moments::default()),
            ProbeKind::Ends => Self::Ends { first: None, last: None },
            ProbeKind::Latest { k } => Self::Latest { ring: Vec::with_capacity(*k), next: 0 },
            ProbeKind::Values => Self::Values(Vec::new()),
            ProbeKind::Numbers => Self::Numbers(Vec::new()),
            ProbeKind::Days { .. } => Self::Days(Vec::new()),
            ProbeKind::Sessions { .. } => Self::Sessions(Sessions::default()),
            ProbeKind::Ngram { .. } => Self::Ngram { matched: 0, last: None, n: 0 },
            ProbeKind::Bins { n_bins, .. } => {
                Self::Bins { n: vec![0.0; *n_bins], sum: vec![0.0; *n_bins] }
            }
            ProbeKind::Funnel { steps } => {
                Self::Funnel { n: vec![0; steps.len()], first: vec![0; steps.len()] }
            }
        }
    }

    /// Forgets everything, keeps memory.
    pub(crate) fn reset(&mut self) {
        match self {
            Self::Times(times) => *times = Times::default(),
            Self::Gaps { last, gaps } => (*last, *gaps) = (None, Moments::default()),
            Self::Moments(moments) => *moments = Moments::default(),
            Self::Ends { first, last } => (*first, *last) = (None, None),
            Self::Latest { ring, next } => {
                ring.clear();
                *next = 0;
            }
            Self::Values(values) => values.clear(),
            Self::Numbers(numbers) => numbers.clear(),
            Self::Days(days) => days.clear(),
            Self::Sessions(sessions) => *sessions = Sessions::default(),
            Self::Ngram { matched, last, n } => (*matched, *last, *n) = (0, None, 0),
            Self::Bins { n, sum } => {
                n.fill(0.0);
                sum.fill(0.0);
            }
            Self::Funnel { n, .. } => n.fill(0),
        }
    }

    /// Takes one event. `window_start` is where the window begins, `day_of` gives the local day in
    /// the accumulator's zone, `matches` says whether a pattern matches the text at hand: the
    /// event's name for n-grams, the value for funnels.
    #[inline]
    pub(crate) fn feed(
        &mut self,
        kind: &ProbeKind,
        fed: Fed,
        window_start: Micros,
        day_of: impl Fn(usize) -> i64,
        matches: impl Fn(usize) -> bool,
    ) {
        match (self, kind) {
            (Self::Times(times), _) => {
                if times.n == 0 {
                    times.first = fed.at;
                }
                times.n += 1;
                times.last = fed.at;
            }
            (Self::Gaps { last, gaps }, _) => {
                if let Some(before) = last.replace(fed.at) {
                    gaps.add(seconds(fed.at - before));
                }
            }
            (Self::Moments(moments), _) => {
                if let Some(x) = fed.value.and_then(number_of) {
                    moments.add(x);
                }
            }
            (Self::Ends { first, last }, _) => {
                if first.is_none() {
                    *first = fed.value;
                }
                *last = fed.value;
            }
            (Self::Latest { ring, next }, ProbeKind::Latest { k }) => {
                if let Some(value) = fed.value {
                    push_latest(ring, next, *k, value);
                }
            }
            (Self::Values(values), _) => values.extend(fed.value),
            (Self::Numbers(numbers), _) => numbers.extend(fed.value.and_then(number_of)),
            (Self::Days(days), ProbeKind::Days { zone }) => {
                let day = day_of(*zone);
                if days.last() != Some(&day) {
                    days.push(day);
                }
            }
            (Self::Sessions(sessions), ProbeKind::Sessions { timeout_us }) => {
                sessions.add(fed.at, fed.session, *timeout_us);
            }
            (
                Self::Ngram { matched, last, n },
                ProbeKind::Ngram { steps, max_gap_us, timeout_us },
            ) => {
                let now = (fed.at, fed.session);
                let linked = last.replace(now).is_some_and(|before| {
                    now.0 - before.0 <= *max_gap_us && same_session(before, now, *timeout_us)
                });
                *n += shift_and(matched, linked, steps, matches);
            }
            (Self::Bins { n, sum }, ProbeKind::Bins { n_bins, length_us, of_property }) => {
                let x = if *of_property { fed.value.and_then(number_of) } else { Some(1.0) };
                if let Some(x) = x {
                    let since = fed.at.saturating_sub(window_start);
                    let bin = (since * *n_bins as i64 / length_us) as usize;
                    n[bin.min(n_bins - 1)] += 1.0;
                    sum[bin.min(n_bins - 1)] += x;
                }
            }
            (Self::Funnel { n, first }, ProbeKind::Funnel { steps }) => {
                let done = (0..steps.len()).filter(|&step| matches(steps[step]));
                for step in done {
                    if n[step] == 0 {
                        first[step] = fed.at;
                    }
                    n[step] += 1;
                }
            }
            _ => unreachable!("a state is made from its kind"),
        }
    }

    /// Brings collected values into the order that reading needs.
    pub(crate) fn settle(&mut self) {
        match self {
            Self::Values(values) => values.sort_unstable_by_key(key),
            Self::Numbers(numbers) => numbers.sort_unstable_by(f64::total_cmp),
            Self::Days(days) => {
                days.sort_unstable();
                days.dedup();
            }
            _ => {}
        }
    }
}

/// Keeps the last `k`; `next` is the place of the oldest once there are so many.
fn push_latest(ring: &mut Vec<Scalar>, next: &mut usize, k: usize, value: Scalar) {
    if ring.len() < k {
        ring.push(value);
    } else {
        ring[*next] = value;
    }
    *next = (*next + 1) % k;
}

/// Bit j of `matched`: the last j + 1 events matched the first j + 1 steps (the shift-and method of
/// Baeza-Yates and Gonnet 1992). Returns 1 if all steps are matched now.
fn shift_and(
    matched: &mut u32,
    linked: bool,
    steps: &[usize],
    matches: impl Fn(usize) -> bool,
) -> u64 {
    let candidates = if linked { *matched << 1 | 1 } else { 1 };
    *matched = 0;
    for (step, &pattern) in steps.iter().enumerate() {
        let bit = 1 << step;
        if candidates & bit != 0 && matches(pattern) {
            *matched |= bit;
        }
    }
    u64::from(*matched >> (steps.len() - 1) & 1)
}

/// Runs of equal values in settled values: one of them and how many.
pub(crate) fn runs(values: &[Scalar]) -> impl Iterator<Item = (Scalar, usize)> {
    values.chunk_by(|a, b| key(a) == key(b)).map(|run| (run[0], run.len()))
}

/// Shannon entropy in nats. Counts are added in ascending order, so that the bits do not depend on
/// how values are numbered.
pub(crate) fn entropy(values: &[Scalar]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let mut counts: Vec<usize> = runs(values).map(|(_, n)| n).collect();
    counts.sort_unstable();
    let n = values.len() as f64;
    let weighted: f64 = counts.iter().map(|&count| count as f64 * (count as f64).ln()).sum();
    (n.ln() - weighted / n).max(0.0)
}

/// Nearest rank in ascending numbers: the `ceil(n p / 100)`-th.
pub(crate) fn nearest_rank(numbers: &[f64], percentile: f64) -> f64 {
    let rank = (numbers.len() as f64 * percentile / 100.0).ceil().max(1.0) as usize;
    numbers.get(rank.min(numbers.len()).wrapping_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Days in a row up to `today` in ascending distinct days.
pub(crate) fn streak(days: &[i64], today: i64) -> f64 {
    let back = days.iter().rev().zip((i64::MIN..=today).rev());
    back.take_while(|&(&day, expected)| day == expected).count() as f64
}

/// Least-squares slope of the bins' values over their index. Counting: all bins. Of a property: the
/// means of bins that hold one, NaN under two.
pub(crate) fn slope(n: &[f64], sum: &[f64], of_property: bool) -> f64 {
    let point = |bin: usize| {
        let y = if of_property { sum[bin] / n[bin] } else { n[bin] };
        (bin as f64, y)
    };
    let points = || (0..n.len()).filter(|&bin| !of_property || n[bin] > 0.0).map(point);
    let count = points().count() as f64;
    if count < 2.0 {
        return f64::NAN;
    }
    let mean_x = points().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points().map(|(_, y)| y).sum::<f64>() / count;
    let above: f64 = points().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = points().map(|(x, _)| (x - mean_x) * (x - mean_x)).sum();
    above / below
}
