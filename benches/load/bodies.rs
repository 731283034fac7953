//! Requests as they go over the wire: a flag byte, four bytes of length, the message.

use std::fs;
use std::path::Path;

use prost::Message;
use prost::bytes::Bytes;
use segue_api::inference as oip;
use segue_api::v1 as pb;
use segue_dataset::Schema;
use serde_json::{Value, json};

use crate::echo::Payload;
use crate::models::Prepared;

/// One row by name and by position, a batch of all rows by position, each beside an echo's message of
/// the same size; the row as JSON, and the rows as a table for clients in other languages.
pub(crate) fn write(folder: &Path, prepared: &Prepared) -> anyhow::Result<()> {
    let Prepared { schema, rows } = prepared;
    let models = vec![pb::ModelSelector { model: "churn".to_owned(), choice: None }];
    let first = &rows[0];
    let one = |row| pb::ScoreRequest {
        models: models.clone(),
        row: Some(row),
        request_id: "5b2c9b0e".to_owned(),
        ..pb::ScoreRequest::default()
    };
    let batch = |rows| pb::ScoreBatchRequest {
        models: models.clone(),
        rows,
        ..pb::ScoreBatchRequest::default()
    };
    let every = |row: fn(&Schema, &[f64]) -> pb::FeatureRow| {
        rows.iter().map(|values| row(schema, values)).collect::<Vec<_>>()
    };
    write_one(folder, "score-named", &one(named(schema, first)))?;
    write_one(folder, "score-packed", &one(packed(schema, first)))?;
    write_one(folder, "batch-packed", &batch(every(packed)))?;
    write_one(folder, "batch-named", &batch(every(named)))?;
    fs::write(folder.join("infer.bin"), framed(&infer(first).encode_to_vec())?)?;
    let row = json!({ "features": json_row(schema, first) });
    fs::write(folder.join("row.json"), serde_json::to_vec(&row)?)?;
    let table: Vec<Vec<Option<f64>>> = rows
        .iter()
        .map(|row| row.iter().map(|&value| (!value.is_nan()).then_some(value)).collect())
        .collect();
    fs::write(folder.join("rows.json"), serde_json::to_vec(&table)?)?;
    Ok(())
}

fn write_one(folder: &Path, name: &str, request: &impl Message) -> anyhow::Result<()> {
    let message = request.encode_to_vec();
    let overhead = 1 + prost::length_delimiter_len(message.len());
    let echo = Payload { body: Bytes::from(vec![7_u8; message.len() - overhead]) };
    fs::write(folder.join(format!("{name}.bin")), framed(&message)?)?;
    fs::write(folder.join(format!("{name}.echo.bin")), framed(&echo.encode_to_vec())?)?;
    Ok(())
}

fn framed(message: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len())?.to_be_bytes());
    framed.extend(message);
    Ok(framed)
}

fn packed(schema: &Schema, row: &[f64]) -> pb::FeatureRow {
    let schema_digest = schema.digest().to_string();
    let packed = pb::PackedFeatures { values: row.to_vec(), schema_digest };
    let features = Some(pb::feature_row::Features::Packed(packed));
    pb::FeatureRow { features, subject_id: "user-4711".to_owned(), ..Default::default() }
}

fn named(schema: &Schema, row: &[f64]) -> pb::FeatureRow {
    use pb::feature_value::Kind;
    let value = |(feature, &value): (&segue_dataset::Feature, &f64)| {
        let kind = match feature.vocabulary() {
            _ if value.is_nan() => Kind::Missing(pb::Missing {}),
            Some(words) => Kind::Category(words[value as usize].clone()),
            None => Kind::Number(value),
        };
        (feature.name.clone(), pb::FeatureValue { kind: Some(kind) })
    };
    let values = schema.features().iter().zip(row).map(value).collect();
    let features = Some(pb::feature_row::Features::Named(values));
    pb::FeatureRow { features, subject_id: "user-4711".to_owned(), ..Default::default() }
}

/// The row as any server of the Open Inference Protocol reads it.
fn infer(row: &[f64]) -> oip::ModelInferRequest {
    let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
    oip::ModelInferRequest {
        model_name: "churn".to_owned(),
        inputs: vec![oip::model_infer_request::InferInputTensor {
            name: "input".to_owned(),
            datatype: "FP64".to_owned(),
            shape: vec![1, row.len() as i64],
            ..Default::default()
        }],
        raw_input_contents: vec![bytes.into()],
        ..Default::default()
    }
}

fn json_row(schema: &Schema, row: &[f64]) -> Value {
    let value = |(feature, &value): (&segue_dataset::Feature, &f64)| {
        let json = match feature.vocabulary() {
            _ if value.is_nan() => Value::Null,
            Some(words) => json!(words[value as usize]),
            None => json!(value),
        };
        (feature.name.clone(), json)
    };
    Value::Object(schema.features().iter().zip(row).map(value).collect())
}
