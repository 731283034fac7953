use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::plain;
use crate::exchange::rounding::{at_most_single, below_single};
use crate::exchange::{ExportError, Format, export, import};
use crate::model::tests::{model, row};
use crate::{Child, Combine, Link, MissingRule, Model, Node, Split, Tree};

fn margins(model: &Model, row: &[f64]) -> Vec<f64> {
    let mut margins = vec![0.0; model.n_outputs()];
    model.ensemble().margins(row, &mut margins);
    margins
}

/// The model as another library would hold it, read back.
fn there_and_back(model: &Model, format: Format) -> Model {
    let exported = export(model, format, true).unwrap();
    let imported = import(&exported.bytes, None)
        .unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&exported.bytes)));
    imported.into_model(model.task()).unwrap()
}

/// LightGBM reads what is this small as 0.
fn without_tiny(row: &[f64]) -> Vec<f64> {
    row.iter().map(|&value| if value.abs() <= 1e-35 { 0.0 } else { value }).collect()
}

/// What XGBoost compares: every value as it is in single precision.
fn as_single(row: &[f64]) -> Vec<f64> {
    row.iter().map(|&value| f64::from(value as f32)).collect()
}

fn close(found: &[f64], expected: &[f64], tolerance: f64) -> bool {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= tolerance * b.abs().max(1.0);
    found.len() == expected.len() && found.iter().zip(expected).all(near)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn onnx_keeps_every_bit(model in model(), rows in prop::collection::vec(row(), 8)) {
        let back = there_and_back(&model, Format::Onnx);
        prop_assert_eq!(back.schema(), model.schema());
        prop_assert_eq!(back.target(), model.target());
        prop_assert_eq!(back.ensemble().link, model.ensemble().link);
        for row in rows {
            prop_assert_eq!(margins(&back, &row), margins(&model, &row));
        }
    }

    #[test]
    fn lightgbm_keeps_every_bit_of_a_sum(model in model(), rows in prop::collection::vec(row(), 8)) {
        let back = there_and_back(&model, Format::LightGbm);
        prop_assert_eq!(back.schema(), model.schema());
        // leaves of a mean with a start value are divided, which rounds
        let tolerance = if model.ensemble().combine == Combine::Sum { 0.0 } else { 1e-14 };
        for row in rows {
            let row = without_tiny(&row);
            let (found, expected) = (margins(&back, &row), margins(&model, &row));
            prop_assert!(close(&found, &expected, tolerance), "{:?} {:?}", found, expected);
        }
    }

    #[test]
    fn xgboost_takes_the_same_branches(model in model(), rows in prop::collection::vec(row(), 8)) {
        if model.n_outputs() > 1 && model.ensemble().link == Link::Identity {
            let refused = export(&model, Format::XgboostJson, true);
            let refused = matches!(refused, Err(ExportError::Unsupported { .. }));
            prop_assert!(refused);
            return Ok(());
        }
        let back = there_and_back(&model, Format::XgboostJson);
        prop_assert_eq!(back.schema(), model.schema());
        for row in rows {
            let (found, expected) = (margins(&back, &row), margins(&model, &as_single(&row)));
            prop_assert!(close(&found, &expected, 1e-5), "{:?} {:?}", found, expected);
        }
    }

    /// What single precision holds already comes back as it is, in every bit and byte.
    #[test]
    fn xgboost_is_stable_after_one_rounding(model in model(), rows in prop::collection::vec(row(), 8)) {
        if model.n_outputs() > 1 && model.ensemble().link == Link::Identity {
            return Ok(());
        }
        let once = there_and_back(&model, Format::XgboostJson);
        let twice = there_and_back(&once, Format::XgboostJson);
        for row in rows {
            prop_assert_eq!(margins(&once, &row), margins(&twice, &row));
        }
        let bytes = |model: &Model| export(model, Format::XgboostJson, true).unwrap().bytes;
        prop_assert_eq!(bytes(&once), bytes(&twice));
    }

    #[test]
    fn single_comparisons_are_thresholds(bits in any::<u32>(), step in -3i64..=3) {
        let threshold = f32::from_bits(bits);
        prop_assume!(!threshold.is_nan());
        let asks = |split: &Split, value: f64| match split {
            Split::AtMost(at) => value <= *at,
            Split::Below(at) => value < *at,
            Split::In(_) => unreachable!("no set"),
        };
        // the threshold, its neighbours, the midpoints between them, and one step around each
        for near in [threshold.next_down(), threshold, threshold.next_up()] {
            for middle in [f64::from(near), f64::midpoint(f64::from(near), f64::from(threshold))] {
                let mut value = middle;
                for _ in 0..step.abs() {
                    value = if step > 0 { value.next_up() } else { value.next_down() };
                }
                if value.is_nan() {
                    continue;
                }
                let rounded = value as f32;
                prop_assert_eq!(asks(&below_single(threshold), value), rounded < threshold);
                prop_assert_eq!(asks(&at_most_single(threshold), value), rounded <= threshold);
            }
        }
    }
}

/// Every missing rule at thresholds around zero, on values around zero, in every format.
#[test]
fn zero_as_missing_survives() {
    const ZERO: f64 = crate::tree::LIGHTGBM_ZERO;
    let mut parts = plain().into_parts();
    let values = [
        f64::NAN,
        -2.0,
        -1.0,
        -0.5,
        -ZERO.next_up(),
        -ZERO,
        -0.0,
        0.0,
        ZERO,
        ZERO.next_up(),
        0.5,
        1.0,
        2.0,
    ];
    let rules = [
        MissingRule::Left,
        MissingRule::Right,
        MissingRule::AsZero,
        MissingRule::ZeroLeft,
        MissingRule::ZeroRight,
    ];
    for missing in rules {
        for threshold in [-1.0, -ZERO.next_up(), -ZERO, 0.0, ZERO, ZERO.next_up(), 1.0] {
            for split in [Split::AtMost(threshold), Split::Below(threshold)] {
                let node = Node {
                    feature: 0,
                    split: split.clone(),
                    missing,
                    left: Child::Leaf(0),
                    right: Child::Leaf(1),
                    gain: 0.0,
                    cover: 2.0,
                };
                parts.ensemble.trees = vec![Tree {
                    nodes: vec![node],
                    leaf_values: vec![1.0, 2.0],
                    leaf_cover: vec![1.0, 1.0],
                    leaf_width: 1,
                }];
                let model = Model::new(parts.clone()).unwrap();
                for format in [Format::Onnx, Format::LightGbm] {
                    let back = there_and_back(&model, format);
                    for value in values {
                        // LightGBM reads what is that small as 0
                        let tiny = value.abs() <= ZERO && format == Format::LightGbm;
                        let value = if tiny { 0.0 } else { value };
                        let row = [value, 0.0, 0.0, 0.0, 0.0];
                        assert_eq!(
                            margins(&back, &row),
                            margins(&model, &row),
                            "{format}: {split:?} {missing:?} at {value:e}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn covers_and_gains_come_back() {
    let model = plain();
    let tree = |model: &Model| model.ensemble().trees[0].clone();
    for format in [Format::LightGbm, Format::XgboostJson] {
        let back = there_and_back(&model, format);
        let covers = |tree: &Tree| tree.nodes.iter().map(|node| node.cover).collect::<Vec<_>>();
        assert_eq!(covers(&tree(&back)), covers(&tree(&model)), "{format}");
        assert_eq!(tree(&back).nodes[0].gain, tree(&model).nodes[0].gain, "{format}");
        let row = [0.5, 0.0, 1.0, 0.0, 0.0];
        let (found, expected) = (back.explain(&row), model.explain(&row));
        for column in 0..5 {
            let off = found.contributions(0)[column] - expected.contributions(0)[column];
            assert!(off.abs() < 1e-12, "{format}: column {column} off by {off}");
        }
    }
}

/// A question with a hole copies its branches; the rows that reached them are counted once.
#[test]
fn copies_of_a_branch_share_its_cover() {
    let mut parts = plain().into_parts();
    for missing in [MissingRule::ZeroLeft, MissingRule::ZeroRight] {
        for threshold in [-1.0, 1.0] {
            let node = &mut parts.ensemble.trees[0].nodes[0];
            (node.missing, node.split) = (missing, Split::AtMost(threshold));
            let model = Model::new(parts.clone()).unwrap();
            let back = there_and_back(&model, Format::XgboostJson);
            let tree = &back.ensemble().trees[0];
            let total: f64 = tree.leaf_cover.iter().sum();
            assert_eq!(total, 10.0, "{missing:?} {threshold}: {:?}", tree.leaf_cover);
        }
    }
}

#[test]
fn a_calibration_is_not_dropped_in_silence() {
    let model = Model::new(crate::model::tests::small()).unwrap();
    let error = export(&model, Format::Onnx, false).unwrap_err().to_string();
    assert!(error.contains("no place for the platt calibration"), "{error}");
    let notes = export(&model, Format::Onnx, true).unwrap().notes;
    assert!(notes.iter().any(|note| note == "without the platt calibration"), "{notes:?}");
}
