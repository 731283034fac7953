use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::model::tests::{row, schema};

fn set(conditions: &[&str]) -> Result<SegmentSet, SegmentError> {
    let segments = conditions.iter().enumerate();
    let segment = |(index, when): (usize, &&str)| Segment {
        name: format!("s{index}"),
        when: (*when).to_owned(),
        description: String::new(),
    };
    SegmentSet::new(segments.map(segment).collect())
}

struct Case {
    row: Vec<f64>,
    traits: Traits,
}

impl Case {
    fn new(row: [f64; 5]) -> Self {
        let traits = [
            ("country".to_owned(), TraitValue::Text("de".to_owned())),
            ("seats".to_owned(), TraitValue::Number(12.0)),
            ("trial".to_owned(), TraitValue::Flag(true)),
        ];
        Self { row: row.to_vec(), traits: traits.into() }
    }

    fn assign<'s>(&self, set: &'s SegmentSet) -> Assigned<'s> {
        set.assign(&SegmentInputs {
            score: 0.7,
            scores: &[("churn", 0.2)],
            class_scores: &[("billing", 0.6)],
            schema: &schema(),
            row: &self.row,
            traits: &self.traits,
        })
    }
}

#[test]
fn every_kind_of_name_can_be_asked() {
    let case = Case::new([3.0, 4.5, 1.0, f64::NAN, -1.0]);
    let holding = [
        "score > 0.5",
        "score >= 0.7 && scores.churn < 0.5",
        "class_scores.billing == 0.6",
        "features.visits_7d == 3",
        "features.visits_7d > 2 && features.visits_30d > 4",
        "features[\"visits_30d\"] < 5.0",
        "features.plan == 'word 1'",
        "features.plan in ['word 0', 'word 1']",
        "features.country == ''",
        "traits.country.startsWith('d') && traits.seats >= 10.0 && traits.trial",
        "traits.country.matches('^d[a-z]$')",
        "has(features.plan) && !has(features.gap_mean) && !has(traits.age)",
        "features.gap_mean > 1.0 || score > 0.5",
        "['de', 'at'].exists(c, c == traits.country)",
        "features.visits_7d / 2.0 > 1.0 ? true : false",
    ];
    for when in holding {
        let set = set(&[when]).unwrap();
        set.check(&schema(), &["churn"]).unwrap();
        assert_eq!(case.assign(&set).segment, Some("s0"), "{when}");
    }
}

#[test]
fn the_first_that_holds_wins_and_what_went_wrong_is_told() {
    let set = set(&[
        "features.gap_mean < 3.0",
        "!(features.gap_mean < 3.0)",
        "score > 0.9",
        "1.0 / features.visits_7d > 0.0 && traits.seats.startsWith('x')",
        "score > 0.6",
        "score > 0.1",
    ])
    .unwrap();
    let case = Case::new([3.0, 4.5, 1.0, f64::NAN, -1.0]);
    let assigned = case.assign(&set);
    assert_eq!(assigned.segment, Some("s4"));
    assert_eq!(assigned.missing, ["s0", "s1"]);
    assert_eq!(assigned.errors.len(), 1);
    assert_eq!(assigned.errors[0].0, "s3");
    assert!(assigned.errors[0].1.contains("startsWith"), "{:?}", assigned.errors);
}

#[test]
fn unknown_names_are_told_with_the_nearest() {
    let message = |when: &str| {
        let checked = set(&[when]).and_then(|set| set.check(&schema(), &["churn", "support"]));
        checked.unwrap_err().to_string()
    };
    let cases = [
        ("features.visit_7d > 1", "\"visit_7d\", which is no feature; did you mean \"visits_7d\"?"),
        ("has(features.plam)", "\"plam\", which is no feature; did you mean \"plan\"?"),
        ("scores.chrun > 0.5", "\"chrun\", which is no model; did you mean \"churn\"?"),
        ("scroe > 0.5", "\"scroe\", which is no variable; did you mean \"score\"?"),
        ("score > 2.0 && startswith('a', 'b')", "no function; did you mean \"startsWith\"?"),
        ("features.visits.count > 1", "write features[\"visits.count\"]"),
        ("size(features) > 1", "features must be followed by one name"),
        ("features[traits.country] > 1", "features must be followed by one name"),
        ("score > 0.5 &&", "in condition `score > 0.5 &&`"),
        ("score", "gave float, expected true or false"),
        ("score + 1.0", "gave float"),
        ("features.plan > 3", "fails on sample values"),
        ("features.visits_7d + 'x' == 'y'", "fails on sample values"),
        ("['a'].exists(features, features == scor)", "\"scor\", which is no variable"),
    ];
    for (when, expected) in cases {
        let found = message(when);
        assert!(found.contains(expected), "{when}: {found:?} does not say {expected:?}");
    }
    let set = set(&["class_scores.biling > 0.5"]).unwrap();
    let classes = ["billing".to_owned(), "setup".to_owned()];
    let error = set.check_classes(&classes).unwrap_err().to_string();
    assert!(error.contains("no class; did you mean \"billing\"?"), "{error}");
}

#[test]
fn the_file_round_trips_and_its_faults_are_named() {
    let text = "[[segment]]\nname = \"at_risk\"\nwhen = \"score > 0.5\"\ndescription = \"may go\"\n\n\
                [[segment]]\nname = \"rest\"\nwhen = \"true\"\n";
    let set = SegmentSet::parse(text).unwrap();
    assert_eq!(set.names().collect::<Vec<_>>(), ["at_risk", "rest"]);
    assert_eq!(set.to_toml(), text);
    assert!(SegmentSet::parse("").unwrap().is_empty());
    let fails = |text: &str| SegmentSet::parse(text).unwrap_err().to_string();
    assert!(fails(&text.replace("description", "descripton")).contains("descripton"));
    assert!(fails(&text.replace("rest", "at_risk")).contains("segment 1 is named \"at_risk\""));
    assert!(fails(&text.replace("rest", " ")).contains("unique and not empty"));
    assert!(fails(&text.replace("true", &"!".repeat(5000))).contains("at most 4096"));
}

/// Parsers walk nested conditions by recursion; the length of a condition must bound that.
#[test]
fn deeply_nested_conditions_are_refused_or_run() {
    let n = MAX_CONDITION_BYTES;
    let nested = |open: &str, inner: &str, close: &str, n: usize| {
        format!("{}{inner}{}", open.repeat(n), close.repeat(n))
    };
    let conditions = [
        nested("(", "true", ")", n / 2 - 4),
        nested("!", "true", "", n - 4),
        nested("[", "1", "]", n / 2 - 8) + " == []",
        nested("true && ", "true", "", n / 8 - 2),
        nested("-", "1", "", n - 8) + " < 2",
        nested("size([", "1", "]) ", n / 9) + "< 2",
        nested("{1:", "1", "}", n / 4 - 8) + " == {}",
        format!("features{} == 1", ".a".repeat(n / 2 - 8)),
        format!("true ? {}true", "true ? true : ".repeat(n / 14 - 2)),
    ];
    let small_stack = std::thread::Builder::new().stack_size(2 << 20);
    let run = move || {
        for when in conditions {
            if let Ok(set) = set(&[&when]) {
                let _ = set.check(&schema(), &[]);
                let _ = Case::new([0.0; 5]).assign(&set);
            }
        }
    };
    small_stack.spawn(run).unwrap().join().unwrap();
}

#[test]
fn a_set_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<SegmentSet>();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn thresholds_mean_what_they_say(row in row(), score in 0.0f64..1.0, cut in -2i32..3) {
        let cut = f64::from(cut) * 0.5;
        let set = set(&[
            &format!("features.visits_7d <= {cut:?} && score < 0.5"),
            &format!("features.visits_7d > {cut:?}"),
        ]).unwrap();
        let assigned = set.assign(&SegmentInputs {
            score, scores: &[], class_scores: &[], schema: &schema(), row: &row, traits: &Traits::new(),
        });
        let expected = match row[0] {
            x if x > cut => Some("s1"),
            x if x <= cut && score < 0.5 => Some("s0"),
            _ => None,
        };
        prop_assert_eq!(assigned.segment, expected);
        prop_assert_eq!(assigned.errors, vec![]);
        // `false && missing` is false: only a left side that could have held counts as missing.
        prop_assert_eq!(assigned.missing.contains(&"s1"), row[0].is_nan());
    }

    #[test]
    fn no_condition_can_panic(when in "[a-z(){}\\[\\]!&|<>=+*/.,'\"0-9? -]{0,60}") {
        if let Ok(set) = set(&[&when]) {
            let _ = set.check(&schema(), &[]);
            let _ = Case::new([0.0; 5]).assign(&set);
        }
    }
}
