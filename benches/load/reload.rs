//! Has a server load versions over and over, and watches its memory.

use std::time::Instant;

use anyhow::Context;
use segue_api::v1 as pb;
use segue_api::v1::model_registry_service_client::ModelRegistryServiceClient;
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::models::N_LARGE;

const MODEL: &str = "large";
/// Reloads between two looks at the memory.
const EVERY: u64 = 100;

/// Loads versions of `large` side by side, lets go of them, then moves one alias to and fro.
pub(crate) fn measure(target: String, pid: u32, times: u64) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut models = ModelRegistryServiceClient::connect(target).await?;
        let before = rss_mb(pid)?;
        for version in 2..=N_LARGE {
            point(&mut models, &format!("side{version}"), version).await?;
        }
        let n_models = N_LARGE - 1;
        let mb_per_model = (rss_mb(pid)? - before) / n_models as f64;
        for version in 2..=N_LARGE {
            let request = pb::DeleteModelAliasRequest {
                model: MODEL.to_owned(),
                alias: format!("side{version}"),
                ..pb::DeleteModelAliasRequest::default()
            };
            models.delete_model_alias(request).await?;
        }
        let mut series = vec![rss_mb(pid)?];
        let started = Instant::now();
        for time in 0..times {
            // The one that it leaves is freed: nothing else points at it.
            point(&mut models, "moving", 2 + time as i64 % 2).await?;
            if (time + 1) % EVERY == 0 {
                series.push(rss_mb(pid)?);
            }
        }
        let reload_ms = started.elapsed().as_secs_f64() * 1e3 / times as f64;
        Ok(json!({
            "mb_per_model": mb_per_model,
            "n_models": n_models,
            "times": times,
            "every": EVERY,
            "reload_ms": reload_ms,
            "rss_mb": series,
        }))
    })
}

async fn point(
    models: &mut ModelRegistryServiceClient<Channel>,
    alias: &str,
    version: i64,
) -> anyhow::Result<()> {
    let request = pb::SetModelAliasRequest {
        model: MODEL.to_owned(),
        alias: alias.to_owned(),
        version,
        actor: "segue-load".to_owned(),
        ..pb::SetModelAliasRequest::default()
    };
    models.set_model_alias(request).await?;
    Ok(())
}

/// Resident memory of a process, in MB.
fn rss_mb(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/statm");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let pages: f64 = text.split(' ').nth(1).context("statm has no second field")?.parse()?;
    Ok(pages * 4096.0 / 1e6)
}
