//! Which share of the traffic a key falls into.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use segue_registry::Traffic;
use sha2::{Digest, Sha256};

use super::shadow::Mirror;
use crate::live::ServedVersion;
use crate::metrics::{Metrics, ModelLabels};

/// Buckets of a split: its shares are in basis points.
const N_BUCKETS: u64 = 10_000;

/// What the hash is for. The number is raised if the formula ever changes, which moves users.
const CANARY_DOMAIN: &str = "segue/canary/1";

/// Another, so that the rows that shadows see are not the canary's.
const SHADOW_DOMAIN: &str = "segue/shadow/1";

/// The policy of a model as it is in effect: what could not be loaded has no share.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) canary: Option<Canary>,
    pub(crate) mirror: Option<Mirror>,
}

/// A version that gets a share of the traffic.
#[derive(Debug)]
pub(crate) struct Canary {
    pub(crate) served: Arc<ServedVersion>,
    pub(crate) share: Share,
    /// Rows without a key, which are nobody's share.
    pub(crate) keyless: Counter,
    /// Rows of its share that it could not read.
    pub(crate) fallbacks: Counter,
}

/// A share of the keys.
#[derive(Debug)]
pub(crate) struct Share {
    /// 0 to 10000.
    pub(crate) basis_points: u32,
    /// Has taken in everything but the key.
    hash: Sha256,
}

impl Split {
    /// What of the policy is in effect with the versions that could be loaded; `None` if nothing is.
    pub(crate) fn new(
        model: &str,
        traffic: &Traffic,
        canary: Option<Arc<ServedVersion>>,
        shadows: Vec<Arc<ServedVersion>>,
        metrics: &Metrics,
    ) -> Option<Self> {
        let (basis_points, salt) = (traffic.canary_basis_points, &traffic.salt);
        let of_model = ModelLabels { model: model.to_owned() };
        let canary = canary.filter(|_| basis_points > 0).map(|served| Canary {
            served,
            share: Share::new(CANARY_DOMAIN, model, salt, basis_points),
            keyless: metrics.traffic.canary_keyless.get_or_create_owned(&of_model),
            fallbacks: metrics.traffic.canary_fallbacks.get_or_create_owned(&of_model),
        });
        let mirrored = traffic.shadow_basis_points;
        let mirror = (mirrored > 0 && !shadows.is_empty()).then(|| Mirror {
            shadows,
            share: Share::new(SHADOW_DOMAIN, model, salt, mirrored),
            n_keyless: AtomicU64::new(0),
        });
        (canary.is_some() || mirror.is_some()).then_some(Self { canary, mirror })
    }
}

impl Share {
    fn new(domain: &str, model: &str, salt: &str, basis_points: u32) -> Self {
        let mut hash = Sha256::new();
        for part in [domain, model, salt] {
            hash.update(part);
            hash.update("\n");
        }
        Self { basis_points, hash }
    }

    /// Whether the key is among them; an empty one never is. A key of one share is a key of every
    /// larger one.
    pub(crate) fn holds(&self, key: &str) -> bool {
        !key.is_empty() && self.bucket(key) < u64::from(self.basis_points)
    }

    /// The first eight bytes of the hash, big-endian, modulo 10000.
    fn bucket(&self, key: &str) -> u64 {
        let hash: [u8; 32] = self.hash.clone().chain_update(key).finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = hash;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) % N_BUCKETS
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(model: &str, salt: &str, basis_points: u32) -> Share {
        Share::new(CANARY_DOMAIN, model, salt, basis_points)
    }

    /// From the formula of docs/traffic.md by another implementation of SHA-256. A change here moves
    /// users of every server that is upgraded.
    #[test]
    fn the_hash_is_the_same_for_ever() {
        for (model, salt, key, expected) in [
            ("churn", "", "ada", 6569),
            ("churn", "", "user-1", 101),
            ("churn", "", "user-2", 9685),
            ("churn", "", "user-42", 6213),
            ("churn", "", "Zoë", 3254),
            ("churn", "spring", "ada", 7022),
            ("visits", "spring", "ada", 4852),
        ] {
            assert_eq!(share(model, salt, 0).bucket(key), expected, "{model} {salt} {key}");
        }
    }

    /// 100,000 keys over 100 parts: chi-square has 99 degrees of freedom, of which 99.99 % stay below
    /// 161. Neighbouring keys, models and salts must not show.
    #[test]
    fn keys_spread_evenly() {
        for (model, salt) in [("churn", ""), ("churn", "a"), ("churn", "b"), ("visits", "")] {
            let share = share(model, salt, 0);
            let mut parts = [0_u32; 100];
            for user in 0..100_000 {
                parts[(share.bucket(&format!("user-{user}")) / 100) as usize] += 1;
            }
            let chi_square: f64 =
                parts.iter().map(|&found| (f64::from(found) - 1000.0).powi(2) / 1000.0).sum();
            assert!(chi_square < 161.0, "{model} {salt}: {chi_square}");
        }
    }

    /// Two experiments must not pick the same users: the buckets of one say nothing about the other's.
    #[test]
    fn salts_and_models_draw_independently() {
        let one = share("churn", "a", 1000);
        for other in [share("churn", "b", 1000), share("visits", "a", 1000)] {
            let both = |user: &u32| {
                let key = format!("user-{user}");
                one.holds(&key) && other.holds(&key)
            };
            let n_both = (0..100_000).filter(both).count();
            // 1 % of the keys; five standard deviations are 157.
            assert!((843..1157).contains(&n_both), "{n_both}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        /// Whoever is in at one share is in at every larger one, and a share that comes back brings
        /// the same users.
        #[test]
        fn a_ramp_moves_nobody_back(
            key in ".{1,40}",
            salt in ".{0,10}",
            ramp in proptest::collection::vec(0_u32..=10_000, 1..8),
        ) {
            let holds = |basis_points: u32| share("churn", &salt, basis_points).holds(&key);
            let at_first: Vec<bool> = ramp.iter().map(|share| holds(*share)).collect();
            let mut rising = ramp.clone();
            rising.sort_unstable();
            let rising: Vec<bool> = rising.into_iter().map(holds).collect();
            prop_assert!(rising.is_sorted(), "{ramp:?} {rising:?}");
            prop_assert!(holds(10_000) && !holds(0));
            let again: Vec<bool> = ramp.into_iter().map(holds).collect();
            prop_assert_eq!(again, at_first);
        }
    }
}
