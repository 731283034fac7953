//! Correction of a client clock that runs wrong.

use crate::Micros;

/// Below this difference a clock is not wrong, the network was slow.
pub const DEFAULT_SKEW_DEADBAND_US: Micros = 60_000_000;

/// When an event happened by the server's clock.
///
/// The client stamped the event with `original` and its upload with `sent`; the server saw the
/// upload at `received`. If both clocks agreed, `received - sent` would be the way over the network;
/// beyond the deadband it is taken for skew and `original` is moved by it. Within the deadband
/// `original` stays, because correcting by network delay reorders the events of one user.
pub(crate) fn corrected(
    original: Micros,
    sent: Micros,
    received: Micros,
    deadband_us: Micros,
) -> Micros {
    let skew = received.saturating_sub(sent);
    if skew.saturating_abs() < deadband_us { original } else { original.saturating_add(skew) }
}
