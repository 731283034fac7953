//! The search without a histogram against the one with it.

use std::sync::Arc;

use proptest::prelude::*;
use segue_dataset::{Dataset, Feature, Matrix, RowKeys, Schema, Target, TargetKind};

use super::*;
use crate::binning::{Binning, Bundles};
use crate::histogram::{Accumulator, Derivatives, Layout, Scaled, Workspace};
use crate::split::{Bounds, CategoryRules, SplitRules};

/// Gradients of rows, in eighths; second derivatives are 1/4.
struct Eighths<'a>(&'a [i32]);

impl Derivatives for Eighths<'_> {
    fn fill(&self, first: usize, gradients: &mut [f64], hessians: &mut [f64]) {
        for (given, gradient) in self.0[first..].iter().zip(gradients) {
            *gradient = f64::from(*given) / 8.0;
        }
        hessians.fill(0.25);
    }
}

/// A number of many codes, one of few and a category, with missing values.
fn any_rows() -> impl Strategy<Value = Vec<([f64; 3], i32)>> {
    let number = |n: u16| prop_oneof![4 => (0..n).prop_map(f64::from), 1 => Just(f64::NAN)];
    let row = (number(400), number(3), number(6), -16i32..16)
        .prop_map(|(many, few, category, gradient)| ([many, few, category], gradient));
    prop::collection::vec(row, 2..120)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn finds_what_the_histogram_shows(
        rows in any_rows(),
        joint: bool,
        min_rows in 0u64..6,
        bounded: bool,
        draw: Option<u64>,
    ) {
        let column = |index: usize| rows.iter().map(|(values, _)| values[index]).collect();
        let matrix = Matrix::from_columns(rows.len(), (0..3).map(column).collect());
        let vocabulary = (0..6).map(|category: u8| category.to_string()).collect();
        let features = vec![
            Feature::number("many"), Feature::number("few"), Feature::category("kind", vocabulary),
        ];
        let target = Target { kind: TargetKind::Regression, values: vec![0.0; rows.len()] };
        let schema = Arc::new(Schema::new(features).unwrap());
        let data = Dataset::new(schema, matrix, target, None, RowKeys::default()).unwrap();
        let binning = Binning::learn(&data, 255).unwrap();
        let bundles = if joint {
            Bundles::joint(binning.columns())
        } else {
            Bundles::one_a_column(binning.columns())
        };
        let codes = binning.encode(bundles, data.features());
        let gradients: Vec<i32> = rows.iter().map(|row| row.1).collect();
        let mut scaled = Scaled::default();
        scaled.refill(rows.len(), &Eighths(&gradients), None);
        let rules = SplitRules {
            lambda_l1: 0.0,
            lambda_l2: 1.0,
            min_rows,
            min_hessian: 0.5,
            min_gain: 0.0,
            categories: CategoryRules { smooth: 1.0, min_rows_per_group: 2, ..CategoryRules::default() },
            monotone: Vec::new(),
        };
        let layout = Layout::new(codes.bundles());
        let search = ColumnSearch {
            rules: &rules,
            scaled: &scaled,
            binning: &binning,
            bundles: codes.bundles(),
            layout: &layout,
            columns: &[0, 1, 2],
            bounds: bounded.then_some(Bounds::FREE),
            draw,
        };
        // Every third row is elsewhere.
        let of_node = (0..rows.len() as u32).filter(|row| row % 3 != 2);
        let entries: Vec<Entry> = of_node.map(|row| scaled.entry(row)).collect();
        let all: Vec<u32> = (0..codes.bundles().len() as u32).collect();
        let workspace = Workspace::default();
        let accumulator = Accumulator {
            codes: &codes, scaled: &scaled, layout: &layout, bundles: &all, workspace: &workspace,
        };
        let histogram = accumulator.histogram_of(&entries);
        let mut total = Cell::default();
        histogram.bundle(&layout, 0).iter().for_each(|&cell| total.add(cell));
        let wanted = search.best(&histogram, total, false);
        let mut memory = FewRows::default();
        let found = search.best_of_few(&entries, &codes, &mut memory);
        prop_assert_eq!(&found, &wanted);
        prop_assert_eq!(search.best_of_few(&entries, &codes, &mut memory), wanted, "reused memory");
    }
}
