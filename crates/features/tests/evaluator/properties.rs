//! What must hold of every history.

use proptest::prelude::*;
use segue_events::Symbols;
use segue_features::{FeatureSet, RequestFields, Visibility};

use super::histories::{T, event, events, history, log, roles, specs};
use super::naive::{Naive, Plain, as_number, as_text, plain, value};

fn config(cases: u32) -> ProptestConfig {
    let rng_seed = proptest::test_runner::RngSeed::Fixed(20_240_312);
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

fn set(events: &[Plain], visibility: Visibility) -> FeatureSet {
    let log = log(&[events.to_vec()], Symbols::new());
    FeatureSet::learn(specs(), roles(), visibility, &log, &[(0, T)]).unwrap()
}

fn row(set: &FeatureSet, events: &[Plain], symbols: &mut Symbols) -> Vec<u64> {
    let history = history(events, symbols);
    let mut row = vec![0.0; set.schema().len()];
    set.bind(symbols).row(&history, T, &RequestFields::new(), &mut row);
    // One NaN is as good as another.
    row.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits() }).collect()
}

fn close(found: f64, expected: Option<f64>) -> bool {
    match expected.filter(|x| x.is_finite()) {
        None => found.is_nan(),
        Some(expected) => (found - expected).abs() <= 1e-7 * expected.abs().max(1.0),
    }
}

fn check_against_naive(events: &[Plain], visibility: Visibility) -> Result<(), TestCaseError> {
    let log = log(&[events.to_vec()], Symbols::new());
    let set = FeatureSet::learn(specs(), roles(), visibility, &log, &[(0, T)]).unwrap();
    let matrix = set.bind(&log.symbols).rows(&log, &[(0, T)]);
    let plain = plain(&log.histories[0], &log.symbols);
    for (column, spec) in set.specs().iter().enumerate() {
        let found = matrix.column(column)[0];
        let expected = value(&spec.measure, &plain, T, visibility);
        let feature = &set.schema().features()[column];
        let agrees = match (&expected, feature.vocabulary()) {
            (Naive::Number(expected), None) => close(found, *expected),
            (Naive::Held(held), None) => close(found, held.as_ref().and_then(as_number)),
            (Naive::Held(None), Some(_)) => found.is_nan(),
            (Naive::Held(Some(held)), Some(vocabulary)) => {
                vocabulary.get(found as usize) == Some(&as_text(held))
            }
            (Naive::Number(_), Some(_)) => false,
        };
        prop_assert!(agrees, "{:?}: found {found}, expected {expected:?}", spec.measure);
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn equals_the_definitions(events in events()) {
        check_against_naive(&events, Visibility::AsKnown)?;
        check_against_naive(&events, Visibility::AsOccurred)?;
    }

    #[test]
    fn the_future_and_the_unknown_change_nothing(
        events in events(),
        more in proptest::collection::vec(event(), 1..20),
    ) {
        let set = set(&events, Visibility::AsKnown);
        let before = row(&set, &events, &mut Symbols::new());
        let mut all = events;
        all.extend(more.into_iter().map(|mut event| {
            if event.at < T && event.known <= T {
                event.known = T + 1;
            }
            event
        }));
        all.sort_by_key(|event| event.at);
        prop_assert_eq!(before, row(&set, &all, &mut Symbols::new()));
    }

}

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn features_do_not_depend_on_each_other(events in events(), keep in any::<u64>()) {
        let all = set(&events, Visibility::AsKnown);
        let whole = row(&all, &events, &mut Symbols::new());
        let kept = |index: &usize| (keep >> (index % 61)) & 1 == 1 || *index == 0;
        let some: Vec<usize> = (0..all.specs().len()).filter(kept).collect();
        let specs = some.iter().rev().map(|&index| all.specs()[index].clone()).collect();
        let log = log(&[Vec::new()], Symbols::new());
        let part = FeatureSet::learn(specs, roles(), Visibility::AsKnown, &log, &[]).unwrap();
        let row = row(&part, &events, &mut Symbols::new());
        for (found, &index) in row.iter().zip(&some) {
            prop_assert_eq!(*found, whole[index], "{:?}", all.specs()[index]);
        }
    }

    #[test]
    fn symbol_numbers_do_not_matter(events in events(), rotate in 0..8usize) {
        let set = set(&events, Visibility::AsKnown);
        let mut texts = ["pro", "free", "1", "page", "help", "s2", "amount", "step two"];
        texts.rotate_left(rotate);
        let mut numbered = Symbols::new();
        texts.iter().for_each(|text| { numbered.intern(text); });
        let plainly = row(&set, &events, &mut Symbols::new());
        prop_assert_eq!(plainly, row(&set, &events, &mut numbered));
        let log = log(&[events], numbered);
        let again = FeatureSet::learn(specs(), roles(), Visibility::AsKnown, &log, &[(0, T)]).unwrap();
        prop_assert_eq!(set.hash(), again.hash());
    }

}

proptest! {
    #![proptest_config(config(4))]

    #[test]
    fn a_feature_set_reads_back(events in events()) {
        let set = set(&events, Visibility::AsKnown);
        let text = set.to_toml();
        let again = FeatureSet::from_toml(&text).unwrap();
        prop_assert_eq!(again.to_toml(), text);
        prop_assert_eq!(again.hash(), set.hash());
        prop_assert_eq!(again.schema(), set.schema());
        let bits = row(&set, &events, &mut Symbols::new());
        prop_assert_eq!(bits, row(&again, &events, &mut Symbols::new()));
    }
}
