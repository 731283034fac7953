use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

/// Labels, scores with many ties, weights with zeros.
fn rows() -> impl Strategy<Value = (Vec<f64>, Vec<f64>, Vec<f64>)> {
    let row = (0..2u8, 0..8u8, 0..4u8);
    prop::collection::vec(row, 1..40).prop_map(|rows| {
        let label = rows.iter().map(|row| f64::from(row.0)).collect();
        let score = rows.iter().map(|row| f64::from(row.1) / 7.0).collect();
        let weight = rows.iter().map(|row| f64::from(row.2) * 0.5).collect();
        (label, score, weight)
    })
}

fn close(a: Option<f64>, b: Option<f64>) -> Result<(), TestCaseError> {
    match (a, b) {
        (Some(a), Some(b)) => {
            prop_assert!((a - b).abs() <= 1e-10 * (1.0 + b.abs()), "{a} is not {b}");
        }
        (a, b) => prop_assert_eq!(a, b),
    }
    Ok(())
}

fn auc_by_pairs(labels: &[f64], scores: &[f64], weight: &[f64]) -> Option<f64> {
    let (mut won, mut pairs) = (0.0, 0.0);
    for i in 0..labels.len() {
        for j in 0..labels.len() {
            if labels[i] == 1.0 && labels[j] == 0.0 {
                let w = weight[i] * weight[j];
                pairs += w;
                won += w * match scores[i].partial_cmp(&scores[j]) {
                    Some(std::cmp::Ordering::Greater) => 1.0,
                    Some(std::cmp::Ordering::Equal) => 0.5,
                    _ => 0.0,
                };
            }
        }
    }
    (pairs > 0.0).then(|| won / pairs)
}

fn average_precision_by_thresholds(labels: &[f64], scores: &[f64], weight: &[f64]) -> Option<f64> {
    let sum_if = |keep: &dyn Fn(usize) -> bool| -> f64 {
        (0..labels.len()).filter(|&row| keep(row)).map(|row| weight[row]).sum()
    };
    let positives = sum_if(&|row| labels[row] == 1.0);
    if positives == 0.0 {
        return None;
    }
    let mut sum = 0.0;
    for row in 0..labels.len() {
        if labels[row] == 1.0 && weight[row] > 0.0 {
            let at_least = |other: usize| scores[other] >= scores[row];
            let taken = sum_if(&at_least);
            let hits = sum_if(&|other| at_least(other) && labels[other] == 1.0);
            sum += weight[row] / positives * hits / taken;
        }
    }
    Some(sum)
}

/// Lorenz area pair by pair: twice the covariance of value share and rank.
fn gini_by_pairs(labels: &[f64], key: &[f64], weight: &[f64]) -> f64 {
    let (mut above, mut total) = (0.0, 0.0);
    let mass: f64 = weight.iter().sum();
    for i in 0..labels.len() {
        total += weight[i] * labels[i];
        for j in 0..labels.len() {
            // Share of the mass that comes after row i counts row i's value in full, ties by half.
            let after = match key[i].partial_cmp(&key[j]) {
                Some(std::cmp::Ordering::Greater) => 1.0,
                Some(std::cmp::Ordering::Equal) => 0.5,
                _ => 0.0,
            };
            above += weight[i] * labels[i] * weight[j] / mass * after;
        }
    }
    2.0 * above / total - 1.0
}

/// Mid-rank of each row counted over all rows.
fn ranks_by_pairs(values: &[f64], weight: &[f64]) -> Vec<f64> {
    let below = |at: f64, other: usize| match values[other].partial_cmp(&at) {
        Some(std::cmp::Ordering::Less) => weight[other],
        Some(std::cmp::Ordering::Equal) => 0.5 * weight[other],
        _ => 0.0,
    };
    values.iter().map(|&at| (0..values.len()).map(|other| below(at, other)).sum()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn auc_is_the_share_of_pairs_won((labels, scores, weight) in rows()) {
        let expected = auc_by_pairs(&labels, &scores, &weight);
        close(auc(&labels, &scores, Some(&weight)), expected)?;
    }

    #[test]
    fn average_precision_steps_over_distinct_scores((labels, scores, weight) in rows()) {
        let expected = average_precision_by_thresholds(&labels, &scores, &weight);
        close(average_precision(&labels, &scores, Some(&weight)), expected)?;
    }

    #[test]
    fn whole_weights_are_repeats((labels, scores, weight) in rows()) {
        let twice: Vec<f64> = weight.iter().map(|w| w * 2.0).collect();
        let repeat = |values: &[f64]| -> Vec<f64> {
            let times = values.iter().zip(&twice);
            times.flat_map(|(&value, &n)| std::iter::repeat_n(value, n as usize)).collect()
        };
        let (l, s) = (repeat(&labels), repeat(&scores));
        let w = Some(twice.as_slice());
        close(auc(&labels, &scores, w), auc(&l, &s, None))?;
        close(log_loss(&labels, &scores, w), log_loss(&l, &s, None))?;
        close(brier(&labels, &scores, w), brier(&l, &s, None))?;
        close(accuracy(&labels, &scores, w, 0.5), accuracy(&l, &s, None, 0.5))?;
        close(calibration_error(&labels, &scores, w, 5), calibration_error(&l, &s, None, 5))?;
        close(rmse(&labels, &scores, w), rmse(&l, &s, None))?;
        close(mae(&labels, &scores, w), mae(&l, &s, None))?;
        close(r2(&labels, &scores, w), r2(&l, &s, None))?;
        close(spearman(&labels, &scores, w), spearman(&l, &s, None))?;
        close(normalized_gini(&labels, &scores, w), normalized_gini(&l, &s, None))?;
        for depth in [0.1, 0.5, 1.0] {
            close(precision_at_depth(&labels, &scores, w, depth), precision_at_depth(&l, &s, None, depth))?;
            close(lift_at_depth(&labels, &scores, w, depth), lift_at_depth(&l, &s, None, depth))?;
        }
    }

    #[test]
    fn order_of_rows_does_not_matter((labels, scores, _) in rows()) {
        let reversed = |values: &[f64]| values.iter().rev().copied().collect::<Vec<_>>();
        let (l, s) = (reversed(&labels), reversed(&scores));
        prop_assert_eq!(auc(&labels, &scores, None), auc(&l, &s, None));
        prop_assert_eq!(
            average_precision(&labels, &scores, None),
            average_precision(&l, &s, None)
        );
        prop_assert_eq!(curve(&labels, &scores, None), curve(&l, &s, None));
        prop_assert_eq!(at_depth(&labels, &scores, None, 0.3), at_depth(&l, &s, None, 0.3));
    }

    #[test]
    fn depth_is_the_mean_over_orders_of_the_border_tie(
        (labels, scores, weight) in rows(), depth in 0.01f64..1.0,
    ) {
        // Taking a tie in proportion equals splitting every row of it alike.
        let total: f64 = weight.iter().sum();
        prop_assume!(total > 0.0);
        let (mut hits, mut taken) = (0.0, 0.0);
        for row in 0..labels.len() {
            let of = |keep: &dyn Fn(f64) -> bool| -> f64 {
                (0..labels.len()).filter(|&o| keep(scores[o])).map(|o| weight[o]).sum()
            };
            let before = of(&|score| score > scores[row]);
            let tie = of(&|score| score == scores[row]);
            if tie > 0.0 {
                let share = ((depth * total - before) / tie).clamp(0.0, 1.0);
                hits += share * weight[row] * labels[row];
                taken += share * weight[row];
            }
        }
        close(precision_at_depth(&labels, &scores, Some(&weight), depth), Some(hits / taken))?;
    }

    #[test]
    fn bins_hold_everything_once((labels, scores, weight) in rows(), n_bins in 1usize..12) {
        let Some(bins) = calibration_bins(&labels, &scores, Some(&weight), n_bins) else {
            prop_assert_eq!(weight.iter().sum::<f64>(), 0.0);
            return Ok(());
        };
        prop_assert!(bins.len() <= n_bins);
        for pair in bins.windows(2) {
            prop_assert!(pair[0].highest < pair[1].lowest);
        }
        for bin in &bins {
            let inside = |row: &usize| (bin.lowest..=bin.highest).contains(&scores[*row]);
            let rows: Vec<usize> = (0..labels.len()).filter(inside).collect();
            let sum = |f: &dyn Fn(usize) -> f64| rows.iter().map(|&r| weight[r] * f(r)).sum::<f64>();
            close(Some(bin.weight), Some(sum(&|_| 1.0)))?;
            close(Some(bin.mean_probability * bin.weight), Some(sum(&|row| scores[row])))?;
            close(Some(bin.positive_rate * bin.weight), Some(sum(&|row| labels[row])))?;
        }
    }

    #[test]
    fn gini_and_spearman_by_pairs((_, key, weight) in rows(), seed in 1u32..1000) {
        let value = |row: usize| f64::from((row as u32 * 7919 + seed) % 5);
        let labels: Vec<f64> = (0..key.len()).map(value).collect();
        let perfect = gini_by_pairs(&labels, &labels, &weight);
        let total: f64 = labels.iter().zip(&weight).map(|(l, w)| l * w).sum();
        let expected = (total > 0.0 && perfect > 1e-12)
            .then(|| gini_by_pairs(&labels, &key, &weight) / perfect);
        close(normalized_gini(&labels, &key, Some(&weight)), expected)?;

        let (a, b) = (ranks_by_pairs(&labels, &weight), ranks_by_pairs(&key, &weight));
        let total: f64 = weight.iter().sum();
        let mean = |of: &[f64]| of.iter().zip(&weight).map(|(x, w)| x * w).sum::<f64>() / total;
        let cross = |x: &[f64], y: &[f64]| {
            let (mx, my) = (mean(x), mean(y));
            let terms = x.iter().zip(y).zip(&weight);
            terms.map(|((x, y), w)| w * (x - mx) * (y - my)).sum::<f64>()
        };
        let scale = (cross(&a, &a) * cross(&b, &b)).sqrt();
        if scale > 1e-9 {
            close(spearman(&labels, &key, Some(&weight)), Some(cross(&a, &b) / scale))?;
        }
    }

    #[test]
    fn two_classes_are_the_binary_case((labels, p, weight) in rows()) {
        let both: Vec<f64> = p.iter().flat_map(|&p| [1.0 - p, p]).collect();
        let w = Some(weight.as_slice());
        close(multiclass_log_loss(&labels, &both, 2, w), log_loss(&labels, &p, w))?;
        close(multiclass_brier(&labels, &both, 2, w), brier(&labels, &p, w).map(|b| 2.0 * b))?;
        close(macro_auc(&labels, &both, 2, w), auc(&labels, &p, w))?;
    }
}

#[test]
fn known_values() {
    let labels = [0.0, 0.0, 1.0, 1.0];
    let scores = [0.1, 0.4, 0.35, 0.8];
    assert_eq!(auc(&labels, &scores, None), Some(0.75));
    let ap = average_precision(&labels, &scores, None).unwrap();
    assert!((ap - 0.833_333_333_333_333_3).abs() < 1e-15);
    assert_eq!(at_depth(&labels, &scores, None, 0.5).unwrap().precision, 0.5);
    assert_eq!(lift_at_depth(&labels, &scores, None, 0.25), Some(2.0));
    assert_eq!(recall_at_depth(&labels, &scores, None, 0.25), Some(0.5));
    assert_eq!(prior_log_loss(&labels, None), Some(std::f64::consts::LN_2));
    assert_eq!(r2(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], None), Some(1.0));
    let turned = normalized_gini(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0], None).unwrap();
    assert!((turned + 1.0).abs() < 1e-14);
    assert_eq!(multiclass_accuracy(&[0.0, 1.0], &[0.5, 0.5, 0.4, 0.6], 2, None), Some(1.0));
}

#[test]
fn curve_ends_at_everything() {
    let points = curve(&[0.0, 1.0, 1.0], &[0.2, 0.2, 0.9], None).unwrap();
    assert_eq!(points.len(), 2);
    assert_eq!((points[0].depth, points[0].recall, points[0].fall_out), (1.0 / 3.0, 0.5, 0.0));
    let last = points[1];
    assert_eq!(
        (last.depth, last.recall, last.fall_out, last.precision),
        (1.0, 1.0, 1.0, 2.0 / 3.0)
    );
}

#[test]
fn calibration_error_by_hand() {
    // Two bins of two: |0.15 - 0| and |0.85 - 0.5|.
    let error = calibration_error(&[0.0, 0.0, 0.0, 1.0], &[0.1, 0.2, 0.8, 0.9], None, 2).unwrap();
    assert!((error - 0.25).abs() < 1e-15);
    // One common probability fills a bin alone and stays whole.
    let bins = calibration_bins(&[1.0, 0.0, 1.0, 0.0], &[0.5, 0.5, 0.5, 0.9], None, 4).unwrap();
    assert_eq!(bins.len(), 2);
}

#[test]
fn values_that_do_not_exist() {
    let ones = [1.0, 1.0];
    assert_eq!(auc(&ones, &[0.1, 0.2], None), None);
    assert_eq!(curve(&ones, &[0.1, 0.2], None), None);
    assert_eq!(average_precision(&[0.0, 0.0], &[0.1, 0.2], None), None);
    assert_eq!(auc(&[0.0, 1.0], &[f64::NAN, 0.2], None), None);
    assert_eq!(log_loss(&[], &[], None), None);
    assert_eq!(log_loss(&[1.0], &[f64::NAN], None), None);
    assert_eq!(brier(&[1.0], &[0.5], Some(&[0.0])), None);
    assert_eq!(r2(&ones, &[1.0, 2.0], None), None);
    assert_eq!(spearman(&ones, &[1.0, 2.0], None), None);
    assert_eq!(normalized_gini(&[-1.0, 2.0], &[1.0, 2.0], None), None);
    assert_eq!(at_depth(&[1.0], &[0.5], None, 0.0), None);
    assert_eq!(at_depth(&[0.0], &[0.5], None, 1.0).unwrap().lift, None);
    assert_eq!(macro_auc(&[0.0, 0.0], &[0.5, 0.5, 0.4, 0.6], 2, None), None);
    assert!(log_loss(&[1.0], &[0.0], None).unwrap().is_finite());
}

#[test]
fn nothing_known_is_not_a_score() {
    let (labels, p) = ([0.0, 1.0, f64::NAN], [0.2, 0.9, 0.5]);
    assert_eq!(log_loss(&labels, &p, None), None);
    assert_eq!(accuracy(&labels, &p, None, 0.5), None);
    assert_eq!(brier(&labels, &p, None), None);
    assert_eq!(macro_auc(&[0.0, 1.0], &[0.5, 0.5, f64::NAN, 0.6], 2, None), None);
    assert_eq!(multiclass_accuracy(&[0.0, 1.0], &[0.5, 0.5, f64::NAN, 0.6], 2, None), None);
    // Rows of weight 0 count for nothing, whatever they hold.
    let weight = Some(&[1.0, 1.0, 0.0][..]);
    assert_eq!(accuracy(&labels, &p, weight, 0.5), Some(1.0));
    assert!(log_loss(&labels, &p, weight).is_some());
    assert_eq!(accuracy(&[0.0, 1.0, 1.0], &[0.2, 0.9, f64::NAN], weight, 0.5), Some(1.0));
    let three = [0.8, 0.2, 0.1, 0.9, f64::NAN, 0.5];
    assert_eq!(multiclass_accuracy(&[0.0, 1.0, 1.0], &three, 2, weight), Some(1.0));
    assert_eq!(macro_auc(&[0.0, 1.0, 1.0], &three, 2, weight), Some(1.0));
    assert!(normalized_gini(&[1.0, 2.0, -1.0], &[1.0, 2.0, 3.0], weight).is_some());
}

#[test]
fn equal_values_have_no_variance_whatever_the_rounding() {
    // The mean of three times 0.1 is not 0.1.
    for n in 1..40 {
        let (equal, weight) = (vec![0.1; n], vec![0.1; n]);
        let other: Vec<f64> = (0..n).map(|row| row as f64).collect();
        for weight in [None, Some(weight.as_slice())] {
            assert_eq!(r2(&equal, &other, weight), None);
            assert_eq!(spearman(&equal, &other, weight), None);
            assert_eq!(spearman(&other, &equal, weight), None);
            assert_eq!(normalized_gini(&equal, &other, weight), None);
        }
    }
}

#[test]
fn a_hair_of_weight_does_not_make_a_bin_too_many() {
    let (labels, p) = ([0.0, 1.0, 1.0], [0.1, 0.5, 0.9]);
    let bins = calibration_bins(&labels, &p, Some(&[1.0, 1.0, 1e-14]), 2).unwrap();
    assert_eq!((bins.len(), bins[1].highest), (2, 0.9));
}

#[test]
#[should_panic(expected = "one value a row")]
fn lengths_that_differ_are_a_mistake() {
    let _ = prior_log_loss(&[1.0], Some(&[1.0, 1.0]));
}

#[test]
fn signed_zeros_are_one_tie() {
    assert_eq!(auc(&[0.0, 1.0], &[0.0, -0.0], None), Some(0.5));
    assert_eq!(auc(&[1.0, 0.0, 1.0], &[0.0, -0.0, 0.0], None), Some(0.5));
}
