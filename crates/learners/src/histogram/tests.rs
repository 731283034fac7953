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

/// The log loss at the start value: one positive row in `one_in`, each with a gradient near -1.
fn make_rare(gradients: &mut [(f64, f64)], one_in: usize) {
    let p = 1.0 / one_in as f64;
    for (row, gradient) in gradients.iter_mut().enumerate() {
        *gradient = (if row % one_in == 0 { p - 1.0 } else { p }, p * (1.0 - p));
    }
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
        rare in any::<bool>(),
        all_bundles in any::<bool>(),
        share in prop_oneof![Just(1.0), Just(0.5), Just(0.001)],
    ) {
        let mut table = table(seed, joint);
        if rare {
            make_rare(&mut table.gradients, 300);
        }
        let mut scaled = Scaled::default();
        scaled.refill(N_ROWS, &table, packed.then_some(seed));
        if packed {
            let grain = if rare { packed::Grain::FINE } else { packed::Grain::COARSE };
            prop_assert_eq!(scaled.block_rows, grain.block_rows);
        }
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
    for one_in in [None, Some(300), Some(900)] {
        let mut table = table(7, false);
        one_in.into_iter().for_each(|one_in| make_rare(&mut table.gradients, one_in));
        check_sums(&table);
    }
}

fn check_sums(table: &Table) {
    let mut scaled = Scaled::default();
    scaled.refill(N_ROWS, table, Some(1));
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

/// Blocks of fine rows are shorter, or their largest gradients would not fit a word.
#[test]
fn a_run_of_the_largest_gradients_fits_the_words() {
    let (n_rows, n_large) = (1_000_000, 6_000);
    let gradients = (0..n_rows).map(|row| match row < n_large {
        true => (-1.0, 0.25),
        false => (1e-4, 1e-3),
    });
    let features = vec![Feature::number("x")];
    let target = Target { kind: TargetKind::Regression, values: vec![0.0; n_rows] };
    let matrix = Matrix::from_columns(n_rows, vec![vec![0.0; n_rows]]);
    let schema = Arc::new(Schema::new(features).unwrap());
    let data = Dataset::new(schema, matrix, target, None, RowKeys::default()).unwrap();
    let binning = Binning::learn(&data, 255).unwrap();
    let codes = binning.encode(Bundles::one_a_column(binning.columns()), data.features());
    let table = Table { codes, gradients: gradients.collect() };
    let mut scaled = Scaled::default();
    scaled.refill(n_rows, &table, Some(3));
    assert_eq!(scaled.block_rows, packed::Grain::FINE.block_rows);
    let layout = Layout::new(table.codes.bundles());
    let accumulator = Accumulator {
        codes: &table.codes,
        scaled: &scaled,
        layout: &layout,
        bundles: &[0],
        workspace: &Workspace::default(),
    };
    let rows: Vec<u32> = (0..n_rows as u32).collect();
    let entries: Vec<Entry> = rows.iter().map(|&row| scaled.entry(row)).collect();
    let expected = naive(&table, &scaled, &layout, &[0], &rows);
    assert_eq!(accumulator.histogram_of(&entries), expected);
    let sum = expected.bundle(&layout, 0).iter().map(|cell| cell.gradient()).sum::<i64>() as f64;
    let true_sum = -6_000.0 + 994_000.0 * 1e-4;
    assert!((sum * scaled.gradient_unit - true_sum).abs() < 1.0, "{sum}");
}

#[test]
fn grains_end_where_means_have_few_steps_or_sums_no_room() {
    use packed::Grain;
    let block_rows = |n_rows, gradient, hessian| {
        Grain::of(n_rows, gradient, hessian).map(|grain| grain.block_rows)
    };
    let (coarse, fine) = (Some(Grain::COARSE.block_rows), Some(Grain::FINE.block_rows));
    assert_eq!(block_rows(1 << 20, 128.0, 64.0), coarse);
    assert_eq!(block_rows(1 << 20, 128.1, 64.0), fine);
    assert_eq!(block_rows(1 << 20, 128.0, 64.1), fine);
    assert_eq!(block_rows(1 << 20, 1024.0, 512.0), fine);
    assert_eq!(block_rows(1 << 20, 1024.1, 1.0), None);
    assert_eq!(block_rows(1 << 20, 1.0, 512.1), None);
    // 32 million rows leave 10 bits for a second derivative.
    assert_eq!(block_rows(1 << 25, 1024.0, 120.0), fine);
    assert_eq!(block_rows(1 << 25, 1024.0, 130.0), None);
    for n_rows in [1 << 15, 1 << 23, 1 << 25, (1 << 28) - 1] {
        let grain = Grain::of(n_rows, 1.0, 1.0).unwrap();
        assert!(grain.max_hessian * n_rows as f64 <= (1u64 << 35) as f64);
    }
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
