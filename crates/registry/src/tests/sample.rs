//! Small versions of which everything is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use segue_dataset::{Dataset, Feature, Matrix, RowKeys, Schema, Target, TargetKind};
use segue_model::{
    Calibration, Child, Combine, Ensemble, GoldenRow, Holdout, Link, MissingRule, Model,
    ModelParts, Node, SliceColumn, Split, Tree, encode_golden, logit,
};

use crate::{
    Draft, FEATURES_FILE, GOLDEN_FILE, GatePolicy, HOLDOUT_FILE, MODEL_FILE, VersionSummary,
};

const N_BINS: u32 = 10;
const N_ROWS: usize = 1000;

/// A version that scores by `activity`; rows are positive with probability `0.1 + 0.8 * activity`.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// Only makes the bytes differ.
    pub(super) tag: u32,
    /// Column that the trees ask: `activity` tells the truth, `noise` nothing.
    pub(super) asks: &'static str,
    /// Added to every probability, so that calibration is off by as much.
    pub(super) shift: f64,
    /// A feature that the others do not have.
    pub(super) extra: Option<&'static str>,
    /// Hash of the feature set, if any.
    pub(super) feature_set: Option<&'static str>,
    /// Whether rows of plan `b` have labels of their own, turned around.
    pub(super) bad_slice: bool,
    pub(super) gates: GatePolicy,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            tag: 0,
            asks: "activity",
            shift: 0.0,
            extra: None,
            feature_set: None,
            bad_slice: false,
            gates: GatePolicy { bootstrap_samples: 100, ..GatePolicy::default() },
        }
    }
}

/// The good version whose bytes are told apart by `tag`.
pub(super) fn good(tag: u32) -> Draft {
    Sample { tag, ..Sample::default() }.draft()
}

impl Sample {
    pub(super) fn draft(&self) -> Draft {
        let model = self.model();
        let holdout = self.holdout();
        let mut row = vec![0.0; model.schema().len()];
        let golden = |index| {
            holdout.dataset().features().copy_row(index, &mut row);
            GoldenRow::of(&model, &row)
        };
        let golden: Vec<GoldenRow> = (0..20).map(golden).collect();
        let mut files = BTreeMap::from([
            (MODEL_FILE.to_owned(), model.encode()),
            (GOLDEN_FILE.to_owned(), encode_golden(&golden).into_bytes()),
            (HOLDOUT_FILE.to_owned(), holdout.encode()),
        ]);
        if self.feature_set.is_some() {
            files.insert(FEATURES_FILE.to_owned(), b"# features\n".to_vec());
        }
        let summary = VersionSummary {
            task: "churn".into(),
            target: TargetKind::Binary,
            schema: Arc::clone(model.schema()),
            feature_set_hash: self.feature_set.map(str::to_owned),
            metrics: BTreeMap::from([("auc".into(), 0.75), ("undefined".into(), f64::NAN)]),
            slice_metrics: BTreeMap::from([(
                "plan=a".into(),
                BTreeMap::from([("auc".into(), 0.7)]),
            )]),
            lineage: BTreeMap::from([("tag".into(), self.tag.to_string())]),
            created_by: "ada".into(),
            gates: self.gates.clone(),
        };
        Draft { model: "churn".into(), files, summary }
    }

    fn schema(&self) -> Arc<Schema> {
        let mut features = vec![
            Feature::number("activity"),
            Feature::number("noise"),
            Feature::category("plan", vec!["a".into(), "b".into()]),
        ];
        features.extend(self.extra.map(Feature::number));
        Arc::new(Schema::new(features).unwrap())
    }

    /// One chain of splits, a leaf a bin.
    pub(super) fn model(&self) -> Model {
        let schema = self.schema();
        let feature = schema.index_of(self.asks).unwrap() as u32;
        let node = |bin: u32| Node {
            feature,
            split: Split::AtMost(f64::from(bin + 1) / f64::from(N_BINS)),
            missing: MissingRule::Left,
            left: Child::Leaf(bin),
            right: if bin + 2 == N_BINS { Child::Leaf(bin + 1) } else { Child::Node(bin + 1) },
            gain: 1.0,
            cover: f64::from(N_BINS - bin),
        };
        let tree = Tree {
            nodes: (0..N_BINS - 1).map(node).collect(),
            leaf_values: (0..N_BINS).map(|bin| self.leaf(bin)).collect(),
            leaf_cover: vec![1.0; N_BINS as usize],
            leaf_width: 1,
        };
        Model::new(ModelParts {
            schema,
            target: TargetKind::Binary,
            task: "churn".into(),
            ensemble: Ensemble {
                trees: vec![tree],
                tree_output: vec![0],
                base: vec![f64::from(self.tag) * 1e-9],
                combine: Combine::Sum,
                link: Link::Logistic,
            },
            calibration: Calibration::None,
            behaviours: Vec::new(),
            feature_set_hash: self.feature_set.map(str::to_owned),
        })
        .unwrap()
    }

    fn leaf(&self, bin: u32) -> f64 {
        let truth = 0.1 + 0.8 * (f64::from(bin) + 0.5) / f64::from(N_BINS);
        logit((truth + self.shift).clamp(0.01, 0.99))
    }

    pub(super) fn holdout(&self) -> Holdout {
        let schema = self.schema();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (mut values, mut labels, mut plans) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..N_ROWS {
            let (activity, noise): (f64, f64) = (rng.random(), rng.random());
            let plan = if rng.random::<f64>() < 0.7 { "a" } else { "b" };
            let positive = f64::from(rng.random::<f64>() < 0.1 + 0.8 * activity);
            let turned = self.bad_slice && plan == "b";
            labels.push(if turned { 1.0 - positive } else { positive });
            values.extend([activity, noise, schema.category_code(2, plan)]);
            values.extend(self.extra.map(|_| 0.5));
            plans.push(plan);
        }
        let matrix = Matrix::from_rows(schema.len(), &values);
        let target = Target { kind: TargetKind::Binary, values: labels };
        let rows = Dataset::new(schema, matrix, target, None, RowKeys::default()).unwrap();
        Holdout::new(&rows, vec![SliceColumn::of("plan", &plans)], N_ROWS).unwrap()
    }
}
