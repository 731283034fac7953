//! Traffic: who is answered by the canary, and what shadows would have answered.
//!
//! A split is a pure function of policy, model and key, so that every replica, every restart and every
//! release sends a user to the same version. `docs/traffic.md` states it for others to repeat. Shadows
//! score copies of rows on a thread of their own, after the answer and whatever becomes of them. The
//! guard, if it is on, ends what breaches its bounds.

mod behaviour;
mod compare;
mod evidence;
mod guard;
mod judge;
mod queue;
mod shadow;
mod split;
mod tally;

pub(crate) use self::behaviour::Behaviour;
pub(crate) use self::guard::TrafficGuard;
pub(crate) use self::shadow::{Input, Shadows};
pub(crate) use self::split::{Canary, Split};
