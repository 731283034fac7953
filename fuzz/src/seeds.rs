//! Good inputs for the targets to begin with.

use std::fs;
use std::path::Path;

use prost::Message;
use segue_api::inference as oip;
use segue_api::inference::model_infer_request::InferInputTensor;
use segue_api::v1 as pb;
use segue_api::v1::{FeatureValue, feature_value::Kind};
use segue_model::exchange::{Format, export};

/// Writes inputs for `target` into the folder that the variable `FUZZ_SEEDS` names, if it is set.
pub fn write(target: &str) {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS") else { return };
    let folder = Path::new(&folder);
    fs::create_dir_all(folder).expect("a folder");
    for (which, seed) in of(target).into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{which}")), seed).expect("a file");
    }
}

fn of(target: &str) -> Vec<Vec<u8>> {
    let exported = |format| {
        export(&crate::model(), format, false).map(|exported| exported.bytes).into_iter().collect()
    };
    match target {
        "artefact" => vec![crate::model().encode()],
        "lightgbm" => exported(Format::LightGbm),
        "lightgbm_json" => vec![crate::foreign::LIGHTGBM_JSON.as_bytes().to_vec()],
        "xgboost_binary" => vec![crate::foreign::xgboost_binary()],
        "xgboost_json" => exported(Format::XgboostJson),
        "xgboost_ubjson" => exported(Format::XgboostUbjson),
        "onnx" => exported(Format::Onnx),
        "score_request" => {
            // The first byte picks the method.
            let single = |request: &pb::ScoreRequest| [&[0], &request.encode_to_vec()[..]].concat();
            let batch = |request| [&[1], &batch(request).encode_to_vec()[..]].concat();
            requests().into_iter().flat_map(|request| [single(&request), batch(request)]).collect()
        }
        "tensors" => tensors().iter().map(Message::encode_to_vec).collect(),
        "manifest" => {
            let folder = tempfile::tempdir().expect("a folder");
            crate::registry(folder.path().to_str().expect("UTF-8"));
            let file = |(which, key): (usize, &&str)| {
                let content = fs::read(folder.path().join(key)).ok()?;
                Some([&[which as u8], &content[..]].concat())
            };
            crate::KEYS.iter().enumerate().filter_map(file).collect()
        }
        other => panic!("no target {other:?}"),
    }
}

fn batch(request: pb::ScoreRequest) -> pb::ScoreBatchRequest {
    pb::ScoreBatchRequest {
        models: request.models,
        rows: vec![request.row.unwrap_or_default(); 3],
        options: request.options,
        allow_partial: true,
        request_id: request.request_id,
    }
}

/// By name, by position, by events.
fn requests() -> Vec<pb::ScoreRequest> {
    use pb::feature_row::Features;
    let schema = crate::model().schema().digest().to_string();
    let named = [
        ("visits".to_owned(), FeatureValue { kind: Some(Kind::Number(3.0)) }),
        ("plan".to_owned(), FeatureValue { kind: Some(Kind::Category("2".to_owned())) }),
    ];
    let event = pb::Event { name: "login".to_owned(), ..Default::default() };
    [
        Features::Named(named.into_iter().collect()),
        Features::Packed(pb::PackedFeatures { values: vec![3.0, 1.0], schema_digest: schema }),
        Features::Events(pb::EventHistory { events: vec![event; 2], ..Default::default() }),
    ]
    .into_iter()
    .map(|features| pb::ScoreRequest {
        models: vec![pb::ModelSelector { model: "churn".to_owned(), ..Default::default() }],
        row: Some(pb::FeatureRow {
            features: Some(features),
            subject_id: "u-1".to_owned(),
            ..Default::default()
        }),
        options: Some(pb::ScoreOptions { explain: true, ..Default::default() }),
        request_id: "r-1".to_owned(),
    })
    .collect()
}

/// A tensor a feature, typed and raw; all features in one.
fn tensors() -> Vec<oip::ModelInferRequest> {
    let tensor = |name: &str, datatype: &str, shape: &[i64]| InferInputTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
        ..Default::default()
    };
    let of = |inputs, raw_input_contents| oip::ModelInferRequest {
        model_name: "churn".to_owned(),
        inputs,
        raw_input_contents,
        ..Default::default()
    };
    let numbers =
        |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let mut typed = tensor("visits", "FP64", &[2]);
    typed.contents =
        Some(oip::InferTensorContents { fp64_contents: vec![1.0, 2.0], ..Default::default() });
    let mut texts = tensor("plan", "BYTES", &[2, 1]);
    let contents = vec![b"1".to_vec().into(), b"2".to_vec().into()];
    texts.contents =
        Some(oip::InferTensorContents { bytes_contents: contents, ..Default::default() });
    let by_name = vec![tensor("visits", "FP64", &[2]), tensor("plan", "BYTES", &[2])];
    let raw_texts = b"\x01\x00\x00\x001\x01\x00\x00\x002".to_vec();
    vec![
        of(vec![typed, texts], Vec::new()),
        of(by_name, vec![numbers(&[1.0, 2.0]).into(), raw_texts.into()]),
        of(vec![tensor("input__0", "FP64", &[2, 2])], vec![numbers(&[1.0, 0.0, 2.0, 1.0]).into()]),
    ]
}
