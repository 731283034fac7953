use std::sync::Arc;

use proptest::prelude::*;
use segue_dataset::{Feature, RowKeys, Schema, Target};

use super::*;

/// A dataset with one column a feature vector, users `u0, u0, u1, u1, …` when `pairs`.
pub(crate) fn dataset(kind: TargetKind, labels: Vec<f64>, columns: Vec<Vec<f64>>) -> Dataset {
    let features = (0..columns.len()).map(|column| Feature::number(format!("f{column}")));
    let schema = Arc::new(Schema::new(features.collect()).unwrap());
    let n_rows = labels.len();
    let user = (0..n_rows).map(|row| Arc::from(format!("u{}", row / 2))).collect();
    let keys = RowKeys { user, t: Vec::new() };
    let target = Target { kind, values: labels };
    Dataset::new(schema, Matrix::from_columns(n_rows, columns), target, None, keys).unwrap()
}

pub(crate) fn inputs<'a>(
    train: &'a Dataset,
    test: &'a Dataset,
    predictions: &'a Matrix,
) -> EvaluationInputs<'a> {
    EvaluationInputs {
        train,
        test,
        predictions,
        uncalibrated: None,
        slices: Vec::new(),
        others: Vec::new(),
        segments: None,
        importance: Vec::new(),
        contributions: None,
        rejects: Vec::new(),
        options: EvaluationOptions { max_resamples: 60, ..EvaluationOptions::default() },
    }
}

fn one(values: Vec<f64>) -> Matrix {
    Matrix::from_columns(values.len(), vec![values])
}

/// A cheap spread of numbers in [0, 1), the same every time.
pub(crate) fn unit(index: usize) -> f64 {
    ((index as f64 + 1.0) * 0.618_033_988_749_895).fract()
}

/// Probabilities that are right, labels drawn from them, a feature that knows half of it.
pub(crate) fn calibrated(n_rows: usize) -> (Dataset, Matrix) {
    let probability: Vec<f64> = (0..n_rows).map(|row| 0.05 + 0.9 * unit(row)).collect();
    let labels =
        (0..n_rows).map(|row| f64::from(u8::from(unit(row * 7 + row / 13 + 3) < probability[row])));
    let noisy = (0..n_rows).map(|row| probability[row] + 1.5 * unit(row * 31 + row / 5)).collect();
    let noise = (0..n_rows).map(|row| unit(row * 17 + row / 3)).collect();
    (dataset(TargetKind::Binary, labels.collect(), vec![noisy, noise]), one(probability))
}

fn value(scorecard: &Scorecard, metric: Metric) -> f64 {
    scorecard[&metric].value.unwrap()
}

#[test]
fn binary_figures_are_those_counted_by_hand() {
    let labels = vec![1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let scores = vec![0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05];
    let test = dataset(TargetKind::Binary, labels, vec![(0..10).map(f64::from).collect()]);
    let evaluation = Evaluation::of(&inputs(&test, &test, &one(scores))).unwrap();
    let card = &evaluation.scorecard;
    // One of the 16 pairs of a positive and a negative is the wrong way round.
    assert!((value(card, Metric::Auc) - 15.0 / 16.0).abs() < 1e-12);
    assert!((value(card, Metric::AveragePrecision) - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
    assert!((value(card, Metric::PrecisionAt20) - 0.5).abs() < 1e-12);
    assert!((value(card, Metric::LiftAt20) - 2.5).abs() < 1e-12);
    let Detail::Binary { curve, audience, gain, .. } = &evaluation.detail else { panic!() };
    assert_eq!(curve.as_ref().unwrap().roc.first(), Some(&(0.0, 0.0)));
    assert_eq!(curve.as_ref().unwrap().roc.last(), Some(&(1.0, 1.0)));
    let at = |share: f64| audience.iter().find(|row| row.share == share).unwrap();
    let row = at(0.30);
    // Rows 0 to 2 belong to users 0, 0 and 1.
    assert_eq!((row.n_rows, row.n_users, row.threshold), (3, 2, 0.7));
    assert_eq!((row.true_positives, row.false_positives, row.recall), (2.0, 1.0, Some(1.0)));
    assert_eq!(at(1.0).n_users, 5);
    assert_eq!((gain[1].share, gain[1].gain), (0.1, 0.5));
    assert_eq!(evaluation.test.n_positives, 2);
}

#[test]
fn ties_at_the_border_are_all_taken() {
    let labels = vec![1.0, 0.0, 0.0, 1.0];
    let test = dataset(TargetKind::Binary, labels, vec![vec![0.0; 4]]);
    let evaluation = Evaluation::of(&inputs(&test, &test, &one(vec![0.5; 4]))).unwrap();
    let Detail::Binary { audience, histogram, line, .. } = &evaluation.detail else { panic!() };
    assert!(audience.iter().all(|row| row.n_rows == 4 && row.precision == 0.5));
    assert!(histogram.is_empty() && line.is_none());
    assert_eq!(value(&evaluation.scorecard, Metric::Auc), 0.5);
}

#[test]
fn regression_and_class_figures_are_those_counted_by_hand() {
    let labels = vec![0.0, 1.0, 2.0, 10.0];
    let test = dataset(TargetKind::Regression, labels, vec![vec![1.0, 2.0, 3.0, 4.0]]);
    let evaluation = Evaluation::of(&inputs(&test, &test, &one(vec![1.0, 2.0, 3.0, 9.0]))).unwrap();
    let card = &evaluation.scorecard;
    assert_eq!((value(card, Metric::Rmse), value(card, Metric::Mae)), (1.0, 1.0));
    assert!((value(card, Metric::Spearman) - 1.0).abs() < 1e-12);
    assert!((value(card, Metric::Gini) - 1.0).abs() < 1e-12);
    // A tenth of four rows is four tenths of the best one.
    assert!((value(card, Metric::TopDecileShare) - 0.4 * 10.0 / 13.0).abs() < 1e-12);
    let Detail::Regression { deciles, .. } = &evaluation.detail else { panic!() };
    assert_eq!(deciles.first().map(|bin| (bin.predicted, bin.observed)), Some((1.0, 0.0)));

    let classes = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let kind = TargetKind::Multiclass { classes };
    let test = dataset(kind, vec![0.0, 1.0, 1.0, 0.0], vec![vec![0.0; 4]]);
    let columns = vec![vec![0.5, 0.25, 0.5, 0.5], vec![0.25, 0.5, 0.25, 0.25], vec![0.25; 4]];
    let predictions = Matrix::from_columns(4, columns);
    let evaluation = Evaluation::of(&inputs(&test, &test, &predictions)).unwrap();
    assert_eq!(value(&evaluation.scorecard, Metric::Accuracy), 0.75);
    let loss = (3.0 * 2.0_f64.ln() + 4.0_f64.ln()) / 4.0;
    assert!((value(&evaluation.scorecard, Metric::LogLoss) - loss).abs() < 1e-12);
    let Detail::Multiclass { classes, confusion } = &evaluation.detail else { panic!() };
    assert_eq!(confusion[0], [2.0, 0.0, 0.0]);
    assert_eq!(confusion[1], [1.0, 1.0, 0.0]);
    assert_eq!(classes[2].auc, Estimate::default());
    assert_eq!((classes[2].n_rows, classes[2].precision, classes[2].recall), (0, None, None));
}

#[test]
fn intervals_hold_their_value_and_do_not_depend_on_threads() {
    let (test, predictions) = calibrated(600);
    let inputs = inputs(&test, &test, &predictions);
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let together = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let first = alone.install(|| Evaluation::of(&inputs)).unwrap();
    assert_eq!(first, together.install(|| Evaluation::of(&inputs)).unwrap());
    let advantages = first.comparisons.iter().flat_map(|c| c.advantage.values());
    for estimate in first.scorecard.values().chain(advantages) {
        let (value, (low, high)) = (estimate.value.unwrap(), estimate.interval.unwrap());
        assert!(low <= value && value <= high, "{estimate:?}");
    }
    let (low, high) = first.scorecard[&Metric::Auc].interval.unwrap();
    assert!(high - low > 0.01 && high - low < 0.2);
    let other = EvaluationOptions { seed: 1, ..inputs.options.clone() };
    let other = Evaluation::of(&EvaluationInputs { options: other, ..inputs }).unwrap();
    assert_ne!(first.scorecard[&Metric::Auc].interval, other.scorecard[&Metric::Auc].interval);
    assert_eq!(first.scorecard[&Metric::Auc].value, other.scorecard[&Metric::Auc].value);
}

#[test]
fn rows_of_one_user_widen_the_interval() {
    // Every row four times over: as many rows as users, or a quarter of the users.
    let (one_each, predictions) = calibrated(400);
    let rows: Vec<u32> = (0..1600).map(|row| row % 400).collect();
    let repeated = one_each.select(&rows);
    let known = Evaluation::of(&inputs(&one_each, &repeated, &predictions.select(&rows))).unwrap();
    let unknown = Dataset::new(
        Arc::clone(repeated.schema()),
        repeated.features().clone(),
        repeated.target().clone(),
        None,
        RowKeys::default(),
    );
    let unknown = unknown.unwrap();
    let unknown = Evaluation::of(&inputs(&one_each, &unknown, &predictions.select(&rows))).unwrap();
    let width = |evaluation: &Evaluation| {
        let (low, high) = evaluation.scorecard[&Metric::Auc].interval.unwrap();
        high - low
    };
    assert!(known.bootstrap.by_user && !unknown.bootstrap.by_user);
    assert!(width(&known) > 1.4 * width(&unknown), "{} {}", width(&known), width(&unknown));
}

#[test]
fn good_probabilities_are_called_good_and_bad_ones_bad() {
    let (test, predictions) = calibrated(4000);
    let evaluation = Evaluation::of(&inputs(&test, &test, &predictions)).unwrap();
    let Detail::Binary { line: Some(line), .. } = evaluation.detail else { panic!() };
    assert!((line.slope - 1.0).abs() < 0.15 && line.intercept.abs() < 0.15, "{line:?}");
    let single = &evaluation.comparisons[1];
    assert_eq!((single.contender, single.name.as_str()), (Contender::SingleFeature, "f0"));
    assert!(single.advantage[&Metric::Auc].interval.unwrap().0 > 0.0);
    let says = |evaluation: &Evaluation, level: Level, text: &str| {
        evaluation.verdicts.iter().any(|v| v.level == level && v.text.contains(text))
    };
    assert!(says(&evaluation, Level::Good, "beats the best single feature (f0) by"));

    let upside_down = one(predictions.column(0).iter().map(|p| 1.0 - p).collect());
    let evaluation = Evaluation::of(&inputs(&test, &test, &upside_down)).unwrap();
    assert!(says(&evaluation, Level::Bad, "no better than chance"));
    assert!(says(&evaluation, Level::Bad, "is worse than the best single feature (f0)"));
    assert!(says(&evaluation, Level::Warning, "above 0.02"));
    assert_eq!(evaluation.recommendation, Recommendation::DoNotPromote);
}

#[test]
fn a_slice_of_one_class_has_no_auc_and_says_so() {
    let (test, predictions) = calibrated(400);
    let labels = test.target().values.iter().enumerate();
    let labels: Vec<String> =
        labels.map(|(row, y)| if *y > 0.5 && row < 200 { "paid" } else { "free" }.into()).collect();
    let slices = vec![SliceColumn { name: "plan".into(), labels }];
    let inputs = EvaluationInputs { slices, ..inputs(&test, &test, &predictions) };
    let evaluation = Evaluation::of(&inputs).unwrap();
    let rows = &evaluation.slices[0].rows;
    assert_eq!(rows.iter().map(|row| &*row.label).collect::<Vec<_>>(), ["free", "paid"]);
    assert_eq!(rows[1].scorecard[&Metric::Auc], Estimate::default());
    assert!(rows[1].scorecard[&Metric::LogLoss].value.is_some());
    assert!(!evaluation.slice_metrics()["plan=paid"].contains_key("auc"));
    assert_eq!(rows[0].n_rows + rows[1].n_rows, 400);
}

#[test]
fn segments_too_small_are_named() {
    let (test, predictions) = calibrated(400);
    let of_row = (0..400).map(|row| match row {
        0..20 => Some(0),
        20..300 => Some(1),
        _ => None,
    });
    let names = vec!["tiny".to_owned(), "large".to_owned(), "nobody".to_owned()];
    let segments = Some(SegmentAssignment { names, of_row: of_row.collect() });
    let inputs = EvaluationInputs { segments, ..inputs(&test, &test, &predictions) };
    let evaluation = Evaluation::of(&inputs).unwrap();
    let [tiny, large, nobody, rest] = &evaluation.segments[..] else { panic!() };
    assert_eq!((tiny.n_rows, tiny.n_users, tiny.share), (20, 10, 0.05));
    assert!(tiny.too_small.is_some() && large.too_small.is_none() && nobody.outcome.is_none());
    assert_eq!((rest.name.as_ref(), rest.n_rows, rest.too_small.as_ref()), (None, 100, None));
    let (low, high) = large.interval.unwrap();
    assert!(low < large.outcome.unwrap() && large.outcome.unwrap() < high);
    assert!(evaluation.verdicts.iter().any(|v| v.text.starts_with("segment tiny: too small")));
}

#[test]
fn drift_quality_and_attributions_are_those_counted_by_hand() {
    let steady: Vec<f64> = (0..200).map(|row| f64::from(row % 10)).collect();
    let labels: Vec<f64> = (0..200).map(|row| f64::from(u8::from(row % 3 == 0))).collect();
    let columns = vec![steady.clone(), vec![5.0; 200], steady.clone()];
    let train = dataset(TargetKind::Binary, labels.clone(), columns);
    let moved = steady.iter().map(|value| value + 5.0).collect();
    let gone = vec![f64::NAN; 200];
    let test = dataset(TargetKind::Binary, labels, vec![moved, vec![5.0; 200], gone]);
    let predictions = one((0..200).map(unit).collect());
    let values = Matrix::from_columns(3, vec![vec![-1.0, 1.0, 0.5], vec![0.0; 3], vec![0.1; 3]]);
    let contributions = Some(ContributionSample { rows: vec![0, 9, 7], values });
    let inputs = EvaluationInputs { contributions, ..inputs(&train, &test, &predictions) };
    let evaluation = Evaluation::of(&inputs).unwrap();
    let order: Vec<&str> = evaluation.drift.iter().map(|drift| &*drift.feature).collect();
    assert_eq!(order, ["f2", "f0", "f1"]);
    assert!(evaluation.drift[1].psi > 1.0 && evaluation.drift[2].psi == 0.0);
    let quality = &evaluation.quality;
    assert_eq!((quality[0].n_distinct, quality[0].constant), (10, false));
    assert!(quality[1].constant && !quality[2].constant);
    assert_eq!((quality[2].missing_train, quality[2].missing_test), (0.0, 1.0));
    assert!(evaluation.verdicts.iter().any(|v| v.text.starts_with("feature f2 went missing")));
    let [first, second] = &evaluation.attributions[..] else { panic!() };
    assert!((first.mean_absolute - 2.5 / 3.0).abs() < 1e-12 && first.feature == "f0");
    assert_eq!(first.direction, Some(1.0));
    assert_eq!(
        first.points.iter().map(|p| p.rank).collect::<Vec<_>>(),
        [Some(0.0), Some(1.0), Some(0.5)]
    );
    assert_eq!((second.direction, second.points[0].rank), (None, None));
}

#[test]
fn wilson_is_the_published_interval() {
    // Newcombe 1998, table I: 81 of 263, and 0 of 20.
    let (low, high) = wilson_interval(81.0 / 263.0, 263.0);
    assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5);
    let (low, high) = wilson_interval(0.0, 20.0);
    assert!(low == 0.0 && (high - 0.1611).abs() < 5e-5);
}

#[test]
fn a_category_without_training_rows_has_the_overall_mean() {
    let vocabulary = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let schema = Arc::new(Schema::new(vec![Feature::category("plan", vocabulary)]).unwrap());
    let of = |codes: Vec<f64>, labels: Vec<f64>| {
        let target = Target { kind: TargetKind::Binary, values: labels };
        let matrix = Matrix::from_columns(codes.len(), vec![codes]);
        Dataset::new(Arc::clone(&schema), matrix, target, None, RowKeys::default()).unwrap()
    };
    // 100 rows of "a", one in five positive, and 100 of "c", four in five
    let codes = (0..200).map(|row| if row < 100 { 0.0 } else { 2.0 }).collect();
    let labels = (0..200).map(|row| f64::from(u8::from((row % 5 == 0) == (row < 100)))).collect();
    let train = of(codes, labels);
    let test = of(vec![0.0, 1.0, 2.0, 3.0, segue_dataset::UNSEEN_CATEGORY], vec![0.0; 5]);
    let single = best_single_feature(&train, &test).unwrap();
    let (low, high) = ((20.0 + 10.0) / 120.0, (80.0 + 10.0) / 120.0);
    for (value, expected) in single.outputs.column(0).iter().zip([low, 0.5, high, 0.5, 0.5]) {
        assert!((value - expected).abs() < 1e-12, "{:?}", single.outputs);
    }
}

#[test]
fn a_hump_is_found_by_bins_and_a_line_as_it_is() {
    let hump: Vec<f64> = (0..2000).map(|row| unit(row) * 2.0 - 1.0).collect();
    let labels = hump.iter().map(|x| f64::from(u8::from(x.abs() < 0.3))).collect();
    let noise: Vec<f64> = (0..2000).map(|row| unit(row * 3 + row / 7)).collect();
    let train = dataset(TargetKind::Binary, labels, vec![noise.clone(), hump]);
    let best = best_single_feature(&train, &train).unwrap();
    assert_eq!((best.column, best.has_scale), (1, true));
    assert!(best.train_value > 0.95);

    let labels = noise.iter().map(|x| f64::from(u8::from(*x < 0.4))).collect();
    let train = dataset(TargetKind::Binary, labels, vec![noise]);
    let best = best_single_feature(&train, &train).unwrap();
    assert_eq!((best.has_scale, best.train_value), (false, 1.0));
    assert!(best.outputs.column(0).iter().all(|score| *score <= 0.0));
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let (test, predictions) = calibrated(40);
    let short = one(vec![0.5; 39]);
    let error = Evaluation::of(&inputs(&test, &test, &short)).unwrap_err();
    assert_eq!(error.to_string(), "the predictions is 39 x 1, the test part needs 40 x 1");
    let mut broken = vec![0.5; 40];
    broken[7] = f64::NAN;
    let error = Evaluation::of(&inputs(&test, &test, &one(broken))).unwrap_err();
    assert!(matches!(error, EvaluationError::NotFinite { row: 7, .. }));
    let segments = Some(SegmentAssignment { names: vec!["a".into()], of_row: vec![Some(1); 40] });
    let inputs = EvaluationInputs { segments, ..inputs(&test, &test, &predictions) };
    assert!(matches!(Evaluation::of(&inputs), Err(EvaluationError::OutOfRange { got: 1, .. })));
}

#[test]
fn survives_its_own_json() {
    let (test, predictions) = calibrated(200);
    let evaluation = Evaluation::of(&inputs(&test, &test, &predictions)).unwrap();
    let json = serde_json::to_string(&evaluation).unwrap();
    assert_eq!(serde_json::from_str::<Evaluation>(&json).unwrap(), evaluation);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(11),
        ..ProptestConfig::default()
    })]

    /// Few rows, ties, one class, constant columns: nothing panics, every share is a share.
    #[test]
    fn nothing_panics_on_small_and_degenerate_rows(
        rows in prop::collection::vec((0u8..2, 0u8..4, prop::option::of(0u8..3)), 0..24),
    ) {
        let labels: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
        let predictions = one(rows.iter().map(|row| f64::from(row.1) / 4.0).collect());
        let column = rows.iter().map(|row| row.2.map_or(f64::NAN, f64::from)).collect();
        let test = dataset(TargetKind::Binary, labels, vec![column]);
        let mut inputs = inputs(&test, &test, &predictions);
        inputs.options.max_resamples = 20;
        inputs.slices =
            vec![SliceColumn { name: "s".into(), labels: rows.iter().map(|r| r.1.to_string()).collect() }];
        let evaluation = Evaluation::of(&inputs).unwrap();
        for (metric, estimate) in &evaluation.scorecard {
            if let Some(value) = estimate.value {
                let (low, high) = metric.bounds();
                prop_assert!(low <= value && value <= high);
            }
        }
        let Detail::Binary { audience, reliability, .. } = &evaluation.detail else { panic!() };
        let weight: f64 = reliability.iter().map(|bin| bin.weight).sum();
        prop_assert!((weight - rows.len() as f64).abs() < 1e-9);
        prop_assert!(audience.windows(2).all(|pair| pair[0].n_rows <= pair[1].n_rows));
        prop_assert!(audience.last().is_none_or(|row| row.n_rows == rows.len()));
    }
}

#[test]
fn out_of_bag_figures_are_of_the_rows_that_some_tree_did_not_draw() {
    let nan = f64::NAN;
    let labels = vec![1.0, 0.0, 1.0, 0.0, 1.0];
    let train = dataset(TargetKind::Binary, labels, vec![vec![0.0; 5]]);
    let figures = OutOfBagFigures::of(&train, &[0.8, 0.5, 0.5, 0.2, nan]);
    assert_eq!(figures.n_rows, 4);
    // Of the four pairs of a positive and a negative three are in order and one is a tie.
    assert!((figures.metrics[&Metric::Auc] - 3.5 / 4.0).abs() < 1e-12);
    let log_loss = -(0.8f64.ln() + 0.5f64.ln()) / 2.0;
    assert!((figures.metrics[&Metric::LogLoss] - log_loss).abs() < 1e-12);
    let mut evaluation = Evaluation::of(&inputs(&train, &train, &one(vec![0.5; 5]))).unwrap();
    assert!(!evaluation.metrics().keys().any(|name| name.starts_with("out_of_bag")));
    evaluation.out_of_bag = Some(figures);
    let named = evaluation.metrics();
    assert_eq!((named["out_of_bag_rows"], named["out_of_bag_auc"]), (4.0, 3.5 / 4.0));
    assert!(named.contains_key("out_of_bag_log_loss") && named.contains_key("auc"));
    let train = dataset(TargetKind::Regression, vec![1.0, 2.0, 5.0], vec![vec![0.0; 3]]);
    let figures = OutOfBagFigures::of(&train, &[4.0, nan, 1.0]);
    assert_eq!((figures.n_rows, figures.metrics[&Metric::Rmse]), (2, 12.5f64.sqrt()));
    let none = OutOfBagFigures::of(&train, &[nan; 3]);
    assert_eq!((none.n_rows, none.metrics.len()), (0, 0));
}
