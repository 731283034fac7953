//! Tensors as they come: a data type, a shape, and values in one of three forms.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use prost::bytes::{Buf, Bytes};
use segue_api::inference as pb;

use crate::{Reason, Violation};

/// Element types that a feature can have on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataType {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp32,
    Fp64,
    Bytes,
}

impl DataType {
    const ALL: [(Self, &'static str); 12] = [
        (Self::Bool, "BOOL"),
        (Self::Uint8, "UINT8"),
        (Self::Uint16, "UINT16"),
        (Self::Uint32, "UINT32"),
        (Self::Uint64, "UINT64"),
        (Self::Int8, "INT8"),
        (Self::Int16, "INT16"),
        (Self::Int32, "INT32"),
        (Self::Int64, "INT64"),
        (Self::Fp32, "FP32"),
        (Self::Fp64, "FP64"),
        (Self::Bytes, "BYTES"),
    ];

    /// `None` for a type that is not one of the protocol, or a half-precision one.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(datatype, _)| *datatype)
    }

    /// As the protocol writes it.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(one, _)| *one == self).map_or("", |(_, name)| name)
    }
}

/// An input of a request.
#[derive(Debug)]
pub(crate) struct InputTensor {
    pub(crate) name: String,
    pub(crate) datatype: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) parameters: BTreeMap<String, pb::InferParameter>,
    pub(crate) data: Data,
}

/// The values of a tensor as they came.
#[derive(Debug)]
pub(crate) enum Data {
    /// Little-endian, row-major.
    Raw(Bytes),
    /// In the list of the data type.
    Typed(pb::InferTensorContents),
    /// Read already, or what was wrong with them.
    Read(Result<Values, Violation>),
}

/// The values of a tensor in row-major order.
#[derive(Debug, PartialEq)]
pub(crate) enum Values {
    /// Of any numeric type. 64-bit integers beyond 2^53 are rounded, as they are in named features.
    Numbers(Vec<f64>),
    /// Of BYTES.
    Texts(Vec<Bytes>),
}

impl Values {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts(texts) => texts.len(),
        }
    }
}

/// Reads exactly `n_elements` values; `field` is the tensor's path in the request.
pub(super) fn read(
    data: Data,
    datatype: DataType,
    n_elements: usize,
    field: &str,
) -> Result<Values, Violation> {
    let bad =
        |reason, description: String| Violation { field: field.to_owned(), reason, description };
    let values = match data {
        Data::Raw(bytes) => raw(bytes, datatype, n_elements)
            .map_err(|(reason, description)| bad(reason, description))?,
        Data::Typed(contents) => typed(contents, datatype)
            .map_err(|description| bad(Reason::TensorEncoding, description))?,
        Data::Read(values) => values?,
    };
    if values.len() == n_elements {
        return Ok(values);
    }
    let description =
        format!("the shape has {n_elements} elements, but {} values were sent", values.len());
    Err(bad(Reason::TensorLength, description))
}

fn raw(bytes: Bytes, datatype: DataType, n_elements: usize) -> Result<Values, (Reason, String)> {
    /// Elements of a fixed width, checked against the shape before anything is allocated.
    fn fixed<const WIDTH: usize>(
        bytes: &[u8],
        n_elements: usize,
        value: impl Fn([u8; WIDTH]) -> f64,
    ) -> Result<Values, (Reason, String)> {
        let (elements, rest) = bytes.as_chunks::<WIDTH>();
        if elements.len() != n_elements || !rest.is_empty() {
            let description = format!(
                "the shape has {n_elements} elements of {WIDTH} bytes, but {} bytes were sent",
                bytes.len()
            );
            return Err((Reason::TensorLength, description));
        }
        Ok(Values::Numbers(elements.iter().map(|element| value(*element)).collect()))
    }
    match datatype {
        DataType::Bool => {
            if let Some(at) = bytes.iter().position(|byte| *byte > 1) {
                let description = format!("element {at} of a BOOL is {}, not 0 or 1", bytes[at]);
                return Err((Reason::TensorEncoding, description));
            }
            fixed(&bytes, n_elements, |[byte]| f64::from(byte))
        }
        DataType::Uint8 => fixed(&bytes, n_elements, |[byte]| f64::from(byte)),
        DataType::Uint16 => fixed(&bytes, n_elements, |le| f64::from(u16::from_le_bytes(le))),
        DataType::Uint32 => fixed(&bytes, n_elements, |le| f64::from(u32::from_le_bytes(le))),
        DataType::Uint64 => fixed(&bytes, n_elements, |le| u64::from_le_bytes(le) as f64),
        DataType::Int8 => fixed(&bytes, n_elements, |le| f64::from(i8::from_le_bytes(le))),
        DataType::Int16 => fixed(&bytes, n_elements, |le| f64::from(i16::from_le_bytes(le))),
        DataType::Int32 => fixed(&bytes, n_elements, |le| f64::from(i32::from_le_bytes(le))),
        DataType::Int64 => fixed(&bytes, n_elements, |le| i64::from_le_bytes(le) as f64),
        DataType::Fp32 => fixed(&bytes, n_elements, |le| f64::from(f32::from_le_bytes(le))),
        DataType::Fp64 => fixed(&bytes, n_elements, f64::from_le_bytes),
        DataType::Bytes => {
            texts(bytes, n_elements).map_err(|description| (Reason::TensorLength, description))
        }
    }
}

/// Elements that each say their own length in four bytes.
fn texts(mut bytes: Bytes, n_elements: usize) -> Result<Values, String> {
    let mut texts = Vec::new();
    for element in 0..n_elements {
        let length = bytes.try_get_u32_le().map_err(|_| {
            format!(
                "the shape has {n_elements} elements, but the bytes end before element {element}"
            )
        })?;
        let length = length as usize;
        if length > bytes.len() {
            return Err(format!(
                "element {element} says that it has {length} bytes, but {} are left",
                bytes.len()
            ));
        }
        texts.push(bytes.split_to(length));
    }
    if bytes.is_empty() {
        return Ok(Values::Texts(texts));
    }
    Err(format!("{} bytes are left after the last of {n_elements} elements", bytes.len()))
}

fn typed(contents: pb::InferTensorContents, datatype: DataType) -> Result<Values, String> {
    let pb::InferTensorContents {
        bool_contents,
        int_contents,
        int64_contents,
        uint_contents,
        uint64_contents,
        fp32_contents,
        fp64_contents,
        bytes_contents,
    } = contents;
    let lists = [
        ("bool_contents", bool_contents.len()),
        ("int_contents", int_contents.len()),
        ("int64_contents", int64_contents.len()),
        ("uint_contents", uint_contents.len()),
        ("uint64_contents", uint64_contents.len()),
        ("fp32_contents", fp32_contents.len()),
        ("fp64_contents", fp64_contents.len()),
        ("bytes_contents", bytes_contents.len()),
    ];
    let (list, values) = match datatype {
        DataType::Bool => {
            ("bool_contents", numbers(bool_contents, |flag| f64::from(u8::from(flag))))
        }
        DataType::Int8 => ("int_contents", in_range::<i8, _>(int_contents, datatype)?),
        DataType::Int16 => ("int_contents", in_range::<i16, _>(int_contents, datatype)?),
        DataType::Int32 => ("int_contents", numbers(int_contents, f64::from)),
        DataType::Int64 => ("int64_contents", numbers(int64_contents, |value| value as f64)),
        DataType::Uint8 => ("uint_contents", in_range::<u8, _>(uint_contents, datatype)?),
        DataType::Uint16 => ("uint_contents", in_range::<u16, _>(uint_contents, datatype)?),
        DataType::Uint32 => ("uint_contents", numbers(uint_contents, f64::from)),
        DataType::Uint64 => ("uint64_contents", numbers(uint64_contents, |value| value as f64)),
        DataType::Fp32 => ("fp32_contents", numbers(fp32_contents, f64::from)),
        DataType::Fp64 => ("fp64_contents", Values::Numbers(fp64_contents)),
        DataType::Bytes => ("bytes_contents", Values::Texts(bytes_contents)),
    };
    match lists.iter().find(|(other, n_values)| *other != list && *n_values > 0) {
        None => Ok(values),
        Some((other, _)) => Err(format!(
            "the values of a {} tensor are in {list}, but {other} was sent",
            datatype.name()
        )),
    }
}

fn numbers<T>(values: Vec<T>, number: impl Fn(T) -> f64) -> Values {
    Values::Numbers(values.into_iter().map(number).collect())
}

/// Numbers that must fit into a type that is narrower than the list they came in.
fn in_range<Narrow: TryFrom<T> + Into<f64>, T: Copy + std::fmt::Display>(
    values: Vec<T>,
    datatype: DataType,
) -> Result<Values, String> {
    let number = |value: T| {
        let narrow = Narrow::try_from(value);
        narrow.map(Into::into).map_err(|_| format!("{value} does not fit into {}", datatype.name()))
    };
    values.into_iter().map(number).collect::<Result<_, _>>().map(Values::Numbers)
}
