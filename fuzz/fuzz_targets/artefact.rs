//! Whatever the bytes of `model.bin`, reading ends in an error or in a model that scores.

#![no_main]

use libfuzzer_sys::fuzz_target;
use segue_model::{Model, Scratch};

fuzz_target!(init: segue_fuzz::seeds::write("artefact"), |bytes: &[u8]| {
    let Ok(model) = Model::decode(bytes) else { return };
    let row = vec![0.5; model.schema().len()];
    let mut scratch = Scratch::default();
    let _ = model.score(&row, &mut scratch).outputs.len();
    assert!(model.encode().len() <= bytes.len() * 4 + 4096, "a small file is a small model");
});
