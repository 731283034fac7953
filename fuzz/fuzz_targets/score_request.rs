//! Whatever the bytes of a request to score, the server answers and lives.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: segue_fuzz::seeds::write("score_request"), |bytes: &[u8]| {
    let Some((&which, message)) = bytes.split_first() else { return };
    let path = match which % 3 {
        0 => "/segue.v1.ScoringService/Score",
        1 => "/segue.v1.ScoringService/ScoreBatch",
        _ => "/segue.v1.ScoringService/GetModelSchema",
    };
    segue_fuzz::send(path, message);
});
