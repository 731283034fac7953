//! Whatever the bytes of a request with tensors, the server answers and lives.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: segue_fuzz::seeds::write("tensors"), |bytes: &[u8]| {
    segue_fuzz::send("/inference.GRPCInferenceService/ModelInfer", bytes);
});
