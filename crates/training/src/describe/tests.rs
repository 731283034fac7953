use std::collections::BTreeMap;
use std::sync::Arc;

use segue_dataset::{Dataset, Feature, Matrix, RowKeys, Schema, Target, TargetKind};
use segue_model::{
    Calibration, CategorySet, Child, Combine, Ensemble, GoldenRow, Link, MissingRule, ModelParts,
    Node, Split, Tree, encode_golden,
};
use segue_registry::{Draft, GatePolicy, VersionSummary};

use super::condition::{Condition, Side};
use super::*;

fn node(feature: u32, split: Split, missing: MissingRule) -> Node {
    let (left, right) = (Child::Leaf(0), Child::Leaf(1));
    Node { feature, split, missing, left, right, gain: 1.0, cover: 400.0 }
}

fn stump(feature: u32, at_most: f64, yes: f64, no: f64) -> Tree {
    Tree {
        nodes: vec![node(feature, Split::AtMost(at_most), MissingRule::Left)],
        leaf_values: vec![yes, no],
        leaf_cover: vec![200.0, 200.0],
        leaf_width: 1,
    }
}

fn schema() -> Arc<Schema> {
    let plans = ["free", "pro", "team"].map(str::to_owned).to_vec();
    Arc::new(
        Schema::new(vec![
            Feature::number("sessions_7d"),
            Feature::number("error_rate"),
            Feature::category("plan", plans),
        ])
        .unwrap(),
    )
}

/// High for few sessions and many errors; nearly 0.92 at most.
fn model() -> Model {
    Model::new(ModelParts {
        schema: schema(),
        target: TargetKind::Binary,
        task: "churn".into(),
        ensemble: Ensemble {
            trees: vec![stump(0, 2.5, 1.0, -1.0), stump(1, 0.4, -0.5, 1.5)],
            tree_output: vec![0, 0],
            base: vec![0.0],
            combine: Combine::Sum,
            link: Link::Logistic,
        },
        calibration: Calibration::None,
        behaviours: Vec::new(),
        feature_set_hash: None,
    })
    .unwrap()
}

/// Every combination of 0 to 9 sessions, 10 error rates and 4 plans (the last unknown).
fn holdout() -> Holdout {
    let mut columns = vec![Vec::new(), Vec::new(), Vec::new()];
    for row in 0..400u32 {
        columns[0].push(f64::from(row % 10));
        columns[1].push(f64::from(row / 10 % 10) / 10.0);
        columns[2].push([0.0, 1.0, 2.0, f64::NAN][(row / 100) as usize]);
    }
    let values = (0..400u32).map(|row| f64::from(u8::from(row % 3 == 0))).collect();
    let target = Target { kind: TargetKind::Binary, values };
    let matrix = Matrix::from_columns(400, columns);
    let data = Dataset::new(schema(), matrix, target, None, RowKeys::default()).unwrap();
    Holdout::new(&data, Vec::new(), 1_000).unwrap()
}

fn segment(name: &str, when: &str) -> Segment {
    Segment { name: name.into(), when: when.into(), description: String::new() }
}

fn describe_all(segments: Vec<Segment>) -> SegmentsDescribed {
    let (model, segments) = (model(), SegmentSet::new(segments).unwrap());
    let version =
        Version { name: "churn", version: 3, model: &model, segments: &segments, features: None };
    version.on(&holdout()).unwrap()
}

#[test]
fn a_segment_is_told_by_score_and_by_behaviour() {
    let described = describe_all(vec![
        segment("at_risk", "score >= 0.9 && features.plan == 'free'"),
        segment("rest", "score >= 0.0"),
    ]);
    assert_eq!((described.n_rows, described.n_unassigned), (400, 0));
    let at_risk = &described.segments[0];
    // 3 of 10 sessions, 5 of 10 error rates, 1 of 4 plans
    assert_eq!(at_risk.n_rows, 15);
    let score = at_risk.by_score.as_ref().unwrap();
    let behaviour = at_risk.by_behaviour.as_ref().unwrap();
    for tree in [score, behaviour] {
        assert!(tree.decides, "{tree}");
        assert_eq!((tree.fidelity, tree.balanced_fidelity), (1.0, 1.0), "{tree}");
        assert_eq!(
            (tree.rules.len(), tree.rules[0].coverage, tree.rules[0].precision),
            (1, 1.0, 1.0)
        );
    }
    assert_eq!(score.rules[0].conditions.len(), 2, "{score}");
    let mut conditions = behaviour.rules[0].conditions.clone();
    conditions.sort_unstable();
    assert_eq!(conditions[1..], ["plan is free", "sessions_7d at most 2"], "{behaviour}");
    assert!(conditions[0].starts_with("error_rate above 0.4"), "{behaviour}");
    assert_eq!(described.segments[1].n_rows, 385);
}

#[test]
fn who_nobody_or_everybody_is_needs_no_tree() {
    let described =
        describe_all(vec![segment("nobody", "score > 1.0"), segment("all", "score >= 0.0")]);
    assert!(described.segments.iter().all(|segment| segment.by_score.is_none()));
    let shown = described.to_string();
    assert!(shown.contains("nobody is in it") && shown.contains("everybody is in it"), "{shown}");
}

#[test]
fn what_three_questions_cannot_say_is_admitted() {
    // two ends of sessions and two of the error rate: four questions
    let when = "features.sessions_7d == 4.0 && features.error_rate == 0.5";
    let described = describe_all(vec![segment("pinched", when)]);
    let tree = described.segments[0].by_behaviour.as_ref().unwrap();
    assert!(!tree.decides && tree.rules.len() == 1, "{tree}");
    assert!(tree.balanced_fidelity <= 0.5 && tree.fidelity < 1.0, "{tree}");
    assert!(described.to_string().contains("no three questions single it out"));
    assert_eq!(described.n_unassigned, 396);
}

#[test]
fn conditions_on_one_column_merge() {
    let column = |low: f64, high: f64| {
        let mut condition = Condition::default();
        let at_most = |at| node(0, Split::AtMost(at), MissingRule::Left);
        condition.narrow(Side::Yes(&at_most(high + 3.0)));
        condition.narrow(Side::No(&at_most(low)));
        condition.narrow(Side::Yes(&at_most(high)));
        condition
    };
    let (holdout, model) = (holdout(), model());
    let words = Words::new(holdout.dataset(), &model, None);
    let say = |at: usize, condition: &Condition| words.say(at, condition).unwrap();
    assert_eq!(say(0, &column(1.5, 6.5)), "sessions_7d at least 2 and at most 6");
    assert_eq!(say(0, &column(1.5, 2.5)), "sessions_7d exactly 2");
    assert_eq!(say(1, &column(0.123_456, 0.5)), "error_rate above 0.123 and at most 0.5");
    assert_eq!(say(3, &column(0.617, 0.9)), "score above 0.617 and at most 0.9");
}

#[test]
fn categories_are_texts_and_missing_is_said() {
    let (holdout, model) = (holdout(), model());
    let words = Words::new(holdout.dataset(), &model, None);
    let split = |codes: &[u32], missing| {
        node(2, Split::In(CategorySet::from_codes(codes.iter().copied())), missing)
    };
    let say = |sides: &[Side<'_>]| {
        let mut condition = Condition::default();
        sides.iter().for_each(|side| condition.narrow(*side));
        words.say(2, &condition).unwrap()
    };
    let (two, free) = (split(&[0, 1], MissingRule::Right), split(&[0], MissingRule::Right));
    assert_eq!(say(&[Side::Yes(&two)]), "plan is free or pro");
    assert_eq!(say(&[Side::Yes(&two), Side::No(&free)]), "plan is pro");
    assert_eq!(say(&[Side::No(&two)]), "plan is team or not known");
    assert_eq!(say(&[Side::No(&split(&[0], MissingRule::Left))]), "plan is not free");
    let known = Node { feature: 2, ..node(2, Split::AtMost(f64::MAX), MissingRule::Right) };
    let mut condition = Condition::default();
    condition.narrow(Side::Yes(&known));
    assert_eq!(words.say(2, &condition), Some("plan known".to_owned()));
}

fn publish(registry: &Registry, segments: Option<&str>) -> u64 {
    let (model, holdout) = (model(), holdout());
    let golden = [GoldenRow::of(&model, &[1.0, 0.9, 0.0])];
    let mut files = BTreeMap::from([
        ("model.bin".to_owned(), model.encode()),
        ("golden.jsonl".to_owned(), encode_golden(&golden).into_bytes()),
        (HOLDOUT_FILE.to_owned(), holdout.encode()),
    ]);
    files.extend(segments.map(|text| ("segments.toml".to_owned(), text.as_bytes().to_vec())));
    let summary = VersionSummary {
        task: "churn".into(),
        target: TargetKind::Binary,
        schema: schema(),
        feature_set_hash: None,
        metrics: BTreeMap::new(),
        slice_metrics: BTreeMap::new(),
        lineage: BTreeMap::new(),
        created_by: "ada".into(),
        gates: GatePolicy::default(),
    };
    registry.publish(&Draft { model: "churn".into(), files, summary }).unwrap().version
}

#[test]
fn a_published_version_describes_itself() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(&folder.path().display().to_string()).unwrap();
    let text = "[[segment]]\nname = \"quiet\"\nwhen = \"features.sessions_7d <= 2.0\"\ndescription = \"hardly there\"\n";
    let version = publish(&registry, Some(text));
    let described = describe(&registry, "churn", version).unwrap();
    let shown = described.to_string();
    assert!(shown.contains("quiet: 120 rows (30.0 %), hardly there"), "{shown}");
    assert!(shown.contains("- sessions_7d at most 2\n"), "{shown}");
    let json = serde_json::to_value(&described).unwrap();
    assert_eq!(json["segments"][0]["by_behaviour"]["fidelity"], 1.0);
    let bare = publish(&registry, None);
    let error = describe(&registry, "churn", bare).unwrap_err().to_string();
    assert!(error.starts_with(&format!("churn/{bare} has no segments")), "{error}");
    assert!(describe(&registry, "churn", 99).is_err());
}

#[test]
fn long_lists_are_cut_and_strangers_kept_in_mind() {
    let plans: Vec<String> = (0..12).map(|plan| format!("p{plan}")).collect();
    let schema = Arc::new(Schema::new(vec![Feature::category("plan", plans)]).unwrap());
    let target = Target { kind: TargetKind::Binary, values: vec![0.0, 1.0] };
    let matrix = Matrix::from_columns(2, vec![vec![0.0, segue_dataset::UNSEEN_CATEGORY]]);
    let data = Dataset::new(schema, matrix, target, None, RowKeys::default()).unwrap();
    let model = model();
    let words = Words::new(&data, &model, None);
    let say = |codes: std::ops::Range<u32>, yes: bool| {
        let split = Split::In(CategorySet::from_codes(codes));
        let node = node(0, split, MissingRule::Right);
        let mut condition = Condition::default();
        condition.narrow(if yes { Side::Yes(&node) } else { Side::No(&node) });
        words.say(0, &condition).unwrap()
    };
    assert_eq!(say(0..8, true), "plan is p0, p1, p2, p3, p4, p5 or 2 others");
    // a plan that the vocabulary does not hold is none of these either
    assert_eq!(say(0..11, false), "plan is neither p0, p1, p2, p3, p4, p5 nor 5 others");
}
