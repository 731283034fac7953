//! Named features, read by hand, beside the one that would have been generated.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost::{DecodeError, Message};
use segue_api::Name;
use segue_api::v1::feature_row::Features;
use segue_api::v1::feature_value::Kind;
use segue_api::v1::{
    FeatureRow, FeatureValue, Missing, NamedFeatures, NamedValue, ScoreBatchRequest,
};

/// `segue.v1.NamedFeatures` as the proto file has it.
#[derive(Clone, PartialEq, Message)]
struct Generated {
    #[prost(btree_map = "string, message", tag = "1")]
    values: BTreeMap<String, FeatureValue>,
}

fn kind() -> impl Strategy<Value = Option<Kind>> {
    prop_oneof![
        Just(None),
        any::<f64>().prop_map(|number| Some(Kind::Number(number))),
        any::<i64>().prop_map(|integer| Some(Kind::Integer(integer))),
        any::<bool>().prop_map(|flag| Some(Kind::Flag(flag))),
        "\\PC{0,200}".prop_map(|category| Some(Kind::Category(category))),
        Just(Some(Kind::Missing(Missing {}))),
    ]
}

fn values() -> impl Strategy<Value = BTreeMap<String, FeatureValue>> {
    prop::collection::btree_map("\\PC{0,140}", kind().prop_map(|kind| FeatureValue { kind }), 0..8)
}

/// What a map would hold; its texts owned, its numbers by their bits.
fn as_map(features: &NamedFeatures) -> BTreeMap<String, String> {
    try_map(features).unwrap()
}

fn try_map(features: &NamedFeatures) -> Result<BTreeMap<String, String>, DecodeError> {
    let shown = |value: NamedValue<'_>| match value {
        NamedValue::Number(number) => format!("{:x}", number.to_bits()),
        other => format!("{other:?}"),
    };
    let entry =
        |(name, value): (Name<'_>, NamedValue<'_>)| Ok((name.text()?.to_owned(), shown(value)));
    features.iter().map(|read| read.and_then(entry)).collect()
}

fn from_map(values: &BTreeMap<String, FeatureValue>) -> NamedFeatures {
    values.iter().map(|(name, value)| (name, value.clone())).collect()
}

/// The message as part of a row.
fn in_a_row(message: &[u8]) -> Result<NamedFeatures, DecodeError> {
    let mut bytes = Vec::new();
    encode_key(1, WireType::LengthDelimited, &mut bytes);
    encode_varint(message.len() as u64, &mut bytes);
    bytes.extend_from_slice(message);
    match FeatureRow::decode(bytes.as_slice())?.features {
        Some(Features::Named(named)) => Ok(named),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn reads_what_the_generated_message_writes(values in values()) {
        let ours = from_map(&values);
        let bytes = Generated { values }.encode_to_vec();
        let read = NamedFeatures::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(read.encode_to_vec(), bytes);
        prop_assert_eq!(as_map(&read), as_map(&ours));
    }

    #[test]
    fn writes_what_the_generated_message_reads(values in values()) {
        let bytes = from_map(&values).encode_to_vec();
        prop_assert_eq!(bytes.len(), from_map(&values).encoded_len());
        let read = Generated::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(as_map(&from_map(&read.values)), as_map(&from_map(&values)));
    }

    /// Texts that are cut between two pieces of memory, lengths of several bytes.
    #[test]
    fn reads_from_pieces(values in values(), cut in any::<prop::sample::Index>()) {
        use prost::bytes::Buf;
        let bytes = Generated { values: values.clone() }.encode_to_vec();
        let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
        let read = NamedFeatures::decode(first.chain(second)).unwrap();
        prop_assert_eq!(as_map(&read), as_map(&from_map(&values)));
    }

    /// Wounded bytes are refused by both, or mean the same to both.
    #[test]
    fn agrees_about_wounded_bytes(
        values in values(),
        wounds in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = Generated { values }.encode_to_vec();
        for (at, byte) in wounds.into_iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let generated = Generated::decode(bytes.as_slice());
        let generated = generated.map(|read| as_map(&from_map(&read.values))).map_err(|_| ());
        // What an entry is, is seen when it is read.
        let ours = NamedFeatures::decode(bytes.as_slice()).and_then(|ours| try_map(&ours));
        prop_assert_eq!(ours.map_err(|_| ()), generated.clone());
        prop_assert_eq!(in_a_row(&bytes).and_then(|ours| try_map(&ours)).map_err(|_| ()), generated);
    }
}

#[test]
fn of_a_name_that_comes_twice_the_later_counts() {
    let mut twice = NamedFeatures::default();
    twice.push("visits", NamedValue::Number(1.0));
    twice.push("visits", NamedValue::Integer(2));
    let read = Generated::decode(twice.encode_to_vec().as_slice()).unwrap();
    assert_eq!(read.values["visits"].kind, Some(Kind::Integer(2)));
}

/// A batch of many tiny rows must not take a thousand times its bytes: it is read before anybody can
/// count its rows.
#[test]
fn a_short_row_takes_little_whatever_is_behind_it() {
    let tiny = NamedFeatures::from_iter([("", FeatureValue { kind: None })]);
    let row = FeatureRow { features: Some(Features::Named(tiny)), ..FeatureRow::default() };
    let request = ScoreBatchRequest { rows: vec![row; 10_000], ..ScoreBatchRequest::default() };
    let bytes = request.encode_to_vec();
    let read = ScoreBatchRequest::decode(bytes.as_slice()).unwrap();
    assert_eq!(read.rows.len(), 10_000);
    for row in read.rows {
        let Some(Features::Named(named)) = row.features else { panic!("{row:?}") };
        assert!(named.n_bytes_held() <= 16, "{} bytes", named.n_bytes_held());
    }
}
