//! Values of tensors as JSON: flat or nested lists in row-major order.

use serde_json::{Number, Value};

use crate::inference_service::{DataType, OutputValues, Values};
use crate::{Reason, Violation};

/// Reads the values of a tensor. `null` and "NaN" are missing numbers. The shape is checked later,
/// against the number of values; how they are nested is not.
pub(super) fn read(data: Value, datatype: &str, field: &str) -> Result<Values, Violation> {
    let bad =
        |reason, description: String| Violation { field: field.to_owned(), reason, description };
    let Some(datatype) = DataType::parse(datatype) else {
        let description = format!("{:?} is not a data type that is served", datatype);
        return Err(bad(Reason::TensorDatatype, description));
    };
    let mut values = match datatype {
        DataType::Bytes => Values::Texts(Vec::new()),
        _ => Values::Numbers(Vec::new()),
    };
    let read = if data.is_array() { flatten(data, datatype, &mut values) } else { Err(data) };
    match read {
        Ok(()) => Ok(values),
        Err(value) => {
            let description =
                format!("expected a list of {} values, found {}", datatype.name(), kind(&value));
            Err(bad(Reason::TensorEncoding, description))
        }
    }
}

/// The first value that does not fit is the error.
fn flatten(data: Value, datatype: DataType, values: &mut Values) -> Result<(), Value> {
    match (data, values) {
        (Value::Array(items), values) => {
            items.into_iter().try_for_each(|item| flatten(item, datatype, values))
        }
        (Value::String(text), Values::Texts(texts)) => {
            texts.push(text.into());
            Ok(())
        }
        (value, Values::Texts(_)) => Err(value),
        (value, Values::Numbers(numbers)) => match number(&value, datatype) {
            Some(number) => {
                numbers.push(number);
                Ok(())
            }
            None => Err(value),
        },
    }
}

fn number(value: &Value, datatype: DataType) -> Option<f64> {
    let fits = |least: i64, most: i64| {
        value
            .as_i64()
            .filter(|integer| (least..=most).contains(integer))
            .map(|integer| integer as f64)
    };
    match datatype {
        DataType::Fp64 => float(value),
        // Rounded once, as the client would have rounded it.
        DataType::Fp32 => float(value).map(|value| f64::from(value as f32)),
        DataType::Bool => match value {
            Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
            _ => fits(0, 1),
        },
        DataType::Int8 => fits(i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => fits(i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => fits(i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => fits(i64::MIN, i64::MAX),
        DataType::Uint8 => fits(0, u8::MAX.into()),
        DataType::Uint16 => fits(0, u16::MAX.into()),
        DataType::Uint32 => fits(0, u32::MAX.into()),
        DataType::Uint64 => value.as_u64().map(|integer| integer as f64),
        DataType::Bytes => None,
    }
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Null => Some(f64::NAN),
        Value::String(text) if text == "NaN" => Some(f64::NAN),
        _ => None,
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The values of an output, flat. A number that JSON does not have is `null`.
pub(super) fn write(values: &OutputValues) -> Value {
    let number = |value: f64| Number::from_f64(value).map_or(Value::Null, Value::Number);
    match values {
        OutputValues::Fp64(values) => values.iter().map(|value| number(*value)).collect(),
        OutputValues::Fp32(values) => values.iter().map(|value| number((*value).into())).collect(),
        OutputValues::Bytes(texts) => texts.iter().map(|text| Value::from(text.as_str())).collect(),
    }
}
