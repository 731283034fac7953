//! Tensors as they go out: raw to who sent raw, in lists to who sent lists.

use prost::bytes::Bytes;
use segue_api::inference as pb;

use super::DataType;

/// An output of an answer.
#[derive(Debug, PartialEq)]
pub(crate) struct OutputTensor {
    pub(crate) name: &'static str,
    pub(crate) shape: Vec<i64>,
    pub(crate) values: OutputValues,
}

/// The values of an output in row-major order.
#[derive(Debug, PartialEq)]
pub(crate) enum OutputValues {
    Fp64(Vec<f64>),
    Fp32(Vec<f32>),
    Bytes(Vec<String>),
}

impl OutputValues {
    /// Doubles, or the singles next to them.
    pub(super) fn numbers(values: Vec<f64>, is_single: bool) -> Self {
        if is_single {
            Self::Fp32(values.into_iter().map(|value| value as f32).collect())
        } else {
            Self::Fp64(values)
        }
    }

    pub(crate) fn datatype(&self) -> DataType {
        match self {
            Self::Fp64(_) => DataType::Fp64,
            Self::Fp32(_) => DataType::Fp32,
            Self::Bytes(_) => DataType::Bytes,
        }
    }

    /// Little-endian, without padding; texts each after their length in four bytes.
    pub(crate) fn to_raw(&self) -> Vec<u8> {
        match self {
            Self::Fp64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Fp32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Bytes(texts) => {
                let mut bytes = Vec::new();
                for text in texts {
                    // A segment's name is a line of a file, and no line has 4 GiB.
                    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                    bytes.extend_from_slice(&length.to_le_bytes());
                    bytes.extend_from_slice(text.as_bytes());
                }
                bytes
            }
        }
    }

    fn into_contents(self) -> pb::InferTensorContents {
        match self {
            Self::Fp64(fp64_contents) => {
                pb::InferTensorContents { fp64_contents, ..Default::default() }
            }
            Self::Fp32(fp32_contents) => {
                pb::InferTensorContents { fp32_contents, ..Default::default() }
            }
            Self::Bytes(texts) => pb::InferTensorContents {
                bytes_contents: texts.into_iter().map(Bytes::from).collect(),
                ..Default::default()
            },
        }
    }
}

impl OutputTensor {
    /// The tensor, and its bytes if they are not in it.
    pub(super) fn into_wire(
        self,
        is_raw: bool,
    ) -> (pb::model_infer_response::InferOutputTensor, Option<Bytes>) {
        let raw = is_raw.then(|| Bytes::from(self.values.to_raw()));
        let tensor = pb::model_infer_response::InferOutputTensor {
            name: self.name.to_owned(),
            datatype: self.values.datatype().name().to_owned(),
            shape: self.shape,
            contents: (!is_raw).then(|| self.values.into_contents()),
            ..Default::default()
        };
        (tensor, raw)
    }
}
