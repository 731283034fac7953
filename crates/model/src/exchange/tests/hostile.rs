//! Whatever the bytes, reading ends in a value or an error, soon.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::dump::dump;
use super::{binary, classes, plain};
use crate::exchange::{Format, export, import};

const FORMATS: [Format; 6] = [
    Format::LightGbm,
    Format::LightGbmJson,
    Format::XgboostJson,
    Format::XgboostUbjson,
    Format::XgboostBinary,
    Format::Onnx,
];

/// A valid file of each format.
fn valid(format: Format) -> Vec<u8> {
    match format {
        Format::XgboostUbjson => {
            let json = export(&classes(), Format::XgboostJson, true).unwrap().bytes;
            ubjson(&serde_json::from_slice(&json).unwrap())
        }
        Format::LightGbmJson => dump().to_string().into_bytes(),
        Format::XgboostBinary => binary::file().bytes(),
        format => export(&plain(), format, true).unwrap().bytes,
    }
}

/// UBJSON as XGBoost writes it: counted arrays, 64-bit lengths.
pub(super) fn ubjson(value: &serde_json::Value) -> Vec<u8> {
    use serde_json::Value;
    let mut out = Vec::new();
    let length = |out: &mut Vec<u8>, n: usize| {
        out.push(b'L');
        out.extend((n as i64).to_be_bytes());
    };
    let text = |out: &mut Vec<u8>, text: &str| {
        length(out, text.len());
        out.extend(text.as_bytes());
    };
    match value {
        Value::Null => out.push(b'Z'),
        Value::Bool(flag) => out.push(if *flag { b'T' } else { b'F' }),
        Value::Number(number) => match number.as_i64() {
            Some(number) => {
                out.push(b'L');
                out.extend(number.to_be_bytes());
            }
            None => {
                out.push(b'd');
                out.extend((number.as_f64().unwrap() as f32).to_be_bytes());
            }
        },
        Value::String(string) => {
            out.push(b'S');
            text(&mut out, string);
        }
        Value::Array(items) if items.iter().all(Value::is_number) && !items.is_empty() => {
            out.extend(b"[$D#");
            length(&mut out, items.len());
            items.iter().for_each(|item| out.extend(item.as_f64().unwrap().to_be_bytes()));
        }
        Value::Array(items) => {
            out.extend(b"[#");
            length(&mut out, items.len());
            items.iter().for_each(|item| out.extend(ubjson(item)));
        }
        Value::Object(object) => {
            out.push(b'{');
            for (key, value) in object {
                text(&mut out, key);
                out.extend(ubjson(value));
            }
            out.push(b'}');
        }
    }
    out
}

#[test]
fn ubjson_is_the_same_document() {
    let json = export(&classes(), Format::XgboostJson, true).unwrap().bytes;
    let (from_json, from_ubjson) =
        (import(&json, None).unwrap(), import(&valid(Format::XgboostUbjson), None).unwrap());
    assert_eq!(from_json.ensemble, from_ubjson.ensemble);
    assert_eq!(from_json.schema, from_ubjson.schema);
}

#[test]
fn valid_files_are_recognised() {
    for format in FORMATS {
        assert_eq!(Format::detect(&valid(format)), Some(format));
        import(&valid(format), None).unwrap();
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for format in FORMATS {
        let bytes = valid(format);
        // the tail of the text and the last fields of the message may go without the model's loss
        let end = match format {
            Format::LightGbm => bytes.windows(12).position(|at| at == b"end of trees").unwrap(),
            Format::Onnx => bytes.len() / 3,
            _ => bytes.len(),
        };
        for length in (0..end).step_by(7) {
            let read = import(&bytes[..length], Some(format));
            assert!(read.is_err(), "{format} cut to {length} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn counts_that_lie_and_endless_nesting_are_refused() {
    let cases: [(&[u8], &str); 6] = [
        (b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff", "a count of 922337203685477580"),
        (b"[$Z#L\x7f\xff\xff\xff\xff\xff\xff\xff", "a type without content"),
        (b"[$d#L\xff\xff\xff\xff\xff\xff\xff\xff", "a length of -1"),
        (b"SL\x7f\xff\xff\xff\xff\xff\xff\xff", "bytes are due"),
        (b"[$dZ", "a type without a count"),
        (b"?", "unknown marker"),
    ];
    for (bytes, expected) in cases {
        let error = import(bytes, Some(Format::XgboostUbjson)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for (format, opening, expected) in [
        (Format::XgboostUbjson, b'[', "nested deeper than 64"),
        (Format::XgboostJson, b'[', "recursion limit exceeded"),
    ] {
        let error = import(&vec![opening; 100_000], Some(format)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Reads, and scores what still reads.
fn read_and_score(bytes: &[u8], format: Format) -> Result<(), String> {
    let Ok(imported) = import(bytes, Some(format)) else { return Ok(()) };
    let Ok(model) = imported.into_model("wounded") else { return Ok(()) };
    let row = vec![0.5; model.schema().len()];
    let mut scratch = crate::Scratch::default();
    let outputs = model.score(&row, &mut scratch).outputs;
    if outputs.iter().all(|output| output.is_finite()) {
        return Ok(());
    }
    Err(format!("outputs {outputs:?}"))
}

/// The binary format has no text that would show a wrong length: each cut, and each bit.
#[test]
fn each_cut_and_each_bit_of_a_binary_end_in_a_value_or_an_error() {
    let format = Format::XgboostBinary;
    let dart = binary::File { weights: Some(vec![1.0, 0.5]), ..binary::file() };
    for file in [binary::file(), dart] {
        let good = file.bytes();
        for length in 0..good.len() {
            let read = import(&good[..length], Some(format));
            assert!(read.is_err(), "cut to {length} of {} bytes", good.len());
            let _ = import(&good[..length], None);
        }
        let mut bytes = good.clone();
        for bit in 0..good.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            read_and_score(&bytes, format).unwrap_or_else(|outputs| panic!("bit {bit}: {outputs}"));
            bytes[bit / 8] = good[bit / 8];
        }
    }
}

/// What is done to a valid file.
#[derive(Debug, Clone)]
enum Wound {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index, prop::sample::Index),
    Repeat(prop::sample::Index, u8),
    /// A number of the text becomes another.
    Number(prop::sample::Index, i64),
}

fn wound() -> impl Strategy<Value = Wound> {
    let number = prop_oneof![
        Just(-1),
        Just(0),
        Just(i64::MAX),
        Just(i64::MIN),
        Just(1 << 31),
        Just(1 << 40),
        -3i64..40
    ];
    prop_oneof![
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Wound::Set(at, byte)),
        (any::<prop::sample::Index>(), any::<prop::sample::Index>())
            .prop_map(|(from, to)| Wound::Cut(from, to)),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, n)| Wound::Repeat(at, n)),
        (any::<prop::sample::Index>(), number).prop_map(|(at, n)| Wound::Number(at, n)),
    ]
}

fn wounded(mut bytes: Vec<u8>, wounds: &[Wound]) -> Vec<u8> {
    for wound in wounds {
        if bytes.is_empty() {
            break;
        }
        match wound {
            Wound::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Wound::Cut(from, to) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                bytes.drain(from.min(to)..(from.min(to) + 40).min(from.max(to)));
            }
            Wound::Repeat(at, n) => {
                let at = at.index(bytes.len());
                let piece = bytes[at..(at + usize::from(*n)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            Wound::Number(at, number) => {
                let digit = |from: &usize| bytes[*from].is_ascii_digit();
                let start = at.index(bytes.len());
                let Some(from) = (start..bytes.len()).find(digit) else { continue };
                let to = (from..bytes.len()).find(|at| !digit(at)).unwrap_or(bytes.len());
                bytes.splice(from..to, number.to_string().into_bytes());
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    /// What still reads is a model that can be checked, and scored if it holds.
    #[test]
    fn wounded_files_end_in_a_value_or_an_error(
        format in prop::sample::select(FORMATS.to_vec()),
        wounds in prop::collection::vec(wound(), 1..4),
    ) {
        let bytes = wounded(valid(format), &wounds);
        let _ = import(&bytes, None);
        prop_assert_eq!(read_and_score(&bytes, format), Ok(()));
    }

    #[test]
    fn arbitrary_bytes_end_in_a_value_or_an_error(
        format in prop::sample::select(FORMATS.to_vec()),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = import(&bytes, Some(format));
        let _ = import(&bytes, None);
    }
}
