//! Every engine at every level of this machine against the reference walk, bit for bit.

mod forests;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use segue_dataset::Matrix;

use super::*;
use crate::{CategorySet, Child, Combine, Ensemble, Link, MissingRule, Node, Split, Tree};
use forests::{N_COLUMNS, chain, chain_of_sets, ensemble, of_many_columns, row, spread, wide};

const ENGINES: [Engine; 4] = [Engine::Walker, Engine::Walk, Engine::Masks, Engine::Select];

/// The first place of other bits, and both values.
fn difference(found: &[f64], expected: &[f64]) -> Option<(usize, f64, f64)> {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected).enumerate();
    let mut pairs = pairs.map(|(at, (&found, &expected))| (at, found, expected));
    pairs.find(|(_, found, expected)| found.to_bits() != expected.to_bits())
}

/// Margins of the rows by the reference walk.
fn reference(ensemble: &Ensemble, rows: &[Vec<f64>]) -> Vec<f64> {
    let mut margins = vec![0.0; ensemble.n_outputs()];
    let of = |row: &Vec<f64>| {
        ensemble.margins(row, &mut margins);
        margins.clone()
    };
    rows.iter().flat_map(of).collect()
}

/// All scorers of an ensemble on this machine, and how many engines took it.
fn scorers(ensemble: &Ensemble, n_columns: usize) -> Vec<(String, Scorer)> {
    let mut scorers = vec![("chosen".to_owned(), Scorer::compile(ensemble, n_columns))];
    for instructions in Instructions::available() {
        for engine in ENGINES {
            let scorer = Scorer::compile_for(ensemble, n_columns, instructions, engine);
            let name = format!("{engine:?} {}", instructions.name());
            scorers.extend(scorer.map(|scorer| (name, scorer)));
        }
    }
    scorers
}

/// One by one and as a table, by every engine, into dirty room.
fn agree(ensemble: &Ensemble, n_columns: usize, rows: &[Vec<f64>]) -> Result<(), TestCaseError> {
    let expected = reference(ensemble, rows);
    let table = Matrix::from_rows(n_columns, &rows.concat());
    let n_outputs = ensemble.n_outputs();
    let mut scratch = EngineScratch::default();
    for (name, scorer) in scorers(ensemble, n_columns) {
        let mut found = vec![f64::NAN; expected.len()];
        for (row, found) in rows.iter().zip(found.chunks_mut(n_outputs)) {
            scorer.margins(row, &mut scratch, found);
        }
        prop_assert_eq!(difference(&found, &expected), None, "{} row by row", name);
        found.fill(f64::NAN);
        scorer.margins_of_rows(&table, 0..rows.len(), &mut scratch, &mut found);
        prop_assert_eq!(difference(&found, &expected), None, "{} as a table", name);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, rng_seed: RngSeed::Fixed(17), ..ProptestConfig::default() })]

    #[test]
    fn engines_equal_the_walk(
        ensemble in ensemble(), rows in prop::collection::vec(row(), 1..80),
    ) {
        agree(&ensemble, N_COLUMNS, &rows)?;
        let (ensemble, rows) = spread(&ensemble, &rows);
        agree(&ensemble, rows[0].len(), &rows)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, rng_seed: RngSeed::Fixed(18), ..ProptestConfig::default() })]

    #[test]
    fn any_number_of_rows_at_any_place_gives_the_same(
        ensemble in ensemble(), rows in prop::collection::vec(row(), 1101..1102), start in 0..70usize,
    ) {
        let table = Matrix::from_rows(N_COLUMNS, &rows.concat());
        let expected = reference(&ensemble, &rows);
        let n_outputs = ensemble.n_outputs();
        let mut scratch = EngineScratch::default();
        for (name, scorer) in scorers(&ensemble, N_COLUMNS) {
            for n in [0, 1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 192, 255, 256, 257, 320, 511, 512, 513, 1024, 1031] {
                let mut found = vec![f64::NAN; n * n_outputs];
                scorer.margins_of_rows(&table, start..start + n, &mut scratch, &mut found);
                let expected = &expected[start * n_outputs..(start + n) * n_outputs];
                prop_assert_eq!(difference(&found, expected), None, "{} of {} rows", name, n);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: RngSeed::Fixed(19), ..ProptestConfig::default() })]

    #[test]
    fn models_from_bytes_score_as_their_trees_do(
        model in crate::model::tests::model(),
        rows in prop::collection::vec(crate::model::tests::row(), 1..1100),
    ) {
        let model = crate::Model::decode(&model.encode()).unwrap();
        agree(model.ensemble(), model.schema().len(), &rows[..rows.len().min(70)])?;
        let table = Matrix::from_rows(model.schema().len(), &rows.concat());
        let n_outputs = model.n_outputs();
        let expected = reference(model.ensemble(), &rows);
        let outputs = model.score_rows(&table);
        let mut scratch = crate::Scratch::default();
        let mut range = vec![0.0; outputs.len()];
        let middle = rows.len() / 3;
        let (first, second) = range.split_at_mut(middle * n_outputs);
        model.score_range(&table, middle..rows.len(), &mut scratch, second);
        model.score_range(&table, 0..middle, &mut scratch, first);
        prop_assert_eq!(difference(&range, &outputs), None, "in two ranges");
        for (index, row) in rows.iter().enumerate() {
            let of_row = index * n_outputs..(index + 1) * n_outputs;
            let scores = model.score(row, &mut scratch);
            prop_assert_eq!(difference(scores.margins, &expected[of_row.clone()]), None);
            prop_assert_eq!(difference(scores.outputs, &outputs[of_row]), None);
        }
    }
}

#[test]
fn a_chain_is_as_deep_as_its_leaves_are_many() {
    for n_nodes in [30, 31, 32, 63, 254, 255, 256, 700] {
        let ensemble = chain(n_nodes);
        let rows: Vec<Vec<f64>> =
            (0..=n_nodes + 1).map(|value| vec![value as f64 * 0.5, 0.0]).collect();
        agree(&ensemble, 2, &rows).unwrap();
    }
}

#[test]
fn thresholds_beyond_a_byte_and_beyond_ranks() {
    for n_thresholds in [254, 255, 256, 510, 511, 3000, 65_535, 65_536] {
        let (ensemble, rows) = wide(n_thresholds);
        agree(&ensemble, 1, &rows).unwrap();
        let scorer = Scorer::compile(&ensemble, 1);
        assert_eq!(scorer.engine_for(1) == Engine::Walker, n_thresholds > 65_535);
    }
}

#[test]
fn rows_of_many_columns() {
    for n_columns in [7, 8, 9, 64, 65, 100, 130, 240, 250, 300] {
        let (ensemble, rows) = of_many_columns(n_columns);
        agree(&ensemble, n_columns, &rows).unwrap();
    }
}

#[test]
fn trees_of_one_leaf_and_no_trees_at_all() {
    let constant = |value| Tree::constant(vec![value], 1.0);
    for trees in [vec![], vec![constant(0.1), constant(-0.0), constant(0.7)]] {
        let ensemble = Ensemble {
            tree_output: vec![0; trees.len()],
            trees,
            base: vec![0.25],
            combine: Combine::Mean,
            link: Link::Identity,
        };
        agree(&ensemble, 1, &vec![vec![f64::NAN]; 70]).unwrap();
    }
}

#[test]
fn sets_of_many_codes_and_many_sets() {
    // More entries than a byte indexes, and more sets than a table of bytes has columns.
    for (n_codes, n_trees) in [(60, 10), (126, 200), (254, 20), (255, 20), (5000, 30)] {
        let node = |code: u32| Node {
            feature: 1,
            split: Split::In(CategorySet::from_codes([code % n_codes, n_codes - 1])),
            missing: if code.is_multiple_of(2) { MissingRule::Left } else { MissingRule::AsZero },
            left: Child::Leaf(0),
            right: Child::Leaf(1),
            gain: 1.0,
            cover: 1.0,
        };
        let tree = |index: u32| Tree {
            nodes: vec![node(index * 7)],
            leaf_values: vec![0.1 * f64::from(index), -0.3],
            leaf_cover: vec![0.5, 0.5],
            leaf_width: 1,
        };
        let trees: Vec<Tree> = (0..n_trees).map(tree).collect();
        let ensemble = Ensemble {
            tree_output: vec![0; trees.len()],
            trees,
            base: vec![0.0],
            combine: Combine::Sum,
            link: Link::Identity,
        };
        let specials =
            [f64::NAN, -1.0, -0.0, 0.5, f64::INFINITY, 1e300, 4294967295.0, 4294967296.0];
        let codes = (0..n_codes + 70).map(f64::from).chain(specials);
        let rows: Vec<Vec<f64>> = codes.map(|code| vec![0.0, code]).collect();
        agree(&ensemble, 2, &rows).unwrap();
    }
}

#[test]
fn more_sets_than_a_walk_has_columns() {
    // 5,000 trees of a category of 300 values have some 75,000 different sets: the reference walk took over.
    let n_trees = 2_200;
    let ensemble = Ensemble {
        trees: (0..n_trees).map(|tree| chain_of_sets(tree, 30)).collect(),
        tree_output: vec![0; n_trees as usize],
        base: vec![0.0],
        combine: Combine::Sum,
        link: Link::Identity,
    };
    let codes = (0..300).step_by(7).map(f64::from).chain([f64::NAN, 299.0, 300.0, -1.0]);
    let rows: Vec<Vec<f64>> = codes.map(|code| vec![code]).collect();
    agree(&ensemble, 1, &rows).unwrap();
    assert!(Scorer::compile_for(&ensemble, 1, Instructions::best(), Engine::Walk).is_none());
    for instructions in Instructions::available() {
        let scorer = Scorer::compile_at(&ensemble, 1, instructions);
        let chosen = [1, 1_000].map(|n_rows| scorer.engine_for(n_rows));
        assert_eq!(chosen, [Engine::Masks, Engine::Select], "{}", instructions.name());
    }
}

#[test]
fn sets_beyond_all_tables_are_left_to_the_walk() {
    let split = Split::In(CategorySet::from_codes([1, 1 << 24]));
    let node = Node {
        feature: 0,
        split,
        missing: MissingRule::Right,
        left: Child::Leaf(0),
        right: Child::Leaf(1),
        gain: 1.0,
        cover: 1.0,
    };
    let tree = Tree {
        nodes: vec![node],
        leaf_values: vec![1.0, 2.0],
        leaf_cover: vec![0.5, 0.5],
        leaf_width: 1,
    };
    let ensemble = Ensemble {
        trees: vec![tree],
        tree_output: vec![0],
        base: vec![0.0],
        combine: Combine::Sum,
        link: Link::Identity,
    };
    assert_eq!(Scorer::compile(&ensemble, 1).engine_for(1), Engine::Walker);
    agree(&ensemble, 1, &[vec![1.0], vec![16_777_216.0], vec![f64::NAN]]).unwrap();
}

#[test]
fn an_engine_is_chosen_by_shape_and_rows() {
    let scorer = Scorer::compile(&chain(30), 2);
    assert_eq!(scorer.engine_for(100_000), Engine::Select);
    let widest = Instructions::best();
    let one = if widest == Instructions::PORTABLE { Engine::Walk } else { Engine::Masks };
    assert_eq!(scorer.engine_for(1), one);
    assert!(Scorer::compile_for(&chain(256), 2, widest, Engine::Select).is_none());
}
