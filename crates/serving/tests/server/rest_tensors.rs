//! Tensors over plain HTTP: as JSON and as bytes behind it, and what describes them.

use serde_json::{Value, json};

use crate::harness::*;
use crate::rest::{bad_field, post, told};

fn infer_body() -> Value {
    json!({
        "id": "r-3",
        "inputs": [
            {"name": "visits", "shape": [2, 1], "datatype": "INT32", "data": [[1], [3]]},
            {"name": "age", "shape": [2], "datatype": "FP64", "data": [40.0, null]},
            {"name": "plan", "shape": [2], "datatype": "BYTES", "data": ["pro", ""]},
        ],
        "outputs": [{"name": "output__0"}, {"name": "segment"}],
    })
}

#[tokio::test]
async fn tensors_as_json_score_alike() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    let expected = [[40.0, 1.0, 1.0], [f64::NAN, f64::NAN, 3.0]].map(|row| offline(&model, &row));
    for path in [
        "/v2/models/churn/infer",
        "/v2/models/churn/versions/1/infer",
        "/v2/models/churn/versions/champion/infer",
    ] {
        let answer = post(&server, path, &infer_body()).await;
        let json = answer.json();
        assert_eq!(answer.code, 200, "{json}");
        assert_eq!((&json["model_name"], &json["model_version"]), (&json!("churn"), &json!("1")));
        assert_eq!(json["id"], "r-3");
        let output = &json["outputs"][0];
        assert_eq!((&output["name"], &output["datatype"]), (&json!("output__0"), &json!("FP64")));
        assert_eq!(output["shape"], json!([2]));
        let scores: Vec<f64> =
            output["data"].as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect();
        assert_eq!(scores, expected);
        assert_eq!(json["outputs"][1]["data"], json!(["", ""]));
    }
    // Many rows, and a body that is read on the pool.
    let rows: Vec<f64> = (0..900).map(|at| f64::from(at % 45) + 0.25).collect();
    let rows: Vec<f64> =
        rows.iter().enumerate().map(|(at, value)| if at % 3 == 1 { 1.0 } else { *value }).collect();
    let expected: Vec<f64> = rows.chunks(3).map(|row| offline(&model, row)).collect();
    let nested: Vec<&[f64]> = rows.chunks(3).collect();
    for data in [json!(rows), json!(nested)] {
        let body = json!({"inputs": [
            {"name": "input__0", "shape": [300, 3], "datatype": "FP64", "data": data},
        ]});
        let small = post(&server, "/v2/models/churn/infer", &body).await.json();
        let long = format!("{body}{}", " ".repeat(20_000));
        let large = server.http("POST", "/v2/models/churn/infer", "", long.as_bytes()).await.json();
        assert_eq!(small["outputs"], large["outputs"]);
        let scores = large["outputs"][0]["data"].as_array().unwrap().iter();
        assert_eq!(scores.map(|one| one.as_f64().unwrap()).collect::<Vec<_>>(), expected);
    }
}

/// 30.0000005 is above the split at 30 in double precision and on it in single precision.
#[tokio::test]
async fn single_precision_is_rounded_before_it_is_scored() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    for (datatype, age) in [("FP64", 30.000_000_5), ("FP32", 30.0)] {
        let body = json!({"inputs": [
            {"name": "input", "shape": [1, 3], "datatype": datatype, "data": [[30.0000005, 0, 3]]},
        ]});
        let json = post(&server, "/v2/models/churn/infer", &body).await.json();
        assert_eq!(json["outputs"][0]["datatype"], datatype);
        let expected = offline(&model, &[age, 0.0, 3.0]);
        let expected = if datatype == "FP32" { f64::from(expected as f32) } else { expected };
        assert_eq!(json["outputs"][0]["data"], json!([expected]));
    }
}

#[tokio::test]
async fn tensors_as_bytes_behind_the_json_score_alike() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    let expected = [[40.0, 1.0, 1.0], [25.0, 0.0, 3.0]].map(|row| offline(&model, &row));
    let ages: Vec<u8> = [40f32, 25.0].iter().flat_map(|age| age.to_le_bytes()).collect();
    let plans = b"\x03\0\0\0pro\x04\0\0\0free";
    let json = json!({
        "inputs": [
            {"name": "age", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
            {"name": "visits", "shape": [2], "datatype": "UINT8", "data": [1, 3]},
            {"name": "plan", "shape": [2, 1], "datatype": "BYTES",
             "parameters": {"binary_data_size": 15}},
        ],
        "outputs": [
            {"name": "segment", "parameters": {"binary_data": true}},
            {"name": "output__0", "parameters": {"binary_data": false}},
            {"name": "treeshap_output"},
        ],
        "parameters": {"binary_data_output": true, "timeout": 60_000_000},
    });
    let json = json.to_string();
    let body = [json.as_bytes(), &ages, &plans[..]].concat();
    let header = format!("Inference-Header-Content-Length: {}\r\n", json.len());
    let answer = server.http("POST", "/v2/models/churn/infer", &header, &body).await;
    let end: usize = answer.header("inference-header-content-length").unwrap().parse().unwrap();
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let json: Value = serde_json::from_slice(&answer.body[..end]).unwrap();
    let scores = json["outputs"][1]["data"].as_array().unwrap().iter();
    assert_eq!(scores.map(|one| one.as_f64().unwrap()).collect::<Vec<_>>(), expected);
    let sizes = json["outputs"].as_array().unwrap().iter();
    let sizes = sizes.map(|output| output["parameters"]["binary_data_size"].as_u64());
    assert_eq!(sizes.collect::<Vec<_>>(), [Some(8), None, Some(64)]);
    let (segments, shap) = answer.body[end..].split_at(8);
    assert_eq!(segments, [0; 8]);
    let bias = f64::from_le_bytes(shap[24..32].try_into().unwrap());
    assert_eq!(bias, model.explain(&[40.0, 1.0, 1.0]).bias()[0]);
}

#[tokio::test]
async fn bad_tensors_are_refused_with_their_fields() {
    let server = TestServer::start().await;
    let path = "/v2/models/churn/infer";
    let changed = |at: usize, field: &str, value: Value| {
        let mut body = infer_body();
        body["inputs"][at][field] = value;
        body
    };
    let size = |size: Value| {
        let mut body = changed(1, "parameters", json!({"binary_data_size": size}));
        body["inputs"][1].as_object_mut().unwrap().remove("data");
        body
    };
    let mut flag = infer_body();
    flag["parameters"] = json!({"binary_data_output": 1});
    let mut nested = infer_body();
    nested["parameters"] = json!({"strict": [true]});
    let mut reserved = infer_body();
    reserved["parameters"] = json!({"sequence_id": 7});
    let mut output = infer_body();
    output["outputs"][0]["parameters"] = json!({"binary_data": "yes"});
    for (body, field, reason) in [
        (changed(1, "data", json!([1.0, "old"])), "inputs[\"age\"].data", "TENSOR_ENCODING"),
        (changed(1, "data", json!([1.0, true])), "inputs[\"age\"].data", "TENSOR_ENCODING"),
        (changed(1, "data", json!(1.0)), "inputs[\"age\"].data", "TENSOR_ENCODING"),
        (changed(1, "data", json!([1.0])), "inputs[\"age\"]", "TENSOR_LENGTH"),
        (changed(1, "data", Value::Null), "inputs[\"age\"].data", "TENSOR_ENCODING"),
        (changed(0, "data", json!([1.5, 1])), "inputs[\"visits\"].data", "TENSOR_ENCODING"),
        (changed(0, "data", json!([1u64 << 31, 1])), "inputs[\"visits\"].data", "TENSOR_ENCODING"),
        (changed(2, "data", json!(["pro", null])), "inputs[\"plan\"].data", "TENSOR_ENCODING"),
        (changed(1, "datatype", json!("FP16")), "inputs[\"age\"].datatype", "TENSOR_DATATYPE"),
        (changed(1, "shape", json!([3])), "inputs[\"age\"].shape", "TENSOR_SHAPE"),
        (changed(1, "name", json!("old")), "inputs[\"old\"]", "TENSOR_UNKNOWN"),
        (size(json!(16)), "inputs[\"age\"].parameters[\"binary_data_size\"]", "TENSOR_LENGTH"),
        (size(json!("x")), "inputs[\"age\"].parameters[\"binary_data_size\"]", "PARAMETER_INVALID"),
        (
            changed(1, "parameters", json!({"binary_data_size": 0})),
            "inputs[\"age\"].data",
            "TENSOR_ENCODING",
        ),
        (flag, "parameters[\"binary_data_output\"]", "PARAMETER_INVALID"),
        (nested, "parameters[\"strict\"]", "PARAMETER_INVALID"),
        (reserved, "parameters[\"sequence_id\"]", "PARAMETER_INVALID"),
        (output, "outputs[\"output__0\"].parameters[\"binary_data\"]", "PARAMETER_INVALID"),
    ] {
        let answer = post(&server, path, &body).await;
        let (code, _, first, fields) = told(&answer);
        assert_eq!((code, first.as_str()), (400, reason), "{body}");
        assert_eq!(fields[0], (field.to_owned(), reason.to_owned()), "{body}");
        // Where clients of the protocol look.
        assert_eq!(answer.json()["error"], answer.json()["message"]);
    }
    for text in ["", "{}", "{\"inputs\": [], \"input\": []}", "{\"inputs\": [{}]}"] {
        let answer = server.http("POST", path, "", text.as_bytes()).await;
        assert_eq!(told(&answer), bad_field("body", "JSON_INVALID"), "{text}");
    }
    let body = infer_body().to_string();
    let header = |value: &str| format!("Inference-Header-Content-Length: {value}\r\n");
    for value in ["x", "-1", "99999"] {
        let answer = server.http("POST", path, &header(value), body.as_bytes()).await;
        let expected = bad_field("inference-header-content-length", "FIELD_INVALID");
        assert_eq!(told(&answer), expected);
    }
    let left = header(&body.len().to_string());
    let answer = server.http("POST", path, &left, format!("{body}1234").as_bytes()).await;
    assert_eq!(told(&answer), bad_field("body", "TENSOR_LENGTH"));
    let answer = post(&server, "/v2/models/Churn/versions/0/infer", &infer_body()).await;
    assert_eq!(told(&answer).3.len(), 2);
    for path in ["/v2/models/%ff/infer", "/v2/models/churn/versions/%c3%28/infer"] {
        let answer = post(&server, path, &infer_body()).await;
        assert_eq!(told(&answer), bad_field("model_name", "MODEL_NAME_INVALID"));
    }
    let mut late = infer_body();
    late["parameters"] = json!({"timeout": 1});
    late["inputs"] = json!([{"name": "input__0", "shape": [300, 3], "datatype": "FP32",
                             "data": vec![1.0; 900]}]);
    let answer = post(&server, path, &late).await;
    assert_eq!(told(&answer), (504, 4, "DEADLINE_EXCEEDED".to_owned(), vec![]));
}

#[tokio::test]
async fn readiness_and_metadata_are_told() {
    let server = TestServer::start().await;
    for (path, code) in [
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
        ("/v2/models/churn/ready", 200),
        ("/v2/models/churn/versions/1/ready", 200),
        ("/v2/models/churn/versions/2/ready", 503),
        ("/v2/models/tenure/ready", 503),
    ] {
        assert_eq!(server.http("GET", path, "", b"").await.code, code, "{path}");
    }
    let get = async |path: &str| server.http("GET", path, "", b"").await.json();
    assert_eq!(get("/v2").await["name"], "segue");
    let metadata = get("/v2/models/churn").await;
    assert_eq!(
        metadata["inputs"][1],
        json!({"name": "plan", "datatype": "BYTES", "shape": [-1, 1]})
    );
    assert_eq!(metadata["versions"], json!(["1"]));
    assert_eq!(get("/v2/models/churn/versions/1").await, metadata);
    assert_eq!(get("/v2/models/churn/config").await["max_batch_size"], 10_000);
    post(&server, "/v2/models/churn/infer", &infer_body()).await;
    let stats = get("/v2/models/churn/stats").await;
    assert_eq!(stats["model_stats"][0]["inference_count"], 2);
    let index = server.http("POST", "/v2/repository/index", "", b"").await.json();
    let states = index.as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap());
    assert_eq!(states.collect::<Vec<_>>(), ["READY", "UNAVAILABLE", "READY"]);
    let ready = post(&server, "/v2/repository/index", &json!({"ready": true})).await.json();
    assert_eq!(ready.as_array().unwrap().len(), 2);
    let answer = server.http("GET", "/v2/models/tenure", "", b"").await;
    assert_eq!(told(&answer), (404, 5, "MODEL_NOT_FOUND".to_owned(), vec![]));
}
