//! Writes `data/sample`, the events packed: run it after a change of the simulation.
//!
//! `cargo run -p segue-simulator --example write_sample`

use std::fs::{self, File};
use std::io;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use segue_simulator::{SimulationParams, simulate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample");
    fs::create_dir_all(&folder)?;
    let events = File::create(folder.join("events.jsonl.gz"))?;
    // No time and no name in the header: equal events give equal files.
    let mut events = GzBuilder::new().mtime(0).write(events, Compression::best());
    let mut truth = io::BufWriter::new(File::create(folder.join("truth.csv"))?);
    let params = SimulationParams { n_users: 200, seed: 7, ..SimulationParams::default() };
    simulate(&params, &mut events, &mut truth, &|_| {})?;
    events.finish()?.sync_all()?;
    Ok(())
}
