//! From what happened to what arrives: delays, repeats, wrong clocks and inventions.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::chance::{Chance, Purpose};
use crate::happening::{Happening, Page, What};
use crate::params::{DAY_US, HOUR_US, SECOND_US, SimulationParams};
use crate::person::Person;
use crate::summary::DirtCounts;

/// Who a line is from.
#[derive(Debug, Clone)]
pub(crate) enum Sender {
    Person(Rc<Person>),
    Bot(u64),
}

/// One line on its way to the log.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// When the server has it.
    pub(crate) received_us: i64,
    pub(crate) sender: Sender,
    /// Number of the message among the sender's; a repeat has the number of its first.
    pub(crate) message: u32,
    pub(crate) happening: Happening,
    /// What the client's clock adds to the true time; 0 is a right clock.
    pub(crate) skew_us: i64,
    /// An event that claims to be from the future.
    pub(crate) from_future: bool,
    /// Whether a broken copy of the line follows it.
    pub(crate) broken_copy: bool,
}

impl Delivery {
    fn key(&self) -> (i64, u8, u64, u32, bool) {
        let (class, index) = match &self.sender {
            Sender::Person(person) => (0, person.index),
            Sender::Bot(bot) => (1, *bot),
        };
        (self.received_us, class, index, self.message, self.from_future)
    }
}

impl PartialEq for Delivery {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Delivery {}
impl PartialOrd for Delivery {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
/// Order of arrival; ties by sender and message.
impl Ord for Delivery {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// Puts a person's happenings, in order of time, on their way.
pub(crate) fn deliver_life(
    params: &SimulationParams,
    person: &Rc<Person>,
    happenings: &[Happening],
    snapshot_us: i64,
    counts: &mut DirtCounts,
    out: &mut Vec<Delivery>,
) {
    let dirt = &params.dirt;
    let mut chance = Chance::new(params.seed, Purpose::Dirt(person.index));
    let skew_us = draw_skew(dirt.skewed_user_rate, &mut chance);
    counts.skewed_users += u64::from(skew_us != 0);
    // The first event after the snapshot decides that the person stayed.
    let seen_again = happenings.partition_point(|happening| happening.ts < snapshot_us);
    let mut next_message = happenings.len() as u32;
    for (position, &happening) in happenings.iter().enumerate() {
        let decides = happening.decides() || position == seen_again;
        let received_us = happening.ts + draw_delay(params, decides, &mut chance, counts);
        let delivery = Delivery {
            received_us,
            sender: Sender::Person(Rc::clone(person)),
            message: position as u32,
            happening,
            skew_us,
            from_future: false,
            broken_copy: chance.happens(dirt.malformed_rate),
        };
        counts.skewed_events += u64::from(skew_us != 0);
        counts.malformed += u64::from(delivery.broken_copy);
        if chance.happens(dirt.duplicate_rate) {
            counts.duplicates += 1;
            counts.skewed_events += u64::from(skew_us != 0);
            let received_us = received_us + chance.seconds_us(1.0, 7_200.0);
            out.push(Delivery { received_us, broken_copy: false, ..delivery.clone() });
        }
        if chance.happens(dirt.future_rate) {
            counts.future += 1;
            let ts = received_us + chance.seconds_us(86_400.0, 60.0 * 86_400.0);
            let what = What::DashboardViewed { dashboard: "overview" };
            out.push(Delivery {
                happening: Happening { ts, what, anonymous: happening.anonymous },
                message: next_message,
                skew_us: 0,
                from_future: true,
                broken_copy: false,
                ..delivery.clone()
            });
            next_message += 1;
        }
        out.push(delivery);
    }
}

/// Ten minutes to two days, fast or slow; 0 for most people.
fn draw_skew(rate: f64, chance: &mut Chance) -> i64 {
    if !chance.happens(rate) {
        return 0;
    }
    let size_us = chance.seconds_us(600.0, 2.0 * 86_400.0);
    if chance.happens(0.5) { size_us } else { -size_us }
}

/// From happening to receipt. The draws are the same for deciding events, which then ignore them.
fn draw_delay(
    params: &SimulationParams,
    decides: bool,
    chance: &mut Chance,
    counts: &mut DirtCounts,
) -> i64 {
    let network_us = chance.seconds_us(0.02, 2.0);
    let lot = chance.unit();
    let waiting = chance.unit();
    let dirt = &params.dirt;
    if decides || lot >= dirt.late_rate + dirt.too_late_rate {
        return network_us;
    }
    let (least_us, most_us) = if lot < dirt.late_rate {
        counts.late += 1;
        (HOUR_US, 6 * DAY_US)
    } else {
        counts.too_late += 1;
        (8 * DAY_US, 20 * DAY_US)
    };
    let waiting_s = (waiting * (most_us - least_us) as f64) as i64 / SECOND_US;
    least_us + waiting_s * SECOND_US + network_us
}

/// A crawler: two runs of page views a second or so apart, all anonymous.
pub(crate) fn deliver_bot(
    params: &SimulationParams,
    bot: u64,
    start_us: i64,
    counts: &mut DirtCounts,
    out: &mut Vec<Delivery>,
) {
    let mut chance = Chance::new(params.seed, Purpose::Bot(bot));
    counts.bots += 1;
    let mut ts = start_us;
    let n_views = 120 + chance.below(80) as u32;
    for message in 0..n_views {
        ts += if message == n_views / 2 { DAY_US } else { chance.seconds_us(0.2, 1.5) };
        let page = [Page::Home, Page::Pricing, Page::Docs, Page::Blog][chance.below(4) as usize];
        counts.bot_events += 1;
        out.push(Delivery {
            received_us: ts + chance.seconds_us(0.02, 0.2),
            sender: Sender::Bot(bot),
            message,
            happening: Happening { ts, what: What::Page(page), anonymous: true },
            skew_us: 0,
            from_future: false,
            broken_copy: false,
        });
    }
}
