use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use segue_dataset::{Dataset, Matrix, RowKeys, Target, TargetKind};
use sha2::{Digest, Sha256};

use super::*;
use crate::model::tests::{model, row, schema, small};
use crate::{Holdout, Model, Scratch, SliceColumn};

/// Puts the right checksum under changed bytes, so that what lies behind it is reached.
fn reseal(bytes: &mut [u8]) {
    let body = bytes.len() - CHECKSUM_BYTES;
    let checksum = Sha256::digest(&bytes[..body]);
    bytes[body..].copy_from_slice(&checksum);
}

fn holdout(rows: &[Vec<f64>], max_rows: usize) -> Holdout {
    let n = rows.len();
    let target = Target {
        kind: TargetKind::Binary,
        values: (0..n).map(|row| f64::from(row % 3 == 0)).collect(),
    };
    let keys = RowKeys {
        user: (0..n).map(|row| format!("secret user {row}").into()).collect(),
        t: (0..n as i64).collect(),
    };
    let weight = Some((0..n).map(|row| row as f64 * 0.5).collect());
    let matrix = Matrix::from_rows(5, &rows.concat());
    let dataset = Dataset::new(schema(), matrix, target, weight, keys).unwrap();
    let countries: Vec<&str> = (0..n).map(|row| ["de", "at", "ch"][row % 3]).collect();
    Holdout::new(&dataset, vec![SliceColumn::of("country", &countries)], max_rows).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn a_model_comes_back_the_same(model in model(), row in row()) {
        let bytes = model.encode();
        let back = Model::decode(&bytes).unwrap();
        prop_assert_eq!(&back, &model);
        prop_assert_eq!(back.encode(), bytes);
        let (mut a, mut b) = (Scratch::default(), Scratch::default());
        let bits = |of: &[f64]| of.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let (before, after) = (model.score(&row, &mut a), back.score(&row, &mut b));
        prop_assert_eq!(bits(before.outputs), bits(after.outputs));
    }

    #[test]
    fn changed_bytes_are_refused(
        model in model(), at in any::<prop::sample::Index>(), flip in 1..=255u8,
    ) {
        let bytes = model.encode();
        let at = at.index(bytes.len());
        prop_assert!(Model::decode(&bytes[..at]).is_err());
        let mut longer = bytes.clone();
        longer.push(flip);
        prop_assert!(Model::decode(&longer).is_err());
        let mut changed = bytes;
        changed[at] ^= flip;
        prop_assert!(Model::decode(&changed).is_err());
    }

    #[test]
    fn behind_the_checksum_nothing_panics(
        model in model(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        row in row(),
    ) {
        let mut bytes = model.encode();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        reseal(&mut bytes);
        if let Ok(model) = Model::decode(&bytes) {
            // Whatever it has become, it is a model: it scores and explains.
            let row = &row[..model.schema().len().min(row.len())];
            if row.len() == model.schema().len() {
                let _ = model.score(row, &mut Scratch::default());
                let _ = model.explain(row);
            }
            let again = Model::decode(&model.encode());
            prop_assert!(again.is_ok());
        }
    }

    #[test]
    fn any_bytes_are_refused_quietly(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Model::decode(&bytes).is_err());
        prop_assert!(Holdout::decode(&bytes).is_err());
    }

    #[test]
    fn a_holdout_comes_back_the_same(
        rows in prop::collection::vec(row(), 1..20),
        at in any::<prop::sample::Index>(), value in any::<u8>(),
    ) {
        let kept = holdout(&rows, 1000);
        let mut bytes = kept.encode();
        let back = Holdout::decode(&bytes).unwrap();
        prop_assert_eq!(back.encode(), bytes.clone());
        prop_assert_eq!(back.slices(), kept.slices());
        prop_assert_eq!(back.dataset().target(), kept.dataset().target());
        prop_assert_eq!(back.dataset().weight(), kept.dataset().weight());
        let at = at.index(bytes.len());
        bytes[at] = value;
        reseal(&mut bytes);
        let _ = Holdout::decode(&bytes);
    }
}

#[test]
fn a_holdout_is_bounded_and_names_nobody() {
    let rows: Vec<Vec<f64>> =
        (0..100).map(|row| vec![f64::from(row), 0.0, 1.0, 2.0, 3.0]).collect();
    let kept = holdout(&rows, 10);
    assert_eq!(kept.n_rows(), 10);
    let first: Vec<f64> = (0..10).map(|row| f64::from(row) * 10.0).collect();
    assert_eq!(kept.dataset().features().column(0), first);
    assert_eq!(kept.slices()[0].codes.len(), 10);
    assert_eq!(kept.slices()[0].labels, ["at", "ch", "de"]);
    assert_eq!(kept.slices()[0].rows_of(2).collect::<Vec<_>>(), [0, 3, 6, 9]);
    let bytes = kept.encode();
    assert!(!bytes.windows(6).any(|window| window == b"secret"));
    let model = Model::new(small()).unwrap();
    assert_eq!(kept.score(&model).unwrap().len(), 10);
}

#[test]
fn each_fault_has_its_own_message() {
    let bytes = Model::new(small()).unwrap().encode();
    let message = |bytes: &[u8]| Model::decode(bytes).unwrap_err().to_string();
    assert!(message(b"PK\x03\x04 a zip file").contains("not a segue model file"));
    assert!(message(&bytes[..20]).contains("the copy is not whole"));
    assert!(message(&bytes[..bytes.len() - 1]).contains("the copy is not whole"));
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert!(message(&newer).contains("version 9, this build reads 1 to 1"));
    let mut changed = bytes.clone();
    let middle = bytes.len() - CHECKSUM_BYTES - 1;
    changed[middle] ^= 1;
    assert!(message(&changed).contains("checksum"));
    let mut renamed = bytes.clone();
    renamed[16] = b'x';
    assert!(message(&renamed).contains("xchm"));
}

/// A section with a byte too many, under a good checksum, was written by something else.
#[test]
fn bytes_left_over_in_a_section_are_refused() {
    let lengthened = |mut bytes: Vec<u8>, n_sections: usize, section: usize| {
        let length_at = |section: usize| HEAD_BYTES + section * SECTION_HEAD_BYTES + 4;
        let length = |bytes: &[u8], section: usize| {
            u64::from_le_bytes(bytes[length_at(section)..][..8].try_into().unwrap())
        };
        let before: u64 = (0..=section).map(|section| length(&bytes, section)).sum();
        let end = HEAD_BYTES + n_sections * SECTION_HEAD_BYTES + before as usize;
        let longer = length(&bytes, section) + 1;
        bytes[length_at(section)..][..8].copy_from_slice(&longer.to_le_bytes());
        bytes.insert(end, 0);
        reseal(&mut bytes);
        bytes
    };
    for section in 0..4 {
        let bytes = lengthened(Model::new(small()).unwrap().encode(), 4, section);
        let found = Model::decode(&bytes).unwrap_err().to_string();
        assert!(found.contains("1 bytes are left over"), "section {section}: {found}");
    }
    for section in 0..3 {
        let bytes = lengthened(holdout(&[vec![0.0; 5]], 10).encode(), 3, section);
        let found = Holdout::decode(&bytes).map(|_| ()).unwrap_err().to_string();
        assert!(found.contains("1 bytes are left over"), "section {section}: {found}");
    }
}

/// The files are what the first release of the format wrote; they must stay readable for ever.
#[test]
fn the_first_format_stays_readable() {
    let bytes = include_bytes!("../../tests/data/model_v1.bin");
    let model = Model::decode(bytes).unwrap();
    assert_eq!(model.task(), "needs_help_at");
    assert_eq!(model.classes(), ["stay", "leave", "return"]);
    assert_eq!(model.feature_set_hash(), Some("abc"));
    let golden = crate::decode_golden(include_str!("../../tests/data/golden_v1.jsonl")).unwrap();
    assert_eq!(golden.len(), 12);
    crate::replay_golden(&model, &golden).unwrap();
    assert_eq!(model.encode(), bytes);
}
