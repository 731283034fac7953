//! A server on a bad day: versions that swap under load, and ten times as many callers as it has room
//! for. What callers saw, as figures.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use prost::Message;
use segue_api::v1 as pb;
use segue_api::v1::model_registry_service_client::ModelRegistryServiceClient;
use segue_api::v1::scoring_service_client::ScoringServiceClient;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Channel;

const N_CALLERS: usize = 4;
/// Of each caller.
const CALLS_A_SECOND: u64 = 250;
/// Later than a timer of the runtime ever is in peace.
const TIMER_SLACK: Duration = Duration::from_millis(2);
/// Peace between two parts of the swaps.
const STEADY: Duration = Duration::from_secs(3);
/// Parts of the swaps. The neighbours of a shared machine come and go; each part has its own peace before it.
const PARTS: u64 = 5;
const STRAIN: Duration = Duration::from_secs(10);

/// Latencies of an open loop, from the moment when a call was due: in peace and while `times` promotions
/// and rollbacks of `model` go on, in turn.
pub(crate) fn swaps(target: String, body: &Path, model: &str, times: u64) -> anyhow::Result<Value> {
    let mut request: pb::ScoreRequest = read(body)?;
    request.models[0].model = model.to_owned();
    let first = go_first();
    runtime()?.block_on(async {
        let mut scores = Scores::new();
        let (mut steady, mut swapping) = (Calls::default(), Calls::default());
        for part in 0..PARTS {
            let callers = Callers::start(&target, &request).await?;
            tokio::time::sleep(STEADY).await;
            callers.stop(&mut steady, &mut scores).await?;
            let callers = Callers::start(&target, &request).await?;
            swap(&target, model, times * part / PARTS..times * (part + 1) / PARTS).await?;
            callers.stop(&mut swapping, &mut scores).await?;
        }
        let failed = steady.n_failed + swapping.n_failed;
        Ok(json!({
            "swaps": times,
            "callers_go_first": first,
            "failed": failed,
            "steady": quantiles(&mut steady.latencies),
            "swapping": quantiles(&mut swapping.latencies),
        }))
    })
}

/// The bits of the score that each version gave.
type Scores = BTreeMap<i64, u64>;

/// What callers saw.
#[derive(Default)]
struct Calls {
    latencies: Vec<Duration>,
    n_failed: u64,
}

/// Some that call at fixed times until they are stopped.
struct Callers {
    done: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<anyhow::Result<(Calls, Scores)>>>,
}

impl Callers {
    async fn start(target: &str, request: &pb::ScoreRequest) -> anyhow::Result<Self> {
        let done = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for _ in 0..N_CALLERS {
            let client = ScoringServiceClient::connect(target.to_owned()).await?;
            tasks.push(tokio::spawn(call(client, request.clone(), Arc::clone(&done))));
        }
        Ok(Self { done, tasks })
    }

    /// Adds what they saw to what others did.
    async fn stop(self, seen: &mut Calls, scores: &mut Scores) -> anyhow::Result<()> {
        self.done.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let (calls, given) = task.await??;
            seen.latencies.extend(calls.latencies);
            seen.n_failed += calls.n_failed;
            for (version, bits) in given {
                if *scores.entry(version).or_insert(bits) != bits {
                    bail!("version {version} gave two scores to one row");
                }
            }
        }
        Ok(())
    }
}

async fn call(
    mut client: ScoringServiceClient<Channel>,
    request: pb::ScoreRequest,
    done: Arc<AtomicBool>,
) -> anyhow::Result<(Calls, Scores)> {
    let mut due = tokio::time::interval(Duration::from_micros(1_000_000 / CALLS_A_SECOND));
    let (mut calls, mut scores) = (Calls::default(), Scores::new());
    while !done.load(Ordering::Relaxed) {
        let at = due.tick().await;
        // The timer wakes up to a millisecond late; who is later than that was kept waiting.
        let at = if at.elapsed() > TIMER_SLACK { at } else { tokio::time::Instant::now() };
        match client.score(request.clone()).await {
            Ok(answer) => {
                calls.latencies.push(at.elapsed());
                let answer = answer.into_inner();
                let version = answer.served_by.first().context("nobody answered")?.version;
                let row = answer.result.context("no row")?;
                let bits = row.predictions.first().context("no prediction")?.score.to_bits();
                if *scores.entry(version).or_insert(bits) != bits {
                    bail!("version {version} gave two scores to one row");
                }
            }
            Err(_) => calls.n_failed += 1,
        }
    }
    Ok((calls, scores))
}

async fn swap(target: &str, model: &str, times: Range<u64>) -> anyhow::Result<()> {
    let mut models = ModelRegistryServiceClient::connect(target.to_owned()).await?;
    for time in times {
        let model = model.to_owned();
        if time % 2 == 0 {
            let promotion = pb::PromoteModelVersionRequest {
                model,
                version: 2,
                override_gates: true,
                ..pb::PromoteModelVersionRequest::default()
            };
            models.promote_model_version(promotion).await?;
        } else {
            let back = pb::RollbackModelRequest { model, ..pb::RollbackModelRequest::default() };
            models.rollback_model(back).await?;
        }
    }
    Ok(())
}

/// Ten times as many callers as the server has room for, and promotions meanwhile.
pub(crate) fn overload(target: String, body: &Path, room: usize) -> anyhow::Result<Value> {
    let request: pb::ScoreBatchRequest = read(body)?;
    runtime()?.block_on(async {
        let done = Arc::new(AtomicBool::new(false));
        let mut callers = Vec::new();
        for _ in 0..10 * room {
            let client = ScoringServiceClient::connect(target.clone()).await?;
            let client = client.max_decoding_message_size(64 << 20);
            callers.push(tokio::spawn(press(client, request.clone(), Arc::clone(&done))));
        }
        let prober = {
            let (target, request, done) = (target.clone(), request.clone(), Arc::clone(&done));
            std::thread::spawn(move || probe(target, request, &done))
        };
        let mut models = ModelRegistryServiceClient::connect(target.clone()).await?;
        let (started, mut promotions) = (Instant::now(), Vec::new());
        while started.elapsed() < STRAIN {
            let promotion = pb::PromoteModelVersionRequest {
                model: "churn".to_owned(),
                version: 1 + i64::from(promotions.len() % 2 == 0),
                override_gates: true,
                ..pb::PromoteModelVersionRequest::default()
            };
            let asked = Instant::now();
            models.promote_model_version(promotion).await?;
            promotions.push(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if promotions.len() % 2 == 1 {
            // What is measured after this is the first version again.
            let back = pb::PromoteModelVersionRequest {
                model: "churn".to_owned(),
                version: 1,
                override_gates: true,
                ..pb::PromoteModelVersionRequest::default()
            };
            models.promote_model_version(back).await?;
        }
        done.store(true, Ordering::Relaxed);
        let (mut admitted, mut refused) = (Vec::new(), Vec::new());
        for caller in callers {
            let (more_admitted, more_refused) = caller.await??;
            admitted.extend(more_admitted);
            refused.extend(more_refused);
        }
        let probed = prober.join().map_err(|_| anyhow::anyhow!("the prober panicked"))??;
        Ok(json!({
            "room": room,
            "admitted": quantiles(&mut admitted),
            "refused": quantiles(&mut refused),
            "refused_one_row": probed,
            "promotions": quantiles(&mut promotions),
        }))
    })
}

/// How long a refusal takes for who has a thread of its own and one row to send, not the share of a
/// crowd of callers that write four hundred kilobytes each before they listen.
fn probe(
    target: String,
    mut request: pb::ScoreBatchRequest,
    done: &AtomicBool,
) -> anyhow::Result<Value> {
    request.rows.truncate(1);
    let first = go_first();
    runtime()?.block_on(async {
        let mut client = ScoringServiceClient::connect(target).await?;
        let mut due = tokio::time::interval(Duration::from_millis(5));
        let mut refused = Vec::new();
        while !done.load(Ordering::Relaxed) {
            due.tick().await;
            let asked = Instant::now();
            match client.score_batch(request.clone()).await {
                Ok(_) => {}
                Err(status) if status.code() == Code::ResourceExhausted => {
                    refused.push(asked.elapsed());
                }
                Err(status) => bail!("{status:?}"),
            }
        }
        let mut told = quantiles(&mut refused);
        told["goes_first"] = first.into();
        Ok(told)
    })
}

/// What a caller was told to wait, it waits.
async fn press(
    mut client: ScoringServiceClient<Channel>,
    request: pb::ScoreBatchRequest,
    done: Arc<AtomicBool>,
) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    let (mut admitted, mut refused) = (Vec::new(), Vec::new());
    while !done.load(Ordering::Relaxed) {
        let asked = Instant::now();
        match client.score_batch(request.clone()).await {
            Ok(_) => admitted.push(asked.elapsed()),
            Err(status) if status.code() == Code::ResourceExhausted => {
                refused.push(asked.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(status) => bail!("{status:?}"),
        }
    }
    Ok((admitted, refused))
}

/// Puts this thread before all others of the machine, where the system lets it: a caller on a machine of
/// its own does not wait for the server's processors before it sees its answer.
fn go_first() -> bool {
    let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let Some(id) = thread.file_name() else { return false };
    let chrt = std::process::Command::new("chrt").args(["--rr", "--pid", "1"]).arg(id).output();
    chrt.is_ok_and(|done| done.status.success())
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn read<T: Message + Default>(path: &Path) -> anyhow::Result<T> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(T::decode(bytes.get(5..).context("the file has no message")?)?)
}

/// How many there are, the middle one and the slowest hundredth.
fn quantiles(seen: &mut [Duration]) -> Value {
    json!({ "n": seen.len(), "p50_us": quantile(seen, 0.5), "p99_us": quantile(seen, 0.99) })
}

/// In microseconds.
fn quantile(seen: &mut [Duration], share: f64) -> u128 {
    seen.sort_unstable();
    let at = (seen.len().saturating_sub(1) as f64 * share).round() as usize;
    seen.get(at).map_or(0, Duration::as_micros)
}
