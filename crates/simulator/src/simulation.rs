//! The run: people in order of signup, lines in order of arrival, memory bounded by who is on their way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};
use std::rc::Rc;

use crate::SimulatorError;
use crate::chance::{Chance, Purpose};
use crate::delivery::{Delivery, deliver_bot, deliver_life};
use crate::journey::Life;
use crate::params::{BEFORE_SIGNUP_US, DAY_US, SimulationParams};
use crate::segment::write_line;
use crate::summary::{DirtCounts, SimulationSummary, Tally};
use crate::truth::TRUTH_HEADER;

/// Users between two calls of `progress`.
const PROGRESS_STRIDE: u64 = 256;

/// Writes the event log (Segment-spec JSON lines in order of arrival) and the truth file (CSV, one row a
/// user in order of signup).
///
/// Equal parameters give equal bytes; the truth does not depend on [`crate::Dirt`]. `progress` is told
/// the number of users done, now and then and at the end. Memory grows with the users of about two
/// months, not with the log. The writers are flushed; writing is buffered here.
///
/// # Errors
/// What [`SimulationParams::check`] says, and [`SimulatorError::Write`] if a writer fails, after which both
/// files are incomplete.
pub fn simulate(
    params: &SimulationParams,
    events: &mut dyn Write,
    truth: &mut dyn Write,
    progress: &dyn Fn(u64),
) -> Result<SimulationSummary, SimulatorError> {
    params.check()?;
    let mut log = Log { events, waiting: BinaryHeap::new(), buffer: Vec::new(), lines: 0 };
    let mut text = String::from(TRUTH_HEADER);
    let (mut dirt, mut tally, mut n_events) = (DirtCounts::default(), Tally::default(), 0);
    let mut deliveries = Vec::new();
    let mut done = 0;
    for (start_us, arrival) in arrivals(params) {
        match arrival {
            Arrival::Bot(bot) => deliver_bot(params, bot, start_us, &mut dirt, &mut deliveries),
            Arrival::Person(index) => {
                let Life { person, happenings, truth: fate } = Life::draw(params, index, start_us);
                n_events += happenings.len() as u64;
                tally.add(&fate);
                fate.write_line(&person, &mut text);
                truth.write_all(text.as_bytes()).map_err(write_error("truth"))?;
                text.clear();
                let person = Rc::new(person);
                let snapshot_us = fate.snapshot_us;
                deliver_life(params, &person, &happenings, snapshot_us, &mut dirt, &mut deliveries);
                done += 1;
                if done % PROGRESS_STRIDE == 0 {
                    progress(done);
                }
            }
        }
        log.accept(&mut deliveries);
        // Whoever comes next came at `start_us` or later, and their first visit at most so much earlier.
        log.write_before(start_us - BEFORE_SIGNUP_US).map_err(write_error("events"))?;
    }
    log.write_before(i64::MAX).map_err(write_error("events"))?;
    log.events.flush().map_err(write_error("events"))?;
    truth.flush().map_err(write_error("truth"))?;
    progress(done);
    let [churn, support_need, conversion] = tally.finish();
    let lines = log.lines + dirt.malformed;
    Ok(SimulationSummary {
        users: done,
        events: n_events,
        lines,
        dirt,
        churn,
        support_need,
        conversion,
    })
}

fn write_error(stream: &'static str) -> impl Fn(io::Error) -> SimulatorError {
    move |source| SimulatorError::Write { stream, source }
}

/// Who appears, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Arrival {
    Person(u64),
    Bot(u64),
}

/// People and bots in order of time; people are numbered in that order.
fn arrivals(params: &SimulationParams) -> Vec<(i64, Arrival)> {
    let mut chance = Chance::new(params.seed, Purpose::Signups);
    let mut signups: Vec<i64> =
        (0..params.n_users).map(|_| draw_signup(params, &mut chance)).collect();
    signups.sort_unstable();
    let mut chance = Chance::new(params.seed, Purpose::Bots);
    let span_s = f64::from(params.signup_days) * 86_400.0;
    let bots = (0..params.dirt.n_bots(params.n_users)).map(|bot| {
        (params.start + BEFORE_SIGNUP_US + chance.seconds_us(0.0, span_s), Arrival::Bot(bot))
    });
    let people = signups.into_iter().zip(0..).map(|(ts, index)| (ts, Arrival::Person(index)));
    let mut arrivals: Vec<(i64, Arrival)> = people.chain(bots).collect();
    arrivals.sort_unstable();
    arrivals
}

/// Any day of the signup span, weekends half as likely, daytime (UTC) more likely than night.
fn draw_signup(params: &SimulationParams, chance: &mut Chance) -> i64 {
    let first_us = params.start + BEFORE_SIGNUP_US;
    loop {
        let ts = first_us + chance.seconds_us(0.0, f64::from(params.signup_days) * 86_400.0);
        let weekend = matches!((ts.div_euclid(DAY_US) + 4).rem_euclid(7), 0 | 6);
        let hour = ts.rem_euclid(DAY_US) * 24 / DAY_US;
        let weight =
            if weekend { 0.5 } else { 1.0 } * if (7..20).contains(&hour) { 1.0 } else { 0.2 };
        if chance.happens(weight) {
            return ts;
        }
    }
}

/// The event file and what is still on its way to it.
struct Log<'a> {
    events: &'a mut dyn Write,
    waiting: BinaryHeap<Reverse<Delivery>>,
    buffer: Vec<u8>,
    lines: u64,
}

impl Log<'_> {
    const BUFFER_BYTES: usize = 1 << 16;

    fn accept(&mut self, deliveries: &mut Vec<Delivery>) {
        self.waiting.extend(deliveries.drain(..).map(Reverse));
    }

    /// Writes what is received before an instant.
    fn write_before(&mut self, instant_us: i64) -> io::Result<()> {
        while let Some(Reverse(next)) = self.waiting.peek() {
            if next.received_us >= instant_us {
                break;
            }
            write_line(next, &mut self.buffer)?;
            self.waiting.pop();
            self.lines += 1;
            if self.buffer.len() >= Self::BUFFER_BYTES {
                self.drain()?;
            }
        }
        if instant_us == i64::MAX { self.drain() } else { Ok(()) }
    }

    fn drain(&mut self) -> io::Result<()> {
        self.events.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
