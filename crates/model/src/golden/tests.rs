use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::model::tests::{model, row, small};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn rows_replay_bit_for_bit_through_the_file(
        model in model(), rows in prop::collection::vec(row(), 1..8),
    ) {
        let golden: Vec<GoldenRow> = rows.iter().map(|row| GoldenRow::of(&model, row)).collect();
        let text = encode_golden(&golden);
        let back = decode_golden(&text).unwrap();
        for (row, golden) in rows.iter().zip(&back) {
            for (a, b) in row.iter().zip(&golden.row) {
                prop_assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
            }
        }
        prop_assert_eq!(encode_golden(&back), text);
        prop_assert_eq!(replay_golden(&model, &back), Ok(()));
    }
}

#[test]
fn one_bit_is_a_mismatch_that_names_row_and_output() {
    let model = Model::new(small()).unwrap();
    let mut golden = vec![GoldenRow::of(&model, &[0.0; 5]), GoldenRow::of(&model, &[2.0; 5])];
    golden[1].outputs[0] = f64::from_bits(golden[1].outputs[0].to_bits() + 1);
    let error = replay_golden(&model, &golden).unwrap_err();
    assert!(matches!(error, GoldenMismatch::Bits { row: 1, output: 0, .. }), "{error}");
    golden[1].outputs.push(0.0);
    let error = replay_golden(&model, &golden).unwrap_err();
    assert_eq!(error, GoldenMismatch::Outputs { row: 1, expected: 2, found: 1 });
    golden[0].row.pop();
    let error = replay_golden(&model, &golden).unwrap_err();
    assert_eq!(error, GoldenMismatch::Width { row: 0, expected: 5, found: 4 });
}

#[test]
fn a_line_that_contradicts_itself_is_refused() {
    let good = r#"{"row":[0.5,null],"output":[0.25],"output_bits":["3fd0000000000000"]}"#;
    assert_eq!(decode_golden(&format!("{good}\n\n{good}\n")).unwrap().len(), 2);
    let cases = [
        (good.replace("3fd0000000000000", "3fd0000000000001"), "other bits"),
        (good.replace("3fd0000000000000", "+fd0000000000000"), "16 hex digits"),
        (good.replace("\"3fd0000000000000\"", ""), "1 outputs but 0"),
        (good.replace("row", "rows"), "unknown field"),
    ];
    for (line, expected) in cases {
        let error = decode_golden(&format!("{good}\n{line}\n")).unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.to_string().contains(expected), "{error}");
    }
}
