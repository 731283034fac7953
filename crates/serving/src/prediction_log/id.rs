//! The names of predictions.
//!
//! 128 bits: 44 of milliseconds since 1970, 44 drawn by the server at its start, 40 counted by it. As
//! text 34 characters, `TIME-SERVER-NUMBER` in lower-case hexadecimal, such as
//! `1a20448123b-7471cea6ff1-000000002a`. The server is part of the names of its log files and the time
//! says which hour they are of, so that a prediction is found from its name alone.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

const TIME_BITS: u32 = 44;
const SERVER_BITS: u32 = 44;
const NUMBER_BITS: u32 = 40;

/// Characters of the text.
pub(crate) const ID_CHARS: usize = 34;

/// Microseconds of an hour.
pub(crate) const HOUR_US: i64 = 3_600_000_000;

/// Names one prediction among all servers and restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PredictionId(u128);

/// The server that made an id, as files are named after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ServerId(u64);

/// Gives each prediction its name. Neither locks nor waits.
#[derive(Debug)]
pub(crate) struct PredictionIds {
    server: ServerId,
    next: AtomicU64,
}

impl PredictionIds {
    /// Draws what tells this server from others and from itself before a restart.
    pub(crate) fn new(now_us: i64) -> Self {
        // Keyed by the system's random numbers.
        let drawn = RandomState::new().hash_one((now_us, std::process::id()));
        Self { server: ServerId(drawn & mask(SERVER_BITS)), next: AtomicU64::new(0) }
    }

    /// The server's part of all its ids.
    pub(crate) fn server(&self) -> ServerId {
        self.server
    }

    /// The name of a prediction made at `now_us`.
    pub(crate) fn next(&self, now_us: i64) -> PredictionId {
        PredictionId::new(now_us, self.server, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl PredictionId {
    /// What does not fit into a field is cut off at the top: times before 1970 are 1970.
    fn new(time_us: i64, server: ServerId, number: u64) -> Self {
        let time_ms = u64::try_from(time_us / 1000).unwrap_or(0) & mask(TIME_BITS);
        let number = number & mask(NUMBER_BITS);
        let high = u128::from(time_ms) << SERVER_BITS | u128::from(server.0);
        Self(high << NUMBER_BITS | u128::from(number))
    }

    /// From [`bits`](Self::bits).
    pub(crate) fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// Before every prediction made at `time_us` or later, and after all others.
    pub(crate) fn first_at(time_us: i64) -> Self {
        let time_ms = (time_us.max(0) as u64).div_ceil(1000) & mask(TIME_BITS);
        Self(u128::from(time_ms) << (SERVER_BITS + NUMBER_BITS))
    }

    /// All of it as a number.
    pub(crate) fn bits(self) -> u128 {
        self.0
    }

    /// When the prediction was made, in microseconds, to the millisecond.
    pub(crate) fn time_us(self) -> i64 {
        let time_ms = (self.0 >> (SERVER_BITS + NUMBER_BITS)) as u64;
        // 44 bits.
        i64::try_from(time_ms).unwrap_or(0) * 1000
    }

    /// Hours since 1970.
    pub(crate) fn hour(self) -> i64 {
        self.time_us() / HOUR_US
    }

    /// Who made it.
    pub(crate) fn server(self) -> ServerId {
        ServerId((self.0 >> NUMBER_BITS) as u64 & mask(SERVER_BITS))
    }

    /// Its place among the predictions of its server.
    pub(crate) fn number(self) -> u64 {
        self.0 as u64 & mask(NUMBER_BITS)
    }

    /// Reads exactly what [`text`](Self::text) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != ID_CHARS {
            return None;
        }
        let mut bits = 0;
        for (place, byte) in text.bytes().enumerate() {
            if DASHES.contains(&place) {
                if byte != b'-' {
                    return None;
                }
                continue;
            }
            let digit = DIGITS.iter().position(|digit| *digit == byte)?;
            bits = bits << 4 | digit as u128;
        }
        Some(Self(bits))
    }

    /// The text of it: one allocation.
    pub(crate) fn text(self) -> String {
        let mut text = String::with_capacity(ID_CHARS);
        let mut shift = u128::BITS;
        for place in 0..ID_CHARS {
            if DASHES.contains(&place) {
                text.push('-');
            } else {
                shift -= 4;
                text.push(char::from(DIGITS[(self.0 >> shift) as usize & 15]));
            }
        }
        text
    }
}

const DASHES: [usize; 2] = [11, 23];
const DIGITS: [u8; 16] = *b"0123456789abcdef";

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

impl ServerId {
    /// Reads the text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 11 && text.bytes().all(|byte| DIGITS.contains(&byte));
        digits.then(|| u64::from_str_radix(text, 16).ok().map(Self))?
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:011x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn every_part_comes_back(
            time_ms in 0_i64..1 << 44,
            server in 0_u64..1 << 44,
            number in 0_u64..1 << 40,
        ) {
            let id = PredictionId::new(time_ms * 1000, ServerId(server), number);
            prop_assert_eq!(id.time_us(), time_ms * 1000);
            prop_assert_eq!((id.server(), id.number()), (ServerId(server), number));
            let text = id.text();
            let parts = format!("{time_ms:011x}-{server:011x}-{number:010x}");
            prop_assert_eq!(&text, &parts);
            prop_assert_eq!(PredictionId::parse(&text), Some(id));
            prop_assert_eq!(ServerId::parse(&id.server().to_string()), Some(id.server()));
        }

        #[test]
        fn nothing_else_is_an_id(text in "[0-9a-fA-F-]{33,35}|.{0,40}") {
            if let Some(id) = PredictionId::parse(&text) {
                prop_assert_eq!(id.text(), text);
            }
        }
    }

    #[test]
    fn ids_of_two_servers_in_one_instant_are_all_different() {
        let servers: Vec<PredictionIds> = (0..50).map(|_| PredictionIds::new(7)).collect();
        let mut seen = HashSet::new();
        for _ in 0..100 {
            for server in &servers {
                assert!(seen.insert(server.next(7).text()));
            }
        }
    }

    #[test]
    fn a_clock_before_1970_or_far_ahead_is_no_reason_to_panic() {
        let ids = PredictionIds::new(i64::MIN);
        assert_eq!(ids.next(i64::MIN).time_us(), 0);
        assert_eq!(PredictionId::parse(&ids.next(i64::MAX).text()).unwrap().number(), 1);
    }
}
