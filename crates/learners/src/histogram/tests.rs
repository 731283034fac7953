use std::sync::Arc;

use proptest::prelude::*;
use rand::Rng;
use segue_dataset::{Dataset, Feature, Matrix, RowKeys, Schema, Target, TargetKind};

use super::*;
use crate::binning::{Binning, CodeMatrix};
use crate::sampling::generator;

/// Rows that are packed: more than two blocks of words, and not a whole number of them.
const N_ROWS: usize = 40_001;

/// One column of many codes and several of few, with gradients in `[-1, 1]` and second derivatives in
/// `[0, 1/4]`.
struct Table {
    codes: CodeMatrix,
    gradients: Vec<(f64, f64)>,
}

impl Derivatives for Table {
    fn fill(&self, first: usize, gradients: &mut [f64], hessians: &mut [f64]) {
        for (given, (gradient, hessian)) in
            self.gradients[first..].iter().zip(gradients.iter_mut().zip(hessians))
        {
            (*gradient, *hessian) = *given;
        }
    }
}

fn table(seed: u64, joint: bool) -> Table {
    let mut generator = generator(seed, 0);
    let columns: Vec<Vec<f64>> = [200, 12, 3, 3, 7]
        .into_iter()
        .map(|n: u32| (0..N_ROWS).map(|_| f64::from(generator.random_range(0..n))).collect())
        .collect();
    let gradients = (0..N_ROWS)
        .map(|_| (generator.random_range(-1.0..1.0), generator.random_range(0.0..0.25)))
        .collect();
    let features = (0..columns.len()).map(|index| Feature::number(format!("x{index}"))).collect();
    let target = Target { kind: TargetKind::Regression, values: vec![0.0; N_ROWS] };
    let schema = Arc::new(Schema::new(features).unwrap());
    let matrix = Matrix::from_columns(N_ROWS, columns);
    let data = Dataset::new(schema, matrix, target, None, RowKeys::default()).unwrap();
    let binning = Binning::learn(&data, 255).unwrap();
    let bundles = if joint {
        Bundles::joint(binning.columns())
    } else {
        Bundles::one_a_column(binning.columns())
    };
    Table { codes: binning.encode(bundles, data.features()), gradients }
}

/// Straight from the rows, cell by cell.
fn naive(
    table: &Table,
    scaled: &Scaled,
    layout: &Layout,
    bundles: &[u32],
    rows: &[u32],
) -> Histogram {
    let mut histogram = Histogram::default();
    histogram.clear(layout, &(0..layout.n_bundles() as u32).collect::<Vec<_>>());
    for &row in rows {
        for &bundle in bundles {
            let state = table.codes.row(row as usize)[bundle as usize];
            let at = layout.range(bundle as usize).start + usize::from(state);
            histogram.cells[at].add(scaled.cell(row as usize));
        }
    }
    histogram
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(9),
        ..ProptestConfig::default()
    })]

    /// Packed words, wide cells, some bundles or all, one thread or several: the same sums.
    #[test]
    fn sums_are_those_of_the_rows(
        seed in 0u64..1000,
        joint in any::<bool>(),
        packed in any::<bool>(),
        all_bundles in any::<bool>(),
        share in prop_oneof![Just(1.0), Just(0.5), Just(0.001)],
    ) {
        let table = table(seed, joint);
        let mut scaled = Scaled::default();
        scaled.refill(N_ROWS, &table, packed.then_some(seed));
        let layout = Layout::new(table.codes.bundles());
        let n_bundles = if all_bundles { layout.n_bundles() } else { 2 };
        let bundles: Vec<u32> = (0..n_bundles as u32).collect();
        let rows = crate::sampling::draw_rows(&(0..N_ROWS as u32).collect::<Vec<_>>(), share, seed, 1);
        let entries: Vec<Entry> = rows.iter().map(|&row| scaled.entry(row)).collect();
        let workspace = Workspace::default();
        let accumulator = Accumulator {
            codes: &table.codes,
            scaled: &scaled,
            layout: &layout,
            bundles: &bundles,
            workspace: &workspace,
        };
        let expected = naive(&table, &scaled, &layout, &bundles, &rows);
        for bundle in 0..n_bundles {
            let cells = |histogram: &Histogram| histogram.bundle(&layout, bundle).to_vec();
            prop_assert_eq!(cells(&accumulator.histogram_of(&entries)), cells(&expected));
            prop_assert_eq!(cells(&accumulator.histogram_in_parallel(&entries)), cells(&expected));
        }
    }
}

#[test]
fn packed_rows_sum_to_what_they_were() {
    let table = table(7, false);
    let mut scaled = Scaled::default();
    scaled.refill(N_ROWS, &table, Some(1));
    assert!(matches!(scaled.rows, scaled::Rows::Packed(_)));
    let (mut sum, mut expected) = (Cell::default(), (0.0, 0.0));
    for (row, &(gradient, hessian)) in table.gradients.iter().enumerate() {
        let cell = scaled.cell(row);
        assert!(
            (cell.gradient() as f64 * scaled.gradient_unit - gradient).abs()
                <= scaled.gradient_unit
        );
        assert!(
            (cell.hessian() as f64 * scaled.hessian_unit - hessian).abs() <= scaled.hessian_unit
        );
        assert_eq!(cell.n_rows(), 1);
        sum.add(cell);
        expected = (expected.0 + gradient, expected.1 + hessian);
    }
    // Rounding at random without bias: the error of the sum grows with the root of the rows.
    let tolerance = 3.0 * (N_ROWS as f64).sqrt();
    let gradient = sum.gradient() as f64 * scaled.gradient_unit;
    let hessian = sum.hessian() as f64 * scaled.hessian_unit;
    assert!((gradient - expected.0).abs() < tolerance * scaled.gradient_unit);
    assert!((hessian - expected.1).abs() < tolerance * scaled.hessian_unit);
}

#[test]
fn heavy_tails_are_never_packed() {
    let mut table = table(3, false);
    table.gradients[17].0 = 1e4;
    let mut scaled = Scaled::default();
    scaled.refill(N_ROWS, &table, Some(1));
    assert!(matches!(scaled.rows, scaled::Rows::Wide(_)));
    assert!((scaled.cell(17).gradient() as f64 * scaled.gradient_unit - 1e4).abs() < 1e-9);
}

/// A bootstrap's 0/1 labels: drawn up to three times.
struct Draws(Vec<(u32, bool)>);

impl Derivatives for Draws {
    fn fill(&self, first: usize, gradients: &mut [f64], hessians: &mut [f64]) {
        for (&(n, label), (gradient, hessian)) in
            self.0[first..].iter().zip(gradients.iter_mut().zip(hessians))
        {
            (*gradient, *hessian) = (f64::from(n) * f64::from(u8::from(label)), f64::from(n));
        }
    }

    fn are_whole(&self) -> bool {
        true
    }
}

/// Forests would else grow from rounded counts.
#[test]
fn whole_numbers_are_packed_without_rounding() {
    let mut generator = generator(11, 0);
    let draws = (0..N_ROWS).map(|_| (generator.random_range(0..4), generator.random_bool(0.3)));
    let draws = Draws(draws.collect());
    let mut scaled = Scaled::default();
    scaled.refill(N_ROWS, &draws, None);
    assert!(matches!(scaled.rows, scaled::Rows::Packed(_)));
    assert_eq!((scaled.gradient_unit, scaled.hessian_unit), (1.0, 1.0));
    for (row, &(n, label)) in draws.0.iter().enumerate() {
        let wanted = Cell::of_row(i64::from(n) * i64::from(label), u64::from(n));
        assert_eq!(scaled.cell(row), wanted, "row {row}");
    }
}
