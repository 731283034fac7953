//! Requests that strangers bent: refused or answered, never a panic.

use proptest::prelude::*;
use prost::Message;
use serde_json::json;

use crate::harness::*;
use crate::tensors::*;

/// Bytes of a good request, some of them replaced, left out or doubled.
fn bend(good: &[u8], edits: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for (at, kind, byte) in edits {
        let at = at.index(bytes.len());
        match kind % 4 {
            0 => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            2 if bytes.len() > 1 => drop(bytes.remove(at)),
            _ => bytes.extend_from_within(at..(at + 8).min(good.len()).min(bytes.len()).max(at)),
        }
    }
    bytes
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"[]{},:\"0123456789.-eEnN".to_vec())];
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), byte), 1..6)
}

async fn has_no_panics(server: &TestServer) -> bool {
    server.get("/metrics").await.1.contains("segue_panics_total 0\n")
}

#[test]
fn bent_json_is_answered() {
    let (runtime, server) = started();
    let server = &server;
    proptest!(cases(192), |(edits in edits(), which in 0usize..3)| {
        let tensors = json!({
            "id": "r", "parameters": {"strict": true, "timeout": 9_000_000},
            "inputs": [
                {"name": "visits", "shape": [2, 1], "datatype": "INT32", "data": [[1], [3]]},
                {"name": "age", "shape": [2], "datatype": "FP64", "data": [40.0, null]},
                {"name": "plan", "shape": [2], "datatype": "BYTES", "data": ["pro", ""]},
            ],
            "outputs": [{"name": "output__0", "parameters": {"binary_data": true}}],
        });
        let score = json!({
            "models": [{"model": "churn", "version": "1"}],
            "row": {"named": {"values": {
                "age": {"number": 40}, "plan": {"category": "pro"}, "visits": {"integer": "1"},
            }}},
            "options": {"explain": true},
        });
        let binary = json!({"inputs": [
            {"name": "input__0", "shape": [1, 3], "datatype": "FP64",
             "parameters": {"binary_data_size": 24}},
        ]});
        let header = format!("Inference-Header-Content-Length: {}\r\n", binary.to_string().len());
        let (path, header, body) = match which {
            0 => ("/v2/models/churn/infer", "", tensors.to_string().into_bytes()),
            1 => ("/v1/score", "", score.to_string().into_bytes()),
            _ => {
                let cells = [40.0f64, 1.0, 3.0].map(f64::to_le_bytes).concat();
                let body = [binary.to_string().as_bytes(), &cells].concat();
                ("/v2/models/churn/infer", header.as_str(), body)
            }
        };
        let body = bend(&body, &edits);
        let code = runtime.block_on(server.http("POST", path, header, &body)).code;
        prop_assert!([200, 400, 404, 504].contains(&code), "{code}: {:?}", body.escape_ascii().to_string());
    });
}

#[test]
fn bent_messages_do_not_panic() {
    let (runtime, server) = started();
    let server = &server;
    proptest!(cases(192), |(edits in edits(), is_raw in any::<bool>())| {
        let tensors = good_tensors();
        let good = if is_raw { raw(&tensors) } else { typed(&tensors) };
        let good = asking_for(good, &["output__0", "segment", "treeshap_output"]).encode_to_vec();
        // Bytes that are no message are refused before they come to us.
        let Ok(bent) = segue_api::inference::ModelInferRequest::decode(&bend(&good, &edits)[..])
        else {
            return Ok(());
        };
        runtime.block_on(async {
            if let Err(status) = server.infer(bent).await {
                let code = status.code();
                assert!(!matches!(code, tonic::Code::Internal | tonic::Code::Unknown), "{status:?}");
            }
            assert!(has_no_panics(server).await);
        });
    });
}
