//! Packed features, read by hand, beside the message that would have been generated.

#![allow(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use prost::Message;
use prost::bytes::Buf;
use segue_api::v1::PackedFeatures;

/// `segue.v1.PackedFeatures` as the proto file has it.
#[derive(Clone, PartialEq, Message)]
struct Generated {
    #[prost(double, repeated, tag = "1")]
    values: Vec<f64>,
    #[prost(string, tag = "2")]
    schema_digest: String,
}

/// The same in the other form that readers must take, a field a value.
#[derive(Clone, PartialEq, Message)]
struct Unpacked {
    #[prost(double, repeated, packed = "false", tag = "1")]
    values: Vec<f64>,
}

fn message() -> impl Strategy<Value = Generated> {
    let values = prop::collection::vec(any::<f64>(), 0..60);
    (values, "\\PC{0,80}").prop_map(|(values, schema_digest)| Generated { values, schema_digest })
}

/// Numbers by their bits: NaN equals itself.
fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #[test]
    fn reads_and_writes_as_the_generated_message_does(generated in message()) {
        let bytes = generated.encode_to_vec();
        let ours = PackedFeatures::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(bits(&ours.values), bits(&generated.values));
        prop_assert_eq!(&ours.schema_digest, &generated.schema_digest);
        prop_assert_eq!(ours.encoded_len(), bytes.len());
        prop_assert_eq!(ours.encode_to_vec(), bytes);
    }

    /// Numbers that are cut between two pieces of memory.
    #[test]
    fn reads_from_pieces(generated in message(), cut in any::<prop::sample::Index>()) {
        let bytes = generated.encode_to_vec();
        let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
        let ours = PackedFeatures::decode(first.chain(second)).unwrap();
        prop_assert_eq!(bits(&ours.values), bits(&generated.values));
        prop_assert_eq!(ours.schema_digest, generated.schema_digest);
    }

    /// Several lists, and values one by one, are one list in the order of the message.
    #[test]
    fn lists_in_pieces_are_joined(
        parts in prop::collection::vec((message(), any::<bool>()), 0..5),
    ) {
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        for (part, is_packed) in parts {
            values.extend_from_slice(&part.values);
            if is_packed {
                part.encode(&mut bytes).unwrap();
            } else {
                Unpacked { values: part.values }.encode(&mut bytes).unwrap();
            }
        }
        let ours = PackedFeatures::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(bits(&ours.values), bits(&values));
    }

    /// Wounded bytes are refused by both, or mean the same to both.
    #[test]
    fn agrees_about_wounded_bytes(
        generated in message(),
        wounds in prop::collection::vec((0..6usize, any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = generated.encode_to_vec();
        // At the front, where keys and lengths are.
        for (at, byte) in wounds {
            if let Some(wounded) = bytes.get_mut(at) {
                *wounded = byte;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        match (Generated::decode(bytes.as_slice()), PackedFeatures::decode(bytes.as_slice())) {
            (Ok(generated), Ok(ours)) => {
                prop_assert_eq!(bits(&ours.values), bits(&generated.values));
                prop_assert_eq!(ours.schema_digest, generated.schema_digest);
            }
            (generated, ours) => prop_assert_eq!(generated.is_err(), ours.is_err()),
        }
    }
}

#[test]
fn a_list_that_is_no_doubles_is_refused() {
    for bytes in [&[0x0A, 7, 0, 0, 0, 0, 0, 0, 0][..], &[0x0A, 9, 0], &[0x08, 1], &[0x0A]] {
        PackedFeatures::decode(bytes).unwrap_err();
    }
}

/// Room is what the values take, whatever they are behind: rows are read before anybody can count them.
#[test]
fn a_row_takes_no_more_room_than_its_values() {
    let packed = PackedFeatures { values: vec![1.0; 40], schema_digest: String::new() };
    let read = PackedFeatures::decode(packed.encode_to_vec().as_slice()).unwrap();
    assert_eq!(read.values.capacity(), 40);
}
