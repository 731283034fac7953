//! Rows of features, whose `oneof` is read by hand, beside the message that would have been generated.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::bytes::Buf;
use prost::{DecodeError, Message};
use segue_api::v1::feature_row::Features;
use segue_api::v1::{
    Event, EventHistory, FeatureRow, FeatureValue, NamedFeatures, NamedValue, PackedFeatures,
    PropertyValue, feature_value, property_value,
};

/// `segue.v1.FeatureRow` as the proto file has it.
#[derive(Clone, PartialEq, Message)]
struct Generated {
    #[prost(btree_map = "string, message", tag = "4")]
    traits: BTreeMap<String, PropertyValue>,
    #[prost(string, tag = "5")]
    subject_id: String,
    #[prost(string, tag = "6")]
    routing_key: String,
    #[prost(oneof = "Form", tags = "1, 2, 3")]
    features: Option<Form>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Form {
    #[prost(message, tag = "1")]
    Named(Map),
    #[prost(message, tag = "2")]
    Packed(PackedFeatures),
    #[prost(message, tag = "3")]
    Events(EventHistory),
}

/// `segue.v1.NamedFeatures` as the proto file has it.
#[derive(Clone, PartialEq, Message)]
struct Map {
    #[prost(btree_map = "string, message", tag = "1")]
    values: BTreeMap<String, FeatureValue>,
}

fn form() -> impl Strategy<Value = Option<Form>> {
    let number = any::<i32>().prop_map(|number| FeatureValue {
        kind: Some(feature_value::Kind::Number(f64::from(number))),
    });
    let map = prop::collection::btree_map("[a-e]{1,2}", number, 0..5);
    let numbers = prop::collection::vec(any::<i32>().prop_map(f64::from), 0..5);
    let names = prop::collection::vec("[a-z]{0,3}", 0..4);
    let events = |names: Vec<String>| EventHistory {
        events: names.into_iter().map(|name| Event { name, ..Event::default() }).collect(),
        ..EventHistory::default()
    };
    prop_oneof![
        Just(None),
        map.prop_map(|values| Some(Form::Named(Map { values }))),
        (numbers, "[0-9a-f]{0,4}").prop_map(|(values, schema_digest)| {
            Some(Form::Packed(PackedFeatures { values, schema_digest }))
        }),
        names.prop_map(move |names| Some(Form::Events(events(names)))),
    ]
}

fn row() -> impl Strategy<Value = Generated> {
    let flag = any::<bool>()
        .prop_map(|flag| PropertyValue { kind: Some(property_value::Kind::Flag(flag)) });
    let traits = prop::collection::btree_map("[a-c]", flag, 0..3);
    (traits, "\\PC{0,9}", "\\PC{0,9}", form()).prop_map(
        |(traits, subject_id, routing_key, features)| Generated {
            traits,
            subject_id,
            routing_key,
            features,
        },
    )
}

/// Ours, as it would have been generated.
fn as_generated(row: FeatureRow) -> Result<Generated, DecodeError> {
    let FeatureRow { traits, subject_id, routing_key, features } = row;
    let features = match features {
        Some(Features::Named(named)) => Some(Form::Named(as_map(&named)?)),
        Some(Features::Packed(packed)) => Some(Form::Packed(packed)),
        Some(Features::Events(events)) => Some(Form::Events(events)),
        None => None,
    };
    Ok(Generated { traits, subject_id, routing_key, features })
}

fn as_map(named: &NamedFeatures) -> Result<Map, DecodeError> {
    use feature_value::Kind;
    let mut map = Map::default();
    for entry in named.iter() {
        let (name, value) = entry?;
        let kind = match value {
            NamedValue::Unset => None,
            NamedValue::Number(number) => Some(Kind::Number(number)),
            NamedValue::Integer(integer) => Some(Kind::Integer(integer)),
            NamedValue::Flag(flag) => Some(Kind::Flag(flag)),
            NamedValue::Category(text) => Some(Kind::Category(text.to_owned())),
            NamedValue::Missing => Some(Kind::Missing(segue_api::v1::Missing {})),
        };
        map.values.insert(name.text()?.to_owned(), FeatureValue { kind });
    }
    Ok(map)
}

/// Numbers by their bits, texts in full: what two rows that say the same have in common.
fn shown(row: &Generated) -> String {
    format!("{row:?}")
}

fn read(bytes: impl Buf) -> Result<Generated, DecodeError> {
    FeatureRow::decode(bytes).and_then(as_generated)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_and_writes_as_the_generated_message_does(row in row()) {
        let bytes = row.encode_to_vec();
        let ours = FeatureRow::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(ours.encoded_len(), bytes.len());
        prop_assert_eq!(ours.encode_to_vec(), bytes);
        prop_assert_eq!(as_generated(ours).unwrap(), row);
    }

    /// Rows behind one another are one: of several forms the last counts, and all parts of it since the
    /// last of another.
    #[test]
    fn parts_are_one_row(rows in prop::collection::vec(row(), 1..5)) {
        let bytes: Vec<u8> = rows.iter().flat_map(Message::encode_to_vec).collect();
        prop_assert_eq!(read(bytes.as_slice()).unwrap(), Generated::decode(bytes.as_slice()).unwrap());
    }

    #[test]
    fn reads_from_pieces(row in row(), cut in any::<prop::sample::Index>()) {
        let bytes = row.encode_to_vec();
        let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
        prop_assert_eq!(read(first.chain(second)).unwrap(), row);
    }

    /// Wounded bytes that are read mean what they mean to the generated message, if that reads them.
    #[test]
    fn agrees_about_wounded_bytes(
        rows in prop::collection::vec(row(), 1..3),
        wounds in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes: Vec<u8> = rows.iter().flat_map(Message::encode_to_vec).collect();
        for (at, byte) in wounds.into_iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        match (Generated::decode(bytes.as_slice()), read(bytes.as_slice())) {
            (Ok(generated), Ok(ours)) => prop_assert_eq!(shown(&ours), shown(&generated)),
            // Of a form that another followed, what its entries are is never looked at.
            (generated, _) => prop_assert!(generated.is_err()),
        }
    }
}

/// Named features with fields of a later version of the message, which are not kept.
#[test]
fn unknown_fields_beside_the_entries_are_passed_over() {
    let mut named = NamedFeatures::default();
    named.push("visits", NamedValue::Integer(3));
    let mut message = named.encode_to_vec();
    message.extend([0x10, 7, 0x1A, 1, b'x']);
    message.extend(named.encode_to_vec());
    let mut bytes = vec![0x0A, u8::try_from(message.len()).unwrap()];
    bytes.extend(message);
    let row = FeatureRow::decode(bytes.as_slice()).unwrap();
    named.push("visits", NamedValue::Integer(3));
    assert_eq!(row.features, Some(Features::Named(named)));
}

/// An entry that says more bytes than its message has is not completed by what is behind the message.
#[test]
fn an_entry_ends_with_its_message() {
    let short = [0x0A, 3, 0x0A, 5, b'x'];
    FeatureRow::decode(short.as_slice()).unwrap_err();
    let mut twice = short.to_vec();
    twice.extend([0x0A, 4, 0x0A, 2, 0x0A, 0]);
    FeatureRow::decode(twice.as_slice()).unwrap_err();
}
