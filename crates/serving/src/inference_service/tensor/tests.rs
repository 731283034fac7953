//! Bytes of strangers: read exactly, or refused.

use proptest::prelude::*;

use super::*;

fn any_type() -> impl Strategy<Value = DataType> {
    (0..DataType::ALL.len()).prop_map(|at| DataType::ALL[at].0)
}

fn width(datatype: DataType) -> usize {
    match datatype {
        DataType::Bool | DataType::Uint8 | DataType::Int8 => 1,
        DataType::Uint16 | DataType::Int16 => 2,
        DataType::Uint32 | DataType::Int32 | DataType::Fp32 => 4,
        DataType::Uint64 | DataType::Int64 | DataType::Fp64 => 8,
        DataType::Bytes => unreachable!("has no width"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn raw_values_are_as_many_as_the_shape_says_or_refused(
        bytes in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..64),
        datatype in any_type(),
        n_elements in 1usize..20,
    ) {
        let length = bytes.len();
        let outcome = read(Data::Raw(bytes.into()), datatype, n_elements, "x");
        if let Ok(values) = &outcome {
            prop_assert_eq!(values.len(), n_elements);
        }
        match datatype {
            DataType::Bytes | DataType::Bool => {}
            _ => prop_assert_eq!(outcome.is_ok(), length == n_elements * width(datatype)),
        }
    }

    #[test]
    fn texts_come_back(texts in prop::collection::vec("[a-zé]{0,9}", 1..9), cut in 1usize..9) {
        let mut bytes = Vec::new();
        for text in &texts {
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        let expected = texts.iter().map(|text| Bytes::from(text.clone())).collect();
        let whole = Data::Raw(bytes.clone().into());
        prop_assert_eq!(read(whole, DataType::Bytes, texts.len(), "x"), Ok(Values::Texts(expected)));
        bytes.truncate(bytes.len().saturating_sub(cut));
        prop_assert!(read(Data::Raw(bytes.into()), DataType::Bytes, texts.len(), "x").is_err());
    }
}

/// A length that would ask for memory that nobody has.
#[test]
fn a_shape_of_many_elements_allocates_nothing_for_few_bytes() {
    for (datatype, _) in DataType::ALL {
        let outcome = read(Data::Raw(Bytes::from_static(&[1; 8])), datatype, usize::MAX / 16, "x");
        assert!(outcome.is_err(), "{datatype:?}");
    }
}
