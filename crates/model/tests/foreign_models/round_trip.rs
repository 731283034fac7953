//! There and back.

use segue_model::exchange::{Format, export, import};

use crate::support::{coded, fixtures, read, table};

/// Every published model, written in every format and read back, scores as before.
#[test]
fn published_models_survive_the_way_there_and_back() {
    let Some(fixtures) = fixtures() else { return };
    for (file, input) in [
        ("leaves/lg_breast_cancer.txt", Some("leaves/lg_breast_cancer_data.txt")),
        ("leaves/lg_dart_breast_cancer.model", Some("leaves/breast_cancer_test.tsv")),
        ("leaves/lg_kddcup99.model", Some("leaves/kddcup99_test.tsv")),
        ("leaves/lgmulticlass.model", None),
        ("leaves/lg_rf_iris.model", None),
        (
            "leaves/genlin_fmtp_poisson_Frequency.model",
            Some("leaves/genlin_fmtp_poisson_Frequency_features.tsv"),
        ),
        ("lleaves/NYC_taxi/model.txt", None),
        ("lleaves/mixed_categorical/model.txt", None),
        ("treelite/toy_categorical/toy_categorical_model.txt", None),
    ] {
        let model = read(&fixtures.join(file)).into_model("fixture").unwrap();
        let n_columns = model.schema().len();
        let mut rows = match input {
            Some(input) => table(&fixtures.join(input)),
            // small numbers that are categories, too
            None => (0..200u32)
                .map(|row| {
                    (0..n_columns as u32)
                        .map(|at| f64::from((row * 7 + at * 13) % 11) / 2.0)
                        .collect()
                })
                .collect(),
        };
        rows.push(vec![f64::NAN; n_columns]);
        for format in [Format::LightGbm, Format::Onnx, Format::XgboostJson] {
            let exported = export(&model, format, false).unwrap();
            let back = import(&exported.bytes, None).unwrap().into_model("back").unwrap();
            let (mut found, mut expected) =
                (vec![0.0; model.n_outputs()], vec![0.0; model.n_outputs()]);
            for row in &rows {
                let row = coded(&model, row);
                if format == Format::XgboostJson {
                    let row: Vec<f64> = row.iter().map(|&value| f64::from(value as f32)).collect();
                    back.ensemble().margins(&row, &mut found);
                    model.ensemble().margins(&row, &mut expected);
                    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
                    assert!(
                        found.iter().zip(&expected).all(near),
                        "{file} {format}: {found:?} {expected:?}"
                    );
                } else {
                    back.ensemble().margins(&row, &mut found);
                    model.ensemble().margins(&row, &mut expected);
                    assert_eq!(found, expected, "{file} {format} at {row:?}");
                }
            }
        }
    }
}
