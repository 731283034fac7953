//! Whether a canary or a new champion breaches what the operator allows. No clock, no registry.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::behaviour::Behaved;
use crate::GuardOptions;

/// A model at one look.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) model: &'a str,
    /// Of the state that is served.
    pub(super) etag: &'a str,
    pub(super) champion: (u64, Behaved),
    pub(super) canary: Option<(u64, Behaved)>,
    /// If the champion is new and under guard: the version before it.
    pub(super) promoted_from: Option<u64>,
}

/// What to do about a breach, decided on the state with this etag and on no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) model: String,
    pub(super) etag: String,
    pub(super) action: Remedy,
    pub(super) version: u64,
    /// The figures, for the audit trail.
    pub(super) reason: String,
}

/// How a breach is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    StopCanary,
    RollBack,
}

/// Remembers what was seen.
#[derive(Debug)]
pub(super) struct Judge {
    options: GuardOptions,
    models: BTreeMap<String, Memory>,
}

#[derive(Debug)]
struct Memory {
    etag: String,
    champion: History,
    canary: Option<History>,
    /// The champion since it is the champion, whatever else has changed: what the next one is compared
    /// with.
    reference: History,
    /// How the champion before this one behaved in the window before it went.
    before: Option<(u64, Behaved)>,
    /// Whether this state has been judged: what was done about it is not done twice.
    is_over: bool,
}

/// What a version did within the window, and not before this state of the model.
#[derive(Debug)]
struct History {
    version: u64,
    /// Where the window may start: readings a part of it apart, so that many looks take no more room.
    starts: VecDeque<(Duration, Behaved)>,
    last: Behaved,
}

/// Parts of a window: it is longer than asked for by one of them at most.
const PARTS: u32 = 32;

impl History {
    fn new(version: u64, now: Duration, reading: Behaved) -> Self {
        Self { version, starts: VecDeque::from([(now, reading.clone())]), last: reading }
    }

    fn push(&mut self, now: Duration, reading: Behaved, window: Duration) {
        if self.starts.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= window / PARTS) {
            self.starts.push_back((now, reading.clone()));
        }
        self.last = reading;
        // The last one at or before the start of the window stays.
        let start = now.saturating_sub(window);
        while self.starts.get(1).is_some_and(|(at, _)| *at <= start) {
            self.starts.pop_front();
        }
    }

    fn in_window(&self) -> Option<Behaved> {
        self.starts.front().map(|(_, first)| self.last.since(first))
    }

    /// For the version that comes after it.
    fn as_reference(&self) -> Option<(u64, Behaved)> {
        self.in_window().map(|behaved| (self.version, behaved))
    }
}

impl Judge {
    pub(super) fn new(options: GuardOptions) -> Self {
        Self { options, models: BTreeMap::new() }
    }

    /// Looks at a model at `now`, which never goes back.
    pub(super) fn look(&mut self, seen: Seen<'_>, now: Duration) -> Option<Verdict> {
        let (version, reading) = &seen.champion;
        let is_same = self.models.get(seen.model).is_some_and(|memory| memory.is_of(&seen));
        if !is_same {
            let last = self.models.remove(seen.model);
            let fresh = || History::new(*version, now, reading.clone());
            let is_over = last.as_ref().is_some_and(|last| last.is_over && last.etag == seen.etag);
            let (before, reference) = match last {
                Some(last) if last.champion.version == *version => (last.before, last.reference),
                Some(last) => (last.reference.as_reference(), fresh()),
                None => (None, fresh()),
            };
            let memory = Memory {
                etag: seen.etag.to_owned(),
                is_over,
                before,
                reference,
                champion: fresh(),
                canary: seen.canary.map(|(version, canary)| History::new(version, now, canary)),
            };
            self.models.insert(seen.model.to_owned(), memory);
            return None;
        }
        let memory = self.models.get_mut(seen.model)?;
        let window = self.options.window;
        memory.champion.push(now, reading.clone(), window);
        memory.reference.push(now, reading.clone(), window);
        if let (Some(history), Some((_, canary))) = (&mut memory.canary, seen.canary) {
            history.push(now, canary, window);
        }
        if memory.is_over {
            return None;
        }
        let (action, version, breach) = memory.breach(seen.promoted_from, &self.options)?;
        Some(Verdict {
            model: seen.model.to_owned(),
            etag: seen.etag.to_owned(),
            action,
            version,
            reason: format!("{breach}, within {} s", window.as_secs_f64()),
        })
    }

    /// Nothing more is done about this state of the model.
    pub(super) fn close(&mut self, model: &str, etag: &str) {
        if let Some(memory) = self.models.get_mut(model).filter(|memory| memory.etag == etag) {
            memory.is_over = true;
        }
    }

    /// Forgets models that are gone.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.models.retain(|model, _| is_there(model));
    }
}

impl Memory {
    /// Whether it remembers these versions in this state. A version that could not be loaded at first
    /// comes into a state that is known already.
    fn is_of(&self, seen: &Seen<'_>) -> bool {
        self.etag == seen.etag
            && self.champion.version == seen.champion.0
            && self.canary.as_ref().map(|canary| canary.version)
                == seen.canary.as_ref().map(|(version, _)| *version)
    }

    fn breach(
        &self,
        promoted_from: Option<u64>,
        options: &GuardOptions,
    ) -> Option<(Remedy, u64, String)> {
        let champion = self.champion.in_window()?;
        if let Some(canary) = &self.canary
            && let Some(behaved) = canary.in_window()
            && let Some(breach) = breach_of(&behaved, Some(&champion), options)
        {
            return Some((Remedy::StopCanary, canary.version, breach));
        }
        let from = promoted_from?;
        let before = self.before.as_ref().filter(|(version, _)| *version == from);
        let breach = breach_of(&champion, before.map(|(_, behaved)| behaved), options)?;
        Some((Remedy::RollBack, self.champion.version, breach))
    }
}

/// Requests without which one of them alone would be the 99th percentile.
const MIN_REQUESTS: u64 = 100;

/// What a rate of so many rows may be off by chance: three standard errors.
fn by_chance(rate: f64, n_rows: u64) -> f64 {
    3.0 * (rate * (1.0 - rate) / n_rows.max(1) as f64).sqrt()
}

/// The first bound that the behaviour breaches, with its figures. A reference with too few rows is
/// none: then errors count as they are, and scores are not compared.
fn breach_of(
    behaved: &Behaved,
    reference: Option<&Behaved>,
    options: &GuardOptions,
) -> Option<String> {
    let n_rows = behaved.n_rows();
    if n_rows < options.min_rows {
        return None;
    }
    let reference = reference.filter(|reference| reference.n_rows() >= options.min_rows);
    if let Some(allowed) = options.max_error_rate {
        let (rate, usual) = (behaved.error_rate(), reference.map_or(0.0, Behaved::error_rate));
        let by_chance = by_chance((usual + allowed).min(1.0), n_rows)
            .hypot(reference.map_or(0.0, |reference| by_chance(usual, reference.n_rows())));
        if rate > usual + allowed + by_chance {
            return Some(format!(
                "{rate:.4} of {n_rows} rows failed, {usual:.4} of the reference's, at most \
                 {allowed} more are allowed"
            ));
        }
    }
    if let Some(allowed) = options.max_p99
        && behaved.n_requests() >= MIN_REQUESTS
    {
        let p99 = behaved.p99();
        if p99 > allowed {
            let (p99, allowed) = (p99.as_secs_f64() * 1e3, allowed.as_secs_f64() * 1e3);
            return Some(format!(
                "99 of 100 requests took up to {p99:.3} ms or more, at most {allowed} ms are allowed"
            ));
        }
    }
    if let (Some(allowed), Some(reference)) = (options.max_score_shift, reference) {
        let shift = behaved.score_shift(reference);
        if shift > allowed {
            let n_reference = reference.n_rows();
            return Some(format!(
                "scores of {n_rows} rows have shifted by {shift:.4} against {n_reference} of the \
                 reference, at most {allowed} is allowed"
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::behaviour::Behaviour;
    use super::super::behaviour::tests::add;
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn options() -> GuardOptions {
        GuardOptions { window: WINDOW, min_rows: 100, ..GuardOptions::default() }
    }

    /// A model with its counters, looked at by a judge at times of the test's own.
    struct Bench {
        judge: Judge,
        champion: (u64, Behaviour),
        canary: Option<(u64, Behaviour)>,
        promoted_from: Option<u64>,
        etag: &'static str,
    }

    impl Bench {
        fn new(options: GuardOptions) -> Self {
            Self {
                judge: Judge::new(options),
                champion: (1, Behaviour::default()),
                canary: None,
                promoted_from: None,
                etag: "a",
            }
        }

        fn with_canary(options: GuardOptions) -> Self {
            Self { canary: Some((2, Behaviour::default())), ..Self::new(options) }
        }

        fn look(&mut self, second: u64) -> Option<Verdict> {
            let read = |(version, behaviour): &(u64, Behaviour)| (*version, behaviour.read());
            let seen = Seen {
                model: "churn",
                etag: self.etag,
                champion: read(&self.champion),
                canary: self.canary.as_ref().map(read),
                promoted_from: self.promoted_from,
            };
            self.judge.look(seen, Duration::from_secs(second))
        }

        /// Rows that both get: scores of `champion` and `canary`, and failures of the canary.
        fn rows(&self, n_rows: usize, champion: f64, canary: f64, n_failed: u64) {
            let scores = |at: f64| (0..n_rows).map(move |row| at + (row % 10) as f64 / 100.0);
            add(&self.champion.1, scores(champion), 0, []);
            if let Some((_, behaviour)) = &self.canary {
                add(behaviour, scores(canary), n_failed, []);
            }
        }
    }

    fn all_bounds() -> GuardOptions {
        GuardOptions {
            max_error_rate: Some(0.05),
            max_p99: Some(Duration::from_millis(50)),
            max_score_shift: Some(0.25),
            ..options()
        }
    }

    #[test]
    fn a_canary_that_behaves_is_left_alone() {
        let mut bench = Bench::with_canary(all_bounds());
        for second in 0..100 {
            assert_eq!(bench.look(second), None);
            bench.rows(50, 0.4, 0.4, 1);
            add(&bench.canary.as_ref().unwrap().1, [], 0, [49.0; 10]);
        }
    }

    #[test]
    fn errors_time_and_scores_are_breaches_each() {
        type Misbehave = fn(&Bench);
        let cases: [(GuardOptions, Misbehave, &str); 3] = [
            (
                GuardOptions { max_error_rate: Some(0.05), ..options() },
                |bench| bench.rows(300, 0.4, 0.4, 30),
                "0.0909 of 330 rows failed",
            ),
            (
                GuardOptions { max_p99: Some(Duration::from_millis(50)), ..options() },
                |bench| {
                    bench.rows(300, 0.4, 0.4, 0);
                    let slow = (0..300).map(|row| if row < 6 { 200.0 } else { 1.0 });
                    add(&bench.canary.as_ref().unwrap().1, [], 0, slow);
                },
                "at most 50 ms",
            ),
            (
                GuardOptions { max_score_shift: Some(0.25), ..options() },
                |bench| bench.rows(300, 0.4, 0.7, 0),
                "scores of 300 rows have shifted",
            ),
        ];
        for (options, misbehave, words) in cases {
            let mut bench = Bench::with_canary(options);
            assert_eq!(bench.look(0), None);
            misbehave(&bench);
            let verdict = bench.look(1).expect(words);
            assert!(verdict.reason.contains(words), "{}", verdict.reason);
            assert_eq!((verdict.action, verdict.version), (Remedy::StopCanary, 2));
            assert_eq!((verdict.model.as_str(), verdict.etag.as_str()), ("churn", "a"));
            // A bound that is not set is not judged.
            let mut bench = Bench::with_canary(self::options());
            bench.look(0);
            misbehave(&bench);
            assert_eq!(bench.look(1), None);
        }
    }

    #[test]
    fn few_rows_are_no_evidence() {
        let mut bench = Bench::with_canary(all_bounds());
        bench.look(0);
        bench.rows(0, 0.4, 0.9, 99);
        assert_eq!(bench.look(1), None);
        bench.rows(0, 0.4, 0.9, 1);
        assert!(bench.look(2).is_some());
        // Scores are not compared with a champion that has hardly any.
        let mut bench =
            Bench::with_canary(GuardOptions { max_score_shift: Some(0.25), ..options() });
        bench.look(0);
        add(&bench.champion.1, [0.1; 99], 0, []);
        add(&bench.canary.as_ref().unwrap().1, [0.9; 1000], 0, []);
        assert_eq!(bench.look(1), None);
    }

    /// What every version refuses is the callers' doing.
    #[test]
    fn errors_that_the_champion_has_too_are_not_the_canarys() {
        let mut bench = Bench::with_canary(all_bounds());
        bench.look(0);
        bench.rows(500, 0.4, 0.4, 100);
        add(&bench.champion.1, [], 100, []);
        assert_eq!(bench.look(1), None);
    }

    #[test]
    fn what_has_left_the_window_is_forgotten() {
        let mut bench = Bench::with_canary(all_bounds());
        bench.look(0);
        // 99 failures, too few rows to judge, then a window with nothing.
        add(&bench.canary.as_ref().unwrap().1, [], 99, []);
        for second in [1, 30, 62, 123] {
            assert_eq!(bench.look(second), None);
        }
        bench.rows(200, 0.4, 0.4, 0);
        assert_eq!(bench.look(124), None);
    }

    /// Someone who raises the share again after the guard took it starts with a clean slate.
    #[test]
    fn another_state_is_judged_anew() {
        let mut bench = Bench::with_canary(all_bounds());
        bench.look(0);
        bench.rows(200, 0.4, 0.4, 100);
        assert!(bench.look(1).is_some());
        // Until it is closed, because the deed may have failed.
        assert!(bench.look(2).is_some());
        bench.judge.close("churn", "of another state");
        assert!(bench.look(3).is_some());
        bench.judge.close("churn", "a");
        assert_eq!(bench.look(4), None);
        bench.etag = "b";
        assert_eq!((bench.look(5), bench.look(6)), (None, None));
        bench.rows(200, 0.4, 0.4, 100);
        assert_eq!(bench.look(7).unwrap().etag, "b");
    }

    /// A few slow requests of many rows each are not one in a hundred.
    #[test]
    fn few_requests_are_no_percentile() {
        let options = GuardOptions { max_p99: Some(Duration::from_millis(50)), ..options() };
        let mut bench = Bench::with_canary(options);
        bench.look(0);
        bench.rows(10_000, 0.4, 0.4, 0);
        add(&bench.canary.as_ref().unwrap().1, [], 0, [200.0; 99]);
        assert_eq!(bench.look(1), None);
        add(&bench.canary.as_ref().unwrap().1, [], 0, [200.0]);
        assert!(bench.look(2).unwrap().reason.contains("at most 50 ms"));
    }

    /// As many failures as an error rate at the bound gives by chance one time in six.
    #[test]
    fn errors_are_told_from_chance() {
        let options = GuardOptions { max_error_rate: Some(0.05), ..options() };
        let mut bench = Bench::with_canary(options);
        bench.look(0);
        bench.rows(94, 0.4, 0.4, 6);
        assert_eq!(bench.look(1), None);
        // The same share of many rows is none.
        bench.rows(9400, 0.4, 0.4, 600);
        assert!(bench.look(2).unwrap().reason.contains("rows failed"));
    }

    /// The end of a canary, or a ramp, just before a promotion takes nothing from what is known of the
    /// champion that goes.
    #[test]
    fn a_change_of_the_state_leaves_the_reference() {
        let mut bench = Bench::new(all_bounds());
        bench.look(0);
        add(&bench.champion.1, [0.2; 1000], 100, []);
        bench.look(1);
        bench.etag = "b";
        bench.look(2);
        bench.champion = (2, Behaviour::default());
        (bench.etag, bench.promoted_from) = ("c", Some(1));
        bench.look(3);
        add(&bench.champion.1, [0.2; 1000], 100, []);
        assert_eq!(bench.look(4), None);
        add(&bench.champion.1, [0.9; 500], 0, []);
        assert!(bench.look(5).unwrap().reason.contains("against 1100 of the reference"));
    }

    /// A canary whose first load fails comes later, into the same state.
    #[test]
    fn a_canary_that_comes_late_is_judged_too() {
        let mut bench = Bench::new(all_bounds());
        for second in 0..2 {
            assert_eq!(bench.look(second), None);
        }
        bench.canary = Some((2, Behaviour::default()));
        assert_eq!(bench.look(2), None);
        bench.rows(200, 0.4, 0.4, 100);
        assert_eq!(bench.look(3).unwrap().version, 2);
        // What is over for a state is over for whatever comes into it.
        bench.judge.close("churn", "a");
        bench.canary = None;
        assert_eq!(bench.look(4), None);
        bench.canary = Some((2, Behaviour::default()));
        assert_eq!(bench.look(5), None);
        bench.rows(200, 0.4, 0.4, 100);
        assert_eq!(bench.look(6), None);
    }

    #[test]
    fn a_new_champion_is_judged_by_the_one_before() {
        let promoted = |options: GuardOptions| {
            let mut bench = Bench::new(options);
            bench.look(0);
            add(&bench.champion.1, [0.2; 1000], 10, []);
            bench.look(1);
            bench.champion = (2, Behaviour::default());
            bench.etag = "b";
            bench.promoted_from = Some(1);
            assert_eq!(bench.look(2), None);
            bench
        };
        let mut bench = promoted(all_bounds());
        add(&bench.champion.1, [0.2; 500], 10, []);
        assert_eq!(bench.look(3), None);
        add(&bench.champion.1, [0.9; 500], 0, []);
        let verdict = bench.look(4).unwrap();
        assert_eq!((verdict.action, verdict.version), (Remedy::RollBack, 2));
        assert!(verdict.reason.contains("against 1010 of the reference"), "{}", verdict.reason);
        // A change of the traffic does not make the promotion forgotten.
        let mut bench = promoted(all_bounds());
        bench.etag = "c";
        bench.look(3);
        add(&bench.champion.1, [0.9; 500], 0, []);
        assert_eq!(bench.look(4).unwrap().etag, "c");
        // Its probation is over, or a person has rolled back to it.
        let mut bench = promoted(all_bounds());
        bench.promoted_from = None;
        add(&bench.champion.1, [0.9; 500], 500, []);
        assert_eq!(bench.look(3), None);
        // A server that has not seen the one before compares no scores; errors count as they are.
        let mut bench = promoted(all_bounds());
        bench.promoted_from = Some(7);
        add(&bench.champion.1, [0.9; 500], 0, []);
        assert_eq!(bench.look(3), None);
        add(&bench.champion.1, [], 50, []);
        assert!(bench.look(4).unwrap().reason.contains("0.0000 of the reference"));
    }
}
