use segue_dataset::{Matrix, TargetKind};

use super::*;
use crate::evaluation::tests::{calibrated, dataset, inputs, unit};
use crate::evaluation::{
    ContributionSample, EvaluationInputs, Metric, OtherLearner, OutOfBagFigures, SegmentAssignment,
    SliceColumn,
};

const EVIL: &str = "<script>alert('x')</script>&\"";

fn page(evaluation: &Evaluation, text: &str) -> String {
    let words = [("f0".to_owned(), text.to_owned())].into();
    let span_us = Some((1_767_225_600_000_000, 1_769_904_000_000_000));
    render(&ReportInputs {
        model: text,
        task: text,
        question: text,
        learner: text,
        span_us,
        parts: vec![PartSpan {
            name: text.to_owned(),
            n_rows: 12_345,
            n_users: Some(678),
            mean_label: Some(0.25),
            span_us,
        }],
        evaluation,
        words: &words,
        reproducibility: vec![(text.to_owned(), text.to_owned())],
    })
}

fn full(text: &str) -> Evaluation {
    let (test, predictions) = calibrated(300);
    let rows: Vec<u32> = (0..60).collect();
    let column = |scale: f64| (0..60).map(|row| scale * (unit(row) - 0.5)).collect();
    let evaluation = Evaluation::of(&EvaluationInputs {
        slices: vec![SliceColumn { name: text.to_owned(), labels: vec![text.to_owned(); 300] }],
        others: vec![OtherLearner {
            name: text.to_owned(),
            predictions: predictions.clone(),
            note: text.to_owned(),
        }],
        segments: Some(SegmentAssignment {
            names: vec![text.to_owned()],
            of_row: (0..300).map(|row| (row < 10).then_some(0)).collect(),
        }),
        importance: vec![("f0".to_owned(), 0.7), (text.to_owned(), 0.3)],
        contributions: Some(ContributionSample {
            rows,
            values: Matrix::from_columns(60, vec![column(1.0), column(0.2)]),
        }),
        rejects: vec![(text.to_owned(), 5)],
        uncalibrated: Some(&predictions),
        ..inputs(&test, &test, &predictions)
    });
    evaluation.unwrap()
}

#[test]
fn every_text_from_data_is_escaped() {
    let html = page(&full(EVIL), EVIL);
    assert!(!html.contains("<script"));
    assert!(!html.contains("alert('x')</"));
    // In text by maud and in plots by plotters.
    assert!(html.contains("&lt;script&gt;"));
    // Titles, facts, words, slices, segments, learners, rejects, reproducibility, plots.
    assert!(html.matches("&lt;script&gt;").count() > 15);
}

#[test]
fn every_section_is_there_once() {
    let html = page(&full("plain"), "plain");
    let ids = [
        "summary",
        "verdicts",
        "comparison",
        "ranking",
        "calibration",
        "lift",
        "audience",
        "scores",
        "importance",
        "shap",
        "slices",
        "segments",
        "drift",
        "quality",
        "reproducibility",
        "plot-roc",
        "plot-pr",
        "plot-reliability",
        "plot-gain",
        "plot-lift",
        "plot-audience",
        "plot-scores",
        "plot-importance",
        "plot-shap",
        "plot-drift",
    ];
    for id in ids {
        assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
    assert!(html.contains("12\u{202f}345 rows, 678 users, 25.0\u{202f}% positive"));
    assert!(html.contains("2026-01-01 to 2026-02-01"));
}

#[test]
fn a_forest_has_its_training_rows_beside_the_test() {
    let mut evaluation = full("plain");
    assert!(!page(&evaluation, "plain").contains("out-of-bag"));
    let metrics = [(Metric::Auc, 0.8125), (Metric::LogLoss, 0.4567)].into();
    evaluation.out_of_bag = Some(OutOfBagFigures { n_rows: 9_876, metrics });
    let html = page(&evaluation, "plain");
    assert_eq!(html.matches(" id=\"out-of-bag\"").count(), 1);
    for text in ["training rows, out of bag", "9\u{202f}876", "0.813", "0.457"] {
        assert!(html.contains(text), "{text}");
    }
    assert!(html.contains("test rows, before calibration"));
}

#[test]
fn nothing_is_fetched_and_every_plot_has_words() {
    let html = page(&full("plain"), "plain");
    let without_names = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for request in ["http://", "https://", "src=", "href=", "url(", "@import", "<link", "<script"] {
        assert!(!without_names.contains(request), "{request}");
    }
    let n_plots = html.matches("<svg ").count();
    assert!(n_plots >= 10);
    for tag in ["</svg>", "role=\"img\"", "</desc>", "aria-labelledby=\"plot-"] {
        assert_eq!(html.matches(tag).count(), n_plots, "{tag}");
    }
    assert!(!html.contains("could not be drawn") && !html.contains("NaN"));
}

#[test]
fn what_is_not_defined_says_so() {
    for labels in [vec![], vec![0.0; 5], vec![1.0; 5]] {
        let n_rows = labels.len();
        let test = dataset(TargetKind::Binary, labels, vec![vec![f64::NAN; n_rows]]);
        let predictions = Matrix::from_columns(n_rows, vec![vec![0.5; n_rows]]);
        let slices = vec![SliceColumn { name: "s".into(), labels: vec!["a".into(); n_rows] }];
        let inputs = EvaluationInputs { slices, ..inputs(&test, &test, &predictions) };
        let html = page(&Evaluation::of(&inputs).unwrap(), "plain");
        assert!(html.contains("not defined"));
        assert!(html.contains("AUC is not defined"));
        assert!(html.contains("Not as it is."));
        assert!(!html.contains("NaN") && !html.contains("could not be drawn"));
    }
}

#[test]
fn classes_and_values_have_their_own_sections() {
    let classes = vec!["one".to_owned(), EVIL.to_owned()];
    let labels: Vec<f64> = (0..60).map(|row| f64::from(row % 2)).collect();
    let column = vec![(0..60).map(unit).collect::<Vec<f64>>()];
    let test = dataset(TargetKind::Multiclass { classes }, labels, column.clone());
    let first: Vec<f64> = (0..60).map(unit).collect();
    let second = first.iter().map(|p| 1.0 - p).collect();
    let predictions = Matrix::from_columns(60, vec![first.clone(), second]);
    let html = page(&Evaluation::of(&inputs(&test, &test, &predictions)).unwrap(), "plain");
    for id in ["classes", "confusion", "calibration", "plot-reliability-1"] {
        assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
    assert!(!html.contains("<script"));

    let values: Vec<f64> = (0..60).map(|row| unit(row * 3) * 5000.0 - 100.0).collect();
    let test = dataset(TargetKind::Regression, values, column);
    let predictions = Matrix::from_columns(60, vec![first]);
    let html = page(&Evaluation::of(&inputs(&test, &test, &predictions)).unwrap(), "plain");
    for id in ["calibration", "lift", "plot-deciles", "plot-gain"] {
        assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
    // Negative values have no share of the whole.
    assert!(html.contains("there is nothing to gain"));
}

#[test]
fn numbers_read_well() {
    use numbers::{count, number, percent, shorten, tick};
    assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    assert_eq!(count(999), "999");
    assert_eq!(
        (number(0.0123), number(12.34), number(-4321.9)),
        ("0.012".to_owned(), "12.3".to_owned(), "-4\u{202f}322".to_owned())
    );
    assert_eq!((tick(5.0), tick(-0.0), tick(250.0)), ("5".into(), "0".into(), "250".into()));
    assert_eq!(
        (percent(0.1234), percent(0.0004)),
        ("12.3\u{202f}%".to_owned(), "0.04\u{202f}%".to_owned())
    );
    assert_eq!(shorten("abcdefghij", 10), "abcdefghij");
    assert_eq!(shorten("äbcdefghijk", 7), "äbc…ijk");
    let rising = [0.004, 0.03, 0.2, 1.0, 7.0, 4200.0];
    assert!(rising.iter().all(|&v| (v..=2.0 * v).contains(&canvas::round_up(v))));
}
