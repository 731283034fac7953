//! Parameters out of range, and writers that fail.

use std::cell::RefCell;
use std::io::{self, Write};

use super::{run, small};
use crate::{Dirt, SimulationParams, SimulatorError, simulate};

#[test]
fn each_bad_parameter_is_named_with_its_range() {
    let good = SimulationParams::default();
    let cases = [
        (SimulationParams { n_users: 0, ..good.clone() }, "n_users must be between 1 and 10000000"),
        (SimulationParams { signup_days: 0, ..good.clone() }, "signup_days must be between 1"),
        (
            SimulationParams { snapshot_days: 91, ..good.clone() },
            "snapshot_days must be between 1 and 90",
        ),
        (
            SimulationParams { label_days: 0, ..good.clone() },
            "label_days must be between 1 and 365",
        ),
        (SimulationParams { start: 1_736_121_600_000_001, ..good.clone() }, "start must be whole"),
        (SimulationParams { start: i64::MAX, ..good.clone() }, "start must be whole milliseconds"),
        (SimulationParams { start: 0, ..good.clone() }, "within the years 1971 to 2200"),
    ];
    for (params, message) in cases {
        let error = params.check().expect_err("out of range").to_string();
        assert!(error.contains(message), "{error}");
    }
    for found in [-0.1, 1.1, f64::NAN] {
        let dirt = Dirt { bot_rate: found, ..Dirt::default() };
        let error = SimulationParams { dirt, ..good.clone() }.check().expect_err("not a share");
        assert!(error.to_string().contains("dirt.bot_rate"), "{error}");
    }
    assert!(good.check().is_ok());
}

#[test]
fn the_smallest_and_oddest_spans_work() {
    for (snapshot_days, label_days) in [(1, 1), (1, 365), (90, 1)] {
        let span = SimulationParams { signup_days: 1, snapshot_days, label_days, ..small(20) };
        assert_eq!(run(&span).summary.users, 20);
    }
    assert_eq!(run(&small(1)).truth.lines().count(), 2);
}

/// A writer with room for so many bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file() {
    let events = simulate(&small(50), &mut Full(100_000), &mut io::sink(), &|_| {});
    assert!(matches!(events, Err(SimulatorError::Write { stream: "events", .. })));
    let truth = simulate(&small(50), &mut io::sink(), &mut Full(1_000), &|_| {});
    assert!(matches!(truth, Err(SimulatorError::Write { stream: "truth", .. })));
}

#[test]
fn progress_rises_to_the_number_of_users() {
    let calls = RefCell::new(Vec::new());
    simulate(&small(600), &mut io::sink(), &mut io::sink(), &|done| calls.borrow_mut().push(done))
        .expect("parameters are right");
    assert_eq!(*calls.borrow(), [256, 512, 600]);
}

#[test]
fn parameters_round_trip_and_refuse_unknown_keys() {
    let text = serde_json::to_string(&small(3)).expect("plain fields");
    assert_eq!(serde_json::from_str::<SimulationParams>(&text).expect("the same"), small(3));
    assert!(serde_json::from_str::<SimulationParams>("{\"users\": 3}").is_err());
}
