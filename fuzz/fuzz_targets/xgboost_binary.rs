//! Whatever the bytes, reading ends in a value or an error; what reads can be checked and scored.

#![no_main]

use libfuzzer_sys::fuzz_target;
use segue_model::Scratch;
use segue_model::exchange::{Format, import};

fuzz_target!(init: segue_fuzz::seeds::write("xgboost_binary"), |bytes: &[u8]| {
    let Ok(imported) = import(bytes, Some(Format::XgboostBinary)) else { return };
    let Ok(model) = imported.into_model("fuzzed") else { return };
    let row = vec![0.5; model.schema().len()];
    let mut scratch = Scratch::default();
    assert!(model.score(&row, &mut scratch).outputs.iter().all(|value| value.is_finite()));
});
