//! Wall time, processor time and memory of a stretch of work, as Linux tells them.

use std::fs;
use std::time::Instant;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

/// Clock ticks of `/proc/self/stat` per second, the same on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// A running measurement.
pub(crate) struct Meter {
    start: Instant,
    user_s: f64,
    system_s: f64,
    before_mb: f64,
}

impl Meter {
    /// Forgets the highest memory so far and starts the clocks.
    pub(crate) fn start() -> anyhow::Result<Self> {
        fs::write("/proc/self/clear_refs", "5").context("cannot reset the peak memory")?;
        let before_mb = status_mb("VmRSS:")?;
        let (user_s, system_s) = processor_s()?;
        Ok(Self { start: Instant::now(), user_s, system_s, before_mb })
    }

    /// Seconds of wall, user and system time since the start, and MB (1e6 bytes) before and at the peak.
    pub(crate) fn stop(&self) -> anyhow::Result<Value> {
        let wall_s = self.start.elapsed().as_secs_f64();
        let (user_s, system_s) = processor_s()?;
        Ok(json!({
            "wall_s": wall_s,
            "user_s": user_s - self.user_s,
            "system_s": system_s - self.system_s,
            "before_mb": self.before_mb,
            "peak_mb": status_mb("VmHWM:")?,
        }))
    }
}

fn status_mb(field: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    let kib: f64 = kib.ok_or_else(|| anyhow!("/proc/self/status has no {field}"))?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

fn processor_s() -> anyhow::Result<(f64, f64)> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // the name of the program, in parentheses, may hold spaces; user time is the 12th field after it
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    let mut next = || ticks.next().ok_or_else(|| anyhow!("/proc/self/stat is too short"));
    Ok((next()?? / TICKS_PER_S, next()?? / TICKS_PER_S))
}
