//! Shadows: versions that score copies of rows, seen by nobody but the statistics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message;
use segue_api::v1 as pb;
use segue_registry::Registry;

pub(crate) use super::compare::Input;
use super::compare::{Answered, Sample};
use super::evidence::{Evidence, EvidenceHandle};
use super::queue::{Dropped, Queue};
use super::split::{Share, Split};
use super::tally::{Outcome, Pair, Tallies};
use crate::ServeError;
use crate::from_proto::Reading;
use crate::live::{Selected, Selection, ServedVersion, Variant};
use crate::metrics::{Metrics, ReasonLabels, ShadowErrorLabels, VersionLabels};
use crate::scoring_service::now_us;

/// Bytes of rows that wait for shadows.
const MAX_BYTES: usize = 64 << 20;

/// Versions that score a share of the rows that the champion answers.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(super) shadows: Vec<Arc<ServedVersion>>,
    pub(super) share: Share,
    /// Rows without a key so far: each tosses a coin of its own.
    pub(super) n_keyless: AtomicU64,
}

impl Mirror {
    /// Whether the shadows get a row with this key.
    fn takes(&self, key: &str) -> bool {
        if !key.is_empty() {
            return self.share.holds(key);
        }
        let coin = mixed(self.n_keyless.fetch_add(1, Ordering::Relaxed));
        coin % 10_000 < u64::from(self.share.basis_points)
    }
}

/// SplitMix64: neighbouring numbers give unrelated ones.
fn mixed(n: u64) -> u64 {
    let mut x = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A mirror that wants a row, and what its champion said of it.
#[derive(Debug)]
pub(crate) struct Wanted {
    answered: Answered,
    split: Arc<Split>,
}

/// A sample, and the mirrors that it is for.
#[derive(Debug)]
struct Task {
    sample: Sample,
    wanted: Vec<Wanted>,
}

fn answering<'a>(selection: &'a Selection, prediction: &pb::Prediction) -> &'a Selected {
    &selection.versions()[prediction.served_by_index as usize]
}

/// Takes copies of answered rows, and knows what became of them.
#[derive(Debug)]
pub(crate) struct Shadows {
    queue: Queue<Task>,
    pub(crate) evidence: Arc<Evidence>,
    _keeper: EvidenceHandle,
    metrics: Arc<Metrics>,
}

impl Shadows {
    /// Starts the thread, and the one that keeps in the registry what this one counts. At most `max_rows`
    /// wait for it.
    pub(crate) fn start(
        max_rows: usize,
        registry: Registry,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, ServeError> {
        let tallies = Arc::new(Tallies::default());
        let (kept, counted, told) =
            (Arc::clone(&tallies), Arc::clone(metrics), Arc::clone(metrics));
        let work = move |task: Task| task.score(&kept, &counted);
        let panicked = move |panic: &str| {
            told.requests.panics.inc();
            tracing::error!(panic, "a shadow panicked");
        };
        let queue = Queue::start("segue-shadow", max_rows, MAX_BYTES, work, panicked)?;
        let evidence = Arc::new(Evidence::new(registry, tallies, now_us()));
        let keeper = Arc::clone(&evidence).start()?;
        Ok(Self { queue, evidence, _keeper: keeper, metrics: Arc::clone(metrics) })
    }

    /// The mirrors that want a row with this key: of the champions among those that answered it.
    /// `scored` still says by slot who did.
    pub(crate) fn wanted(selection: &Selection, scored: &pb::ScoredRow, key: &str) -> Vec<Wanted> {
        let wants = |(of, split): &(usize, &Arc<Split>)| {
            let is_champion = answering(selection, &scored.predictions[*of]).variant;
            is_champion == Variant::Champion
                && split.mirror.as_ref().is_some_and(|mirror| mirror.takes(key))
        };
        let wanted = |(of, split): (usize, &Arc<Split>)| {
            let prediction = &scored.predictions[of];
            let class_scores = prediction.class_scores.iter().map(|class| class.score).collect();
            let answered = Answered { of, segment: prediction.segment.clone(), class_scores };
            Wanted { answered, split: Arc::clone(split) }
        };
        selection.splits().filter(wants).map(wanted).collect()
    }

    /// Hands a row over. Never waits: what does not fit is counted and gone.
    pub(crate) fn offer(
        &self,
        selection: &Selection,
        scored: &pb::ScoredRow,
        wanted: Vec<Wanted>,
        reading: Reading,
        input: Input,
    ) {
        let n_bytes = match &input {
            Input::Row(row) => row.encoded_len(),
            Input::Values(values) => size_of_val(values.as_slice()),
        };
        let predictions = scored.predictions.iter();
        let sample = Sample {
            input,
            reading,
            versions: predictions.clone().map(|one| answering(selection, one).clone()).collect(),
            scores: predictions.map(|prediction| prediction.score).collect(),
        };
        if let Err(dropped) = self.queue.offer(Task { sample, wanted }, n_bytes) {
            let reason = match dropped {
                Dropped::Full => "queue_full",
                Dropped::Bytes => "too_many_bytes",
                Dropped::Ended => "ended",
            };
            self.metrics.traffic.shadow_dropped.get_or_create(&ReasonLabels { reason }).inc();
        }
    }
}

impl Task {
    fn score(&self, tallies: &Tallies, metrics: &Metrics) {
        for Wanted { answered, split } in &self.wanted {
            let shadows = split.mirror.iter().flat_map(|mirror| &mirror.shadows);
            for shadow in shadows {
                let compare = || self.sample.compare(answered, shadow);
                let outcome = crate::pool::catch(metrics, compare).unwrap_or(Outcome::Error);
                count(shadow, outcome, metrics);
                let champion = &self.sample.versions[answered.of].served;
                let pair = Pair {
                    model: champion.name.clone(),
                    champion: champion.version,
                    shadow: shadow.version,
                };
                tallies.add(pair, outcome, self.sample.reading.now_us);
            }
        }
    }
}

fn count(shadow: &ServedVersion, outcome: Outcome, metrics: &Metrics) {
    let (model, version) = (shadow.name.clone(), shadow.version);
    let metrics = &metrics.traffic;
    let failed = |model: String, reason| {
        let labels = ShadowErrorLabels { model, version, reason };
        metrics.shadow_errors.get_or_create(&labels).inc();
    };
    match outcome {
        Outcome::Unreadable => failed(model, "unreadable"),
        Outcome::Error => failed(model, "scoring"),
        Outcome::Compared(compared) => {
            let labels = VersionLabels { model, version };
            metrics.shadow_rows.get_or_create(&labels).inc();
            metrics.shadow_abs_diff.get_or_create(&labels).observe(compared.difference);
            if compared.is_flip {
                metrics.shadow_flips.get_or_create(&labels).inc();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_key_toss_coins() {
        let hits = |share: u64| (0..100_000).filter(|n| mixed(*n) % 10_000 < share).count();
        for (share, expected) in [(100, 1000.0), (1000, 10_000.0), (5000, 50_000.0)] {
            let found = hits(share) as f64;
            let deviation = (expected * (1.0 - expected / 100_000.0_f64)).sqrt();
            assert!((found - expected).abs() < 5.0 * deviation, "{share}: {found}");
        }
        assert_eq!((hits(0), hits(10_000)), (0, 100_000));
    }
}
