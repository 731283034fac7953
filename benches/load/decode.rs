//! What reading a batch from its bytes costs, before anything is done with it.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use prost::Message;
use segue_api::v1 as pb;
use serde_json::{Value, json};

const N_TIMES: usize = 201;

/// The median of many readings of a file that [`bodies`](crate::bodies) wrote, in milliseconds.
pub(crate) fn measure(path: &Path) -> anyhow::Result<Value> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let message = bytes.get(5..).context("the file has no message")?;
    let mut took_ms = Vec::with_capacity(N_TIMES);
    for _ in 0..N_TIMES {
        let started = Instant::now();
        let request = pb::ScoreBatchRequest::decode(message)?;
        took_ms.push(started.elapsed().as_secs_f64() * 1e3);
        drop(request);
    }
    took_ms.sort_by(f64::total_cmp);
    Ok(json!({ "message_ms": took_ms[N_TIMES / 2] }))
}
