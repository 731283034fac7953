//! Tensors as clients of the Open Inference Protocol write them, and a model with several outputs.

use segue_api::inference as oip;
use segue_api::inference::infer_parameter::ParameterChoice;
use segue_api::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use segue_dataset::{Feature, Schema, TargetKind};
use segue_model::{
    Calibration, Child, Combine, Ensemble, Link, MissingRule, Model, ModelParts, Node, Split, Tree,
};
use std::sync::Arc;

/// A tensor in both of its forms.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    name: String,
    datatype: &'static str,
    shape: Vec<i64>,
    raw: Vec<u8>,
    contents: oip::InferTensorContents,
}

impl Tensor {
    pub(crate) fn fp64(name: &str, shape: &[i64], values: &[f64]) -> Self {
        let contents =
            oip::InferTensorContents { fp64_contents: values.to_vec(), ..Default::default() };
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(name, "FP64", shape, raw, contents)
    }

    pub(crate) fn fp32(name: &str, shape: &[i64], values: &[f32]) -> Self {
        let contents =
            oip::InferTensorContents { fp32_contents: values.to_vec(), ..Default::default() };
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(name, "FP32", shape, raw, contents)
    }

    pub(crate) fn bytes(name: &str, shape: &[i64], values: &[&str]) -> Self {
        let bytes_contents =
            values.iter().map(|text| prost::bytes::Bytes::copy_from_slice(text.as_bytes()));
        let contents = oip::InferTensorContents {
            bytes_contents: bytes_contents.collect(),
            ..Default::default()
        };
        let mut raw = Vec::new();
        for text in values {
            raw.extend((text.len() as u32).to_le_bytes());
            raw.extend(text.as_bytes());
        }
        Self::new(name, "BYTES", shape, raw, contents)
    }

    /// Whole numbers of any type that holds them.
    pub(crate) fn whole(name: &str, datatype: &'static str, shape: &[i64], values: &[i64]) -> Self {
        let mut contents = oip::InferTensorContents::default();
        let mut raw = Vec::new();
        for &value in values {
            let le = value.to_le_bytes();
            let width = match datatype {
                "BOOL" => {
                    contents.bool_contents.push(value == 1);
                    1
                }
                "INT8" | "INT16" | "INT32" => {
                    contents.int_contents.push(value as i32);
                    ["INT8", "INT16", "", "INT32"].iter().position(|one| *one == datatype).unwrap()
                        + 1
                }
                "UINT8" | "UINT16" | "UINT32" => {
                    contents.uint_contents.push(value as u32);
                    let widths = ["UINT8", "UINT16", "", "UINT32"];
                    widths.iter().position(|one| *one == datatype).unwrap() + 1
                }
                "INT64" => {
                    contents.int64_contents.push(value);
                    8
                }
                "UINT64" => {
                    contents.uint64_contents.push(value as u64);
                    8
                }
                _ => panic!("{datatype}"),
            };
            raw.extend(&le[..width]);
        }
        Self::new(name, datatype, shape, raw, contents)
    }

    fn new(
        name: &str,
        datatype: &'static str,
        shape: &[i64],
        raw: Vec<u8>,
        contents: oip::InferTensorContents,
    ) -> Self {
        Self { name: name.to_owned(), datatype, shape: shape.to_vec(), raw, contents }
    }
}

/// A request for `churn` with raw contents.
pub(crate) fn raw(tensors: &[Tensor]) -> oip::ModelInferRequest {
    let mut request = typed(tensors);
    request.inputs.iter_mut().for_each(|input| input.contents = None);
    request.raw_input_contents = tensors.iter().map(|tensor| tensor.raw.clone().into()).collect();
    request
}

/// The same request with typed contents.
pub(crate) fn typed(tensors: &[Tensor]) -> oip::ModelInferRequest {
    let input = |tensor: &Tensor| InferInputTensor {
        name: tensor.name.clone(),
        datatype: tensor.datatype.to_owned(),
        shape: tensor.shape.clone(),
        contents: Some(tensor.contents.clone()),
        ..Default::default()
    };
    oip::ModelInferRequest {
        model_name: "churn".to_owned(),
        inputs: tensors.iter().map(input).collect(),
        ..Default::default()
    }
}

pub(crate) fn asking_for(
    mut request: oip::ModelInferRequest,
    outputs: &[&str],
) -> oip::ModelInferRequest {
    let output = |name: &&str| InferRequestedOutputTensor {
        name: (*name).to_owned(),
        parameters: Default::default(),
    };
    request.outputs = outputs.iter().map(output).collect();
    request
}

pub(crate) fn with_parameter(
    mut request: oip::ModelInferRequest,
    name: &str,
    choice: ParameterChoice,
) -> oip::ModelInferRequest {
    let parameter = oip::InferParameter { parameter_choice: Some(choice) };
    request.parameters.insert(name.to_owned(), parameter);
    request
}

/// The one row of [`good_row`](crate::harness::good_row).
pub(crate) fn good_tensors() -> Vec<Tensor> {
    vec![
        Tensor::fp64("age", &[1], &[40.0]),
        Tensor::bytes("plan", &[1], &["pro"]),
        Tensor::fp64("visits", &[1], &[1.0]),
    ]
}

/// Doubles of an output in either form, by its place.
pub(crate) fn doubles(answer: &oip::ModelInferResponse, at: usize) -> Vec<f64> {
    assert_eq!(answer.outputs[at].datatype, "FP64");
    match (&answer.outputs[at].contents, answer.raw_output_contents.get(at)) {
        (Some(contents), None) => contents.fp64_contents.clone(),
        (None, Some(raw)) => {
            raw.as_chunks().0.iter().map(|value| f64::from_le_bytes(*value)).collect()
        }
        _ => panic!("one form: {answer:?}"),
    }
}

/// Singles of an output in either form, by its place.
pub(crate) fn singles(answer: &oip::ModelInferResponse, at: usize) -> Vec<f32> {
    assert_eq!(answer.outputs[at].datatype, "FP32");
    match (&answer.outputs[at].contents, answer.raw_output_contents.get(at)) {
        (Some(contents), None) => contents.fp32_contents.clone(),
        (None, Some(raw)) => {
            raw.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
        }
        _ => panic!("one form: {answer:?}"),
    }
}

/// Three classes over two numbers, one tree a class.
pub(crate) fn plan_model() -> Model {
    let tree = |feature, low: f64, high: f64| Tree {
        nodes: vec![Node {
            feature,
            split: Split::AtMost(2.0),
            missing: MissingRule::Left,
            left: Child::Leaf(0),
            right: Child::Leaf(1),
            gain: 1.0,
            cover: 10.0,
        }],
        leaf_values: vec![low, high],
        leaf_cover: vec![6.0, 4.0],
        leaf_width: 1,
    };
    let classes = ["free", "pro", "team"].map(str::to_owned).to_vec();
    Model::new(ModelParts {
        schema: Arc::new(
            Schema::new(vec![Feature::number("seats"), Feature::number("input")]).unwrap(),
        ),
        target: TargetKind::Multiclass { classes },
        task: "plan".to_owned(),
        ensemble: Ensemble {
            trees: vec![tree(0, 0.5, -0.25), tree(1, 0.125, 1.0), tree(0, -1.5, 0.75)],
            tree_output: vec![0, 1, 2],
            base: vec![0.1, -0.2, 0.3],
            combine: Combine::Sum,
            link: Link::Softmax,
        },
        calibration: Calibration::None,
        behaviours: Vec::new(),
        feature_set_hash: None,
    })
    .unwrap()
}
