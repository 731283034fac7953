//! `POST /v2/models/{model}/infer`: tensors as JSON, or as bytes behind the JSON.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::HeaderMap;
use segue_api::inference::InferParameter;
use segue_api::inference::infer_parameter::ParameterChoice;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reply::{JSON_BYTES_HEADER, Reply};
use super::{proto_json, tensor_json};
use crate::from_proto::shown;
use crate::guard::Deadline;
use crate::inference_service::{
    Data, InferAnswer, InferRequest, Inference, InputTensor, OutputTensor, RequestedOutput,
};
use crate::{Reason, ServingError, Violation};

/// Larger bodies are read on the pool: JSON takes its time, and many times its own memory.
pub(super) const INLINE_BYTES: usize = 16 << 10;

type Parameters = BTreeMap<String, Value>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    id: String,
    #[serde(default)]
    parameters: Parameters,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    #[serde(default)]
    parameters: Parameters,
    data: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

/// A request, and whether each output goes out as bytes.
#[derive(Debug)]
struct Asked {
    request: InferRequest,
    binary_by_default: bool,
    /// By name, of outputs that say so themselves.
    binary: BTreeMap<String, bool>,
}

/// Where the header says that the JSON part of the body ends.
pub(super) fn json_bytes(headers: &HeaderMap) -> Result<Option<usize>, ServingError> {
    let Some(value) = headers.get(JSON_BYTES_HEADER) else { return Ok(None) };
    let bytes = value.to_str().ok().and_then(|text| text.parse().ok());
    bytes.map(Some).ok_or_else(|| {
        let description = "expected the number of bytes of the JSON part";
        ServingError::invalid(JSON_BYTES_HEADER, Reason::FieldInvalid, description)
    })
}

pub(super) async fn answer(
    inference: &Inference,
    model: String,
    version: String,
    body: Bytes,
    json_bytes: Option<usize>,
    deadline: Deadline,
) -> Result<Reply, ServingError> {
    let is_small = body.len() <= INLINE_BYTES;
    let read = move || read(model, version, &body, json_bytes);
    // Small bodies may still have many rows.
    let (asked, read) = if is_small { (Some(read()?), None) } else { (None, Some(read)) };
    let is_large = asked.as_ref().is_none_or(|asked| inference.is_large(&asked.request));
    let cap = asked.as_ref().and_then(|asked| asked.request.timeout());
    let this = inference.clone();
    let work = move || {
        let asked = match (asked, read) {
            (Some(asked), _) => asked,
            (None, Some(read)) => read()?,
            (None, None) => return Err(ServingError::Internal),
        };
        let Asked { request, binary_by_default, binary } = asked;
        let answer = this.infer(request, deadline)?;
        let is_binary = |name: &str| binary.get(name).copied().unwrap_or(binary_by_default);
        Ok(write(&answer, is_binary))
    };
    if is_large { inference.on_pool(deadline.capped(cap), work).await } else { work() }
}

fn read(
    model_name: String,
    model_version: String,
    body: &Bytes,
    json_bytes: Option<usize>,
) -> Result<Asked, ServingError> {
    let json_bytes = json_bytes.unwrap_or(body.len());
    if json_bytes > body.len() {
        let description = format!("{json_bytes} bytes, but the body has {}", body.len());
        return Err(ServingError::invalid(JSON_BYTES_HEADER, Reason::FieldInvalid, description));
    }
    let mut binary_part = body.slice(json_bytes..);
    let mut parsed: Body = proto_json::parse(&body[..json_bytes])?;
    let mut violations = Vec::new();
    let default = take_flag(&mut parsed.parameters, "binary_data_output", "", &mut violations);
    let mut inputs = Vec::with_capacity(parsed.inputs.len());
    for input in parsed.inputs {
        inputs.push(read_input(input, &mut binary_part, &mut violations));
    }
    if !binary_part.is_empty() {
        let description = format!("{} bytes are left after the last tensor", binary_part.len());
        let (field, reason) = ("body".to_owned(), Reason::TensorLength);
        violations.push(Violation { field, reason, description });
    }
    let mut binary = BTreeMap::new();
    let mut outputs = Vec::with_capacity(parsed.outputs.len());
    for mut output in parsed.outputs {
        let path = format!("outputs[{:?}].", shown(&output.name));
        let flag = take_flag(&mut output.parameters, "binary_data", &path, &mut violations);
        binary.extend(flag.map(|flag| (output.name.clone(), flag)));
        let parameters = parameters_of(output.parameters, &path, &mut violations);
        outputs.push(RequestedOutput { name: output.name, parameters });
    }
    let parameters = parameters_of(parsed.parameters, "", &mut violations);
    if !violations.is_empty() {
        return Err(ServingError::Invalid(violations));
    }
    let request =
        InferRequest { model_name, model_version, id: parsed.id, parameters, inputs, outputs };
    Ok(Asked { request, binary_by_default: default.unwrap_or(false), binary })
}

/// A tensor whose values are in `data`, or in the bytes behind the JSON.
fn read_input(
    mut input: Input,
    binary_part: &mut Bytes,
    violations: &mut Vec<Violation>,
) -> InputTensor {
    let path = format!("inputs[{:?}].", shown(&input.name));
    let mut bad = |field: &str, reason, description: String| {
        violations.push(Violation { field: format!("{path}{field}"), reason, description });
    };
    let size = input.parameters.remove("binary_data_size");
    let data = match (size.map(|size| size.as_u64()), input.data) {
        (None, Some(data)) => {
            Data::Read(tensor_json::read(data, &input.datatype, &format!("{path}data")))
        }
        (Some(Some(size)), None) => {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size > binary_part.len() {
                let left = binary_part.len();
                let description = format!("{size} bytes, but {left} are left behind the JSON");
                bad("parameters[\"binary_data_size\"]", Reason::TensorLength, description);
            }
            Data::Raw(binary_part.split_to(size.min(binary_part.len())))
        }
        (Some(None), _) => {
            let description = "expected a number of bytes".to_owned();
            bad("parameters[\"binary_data_size\"]", Reason::ParameterInvalid, description);
            Data::Raw(Bytes::new())
        }
        (Some(Some(_)), Some(_)) | (None, None) => {
            let description = "give either data or binary_data_size".to_owned();
            bad("data", Reason::TensorEncoding, description);
            Data::Raw(Bytes::new())
        }
    };
    let parameters = parameters_of(input.parameters, &path, violations);
    InputTensor { name: input.name, datatype: input.datatype, shape: input.shape, parameters, data }
}

fn take_flag(
    parameters: &mut Parameters,
    name: &str,
    path: &str,
    violations: &mut Vec<Violation>,
) -> Option<bool> {
    let value = parameters.remove(name)?;
    if value.as_bool().is_none() {
        let field = format!("{path}parameters[{name:?}]");
        let description = "expected true or false".to_owned();
        violations.push(Violation { field, reason: Reason::ParameterInvalid, description });
    }
    value.as_bool()
}

fn parameters_of(
    given: Parameters,
    path: &str,
    violations: &mut Vec<Violation>,
) -> BTreeMap<String, InferParameter> {
    let mut parameters = BTreeMap::new();
    for (name, value) in given {
        let choice = match value {
            Value::Bool(flag) => Some(ParameterChoice::BoolParam(flag)),
            Value::String(text) => Some(ParameterChoice::StringParam(text)),
            Value::Number(number) => number
                .as_i64()
                .map(ParameterChoice::Int64Param)
                .or_else(|| number.as_u64().map(ParameterChoice::Uint64Param))
                .or_else(|| number.as_f64().map(ParameterChoice::DoubleParam)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        if choice.is_none() {
            let field = format!("{path}parameters[{:?}]", shown(&name));
            let description = "expected a flag, a number or a string".to_owned();
            violations.push(Violation { field, reason: Reason::ParameterInvalid, description });
        }
        parameters.insert(name, InferParameter { parameter_choice: choice });
    }
    parameters
}

fn write(answer: &InferAnswer, is_binary: impl Fn(&str) -> bool) -> Reply {
    let mut tensors = Vec::new();
    let mut any_binary = false;
    let output = |output: &OutputTensor| {
        let mut written = json!({
            "name": output.name,
            "datatype": output.values.datatype().name(),
            "shape": output.shape,
        });
        if is_binary(output.name) {
            let raw = output.values.to_raw();
            written["parameters"] = json!({ "binary_data_size": raw.len() });
            tensors.extend(raw);
            any_binary = true;
        } else {
            written["data"] = tensor_json::write(&output.values);
        }
        written
    };
    let outputs: Vec<Value> = answer.outputs.iter().map(output).collect();
    let body = json!({
        "model_name": answer.model_name,
        "model_version": answer.model_version,
        "id": answer.id,
        "outputs": outputs,
    });
    let body = body.to_string().into_bytes();
    if any_binary { Reply::mixed(body, &tensors) } else { Reply::json(body) }
}
