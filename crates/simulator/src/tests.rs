//! Tests of whole simulations, read back as a stranger would read them.

mod dirt;
mod log;
mod parameters;
mod sample;
mod truth;

use crate::{SimulationParams, SimulationSummary, simulate};

/// A simulation in memory.
struct Simulation {
    events: String,
    truth: String,
    summary: SimulationSummary,
}

fn run(params: &SimulationParams) -> Simulation {
    let (mut events, mut truth) = (Vec::new(), Vec::new());
    let summary = simulate(params, &mut events, &mut truth, &|_| {}).expect("parameters are right");
    Simulation {
        events: String::from_utf8(events).expect("lines are text"),
        truth: String::from_utf8(truth).expect("rows are text"),
        summary,
    }
}

/// The defaults with fewer users.
fn small(n_users: u64) -> SimulationParams {
    SimulationParams { n_users, ..SimulationParams::default() }
}
