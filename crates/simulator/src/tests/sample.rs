//! The sample in `data/` is what its README says: the output for 200 users and seed 7.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::{run, small};

#[test]
fn the_sample_is_what_its_command_writes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample");
    let packed = fs::File::open(folder.join("events.jsonl.gz")).expect("the sample's events");
    let mut events = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut events).expect("gzip");
    let truth = fs::read_to_string(folder.join("truth.csv")).expect("the sample's truth");
    let simulation = run(&small(200));
    assert!(simulation.events == events, "data/sample/events.jsonl.gz is out of date");
    assert!(simulation.truth == truth, "data/sample/truth.csv is out of date");
}
