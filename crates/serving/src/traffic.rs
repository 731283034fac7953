//! Traffic: who is answered by the canary.
//!
//! A split is a pure function of policy, model and key, so that every replica, every restart and every
//! release sends a user to the same version. `docs/traffic.md` states it for others to repeat.

mod split;

pub(crate) use self::split::{Canary, Split};
