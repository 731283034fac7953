//! A registry of models over forty features of a session, fitted on made-up rows.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use segue_dataset::{Dataset, Feature, Matrix, RowKeys, Schema, Target, TargetKind};
use segue_learners::{BoostingParams, Learner};
use segue_model::exchange::{Format, export};
use segue_model::{Calibration, GoldenRow, Model, ModelParts, encode_golden};
use segue_registry::{Draft, GatePolicy, PromoteRequest, Registry, VersionSummary};

/// Counts, durations and flags, then categories.
const N_NUMBERS: usize = 34;
const CATEGORY_SIZES: [usize; 6] = [3, 4, 5, 8, 20, 50];
const N_GOLDEN: usize = 20;
const N_SAMPLE_ROWS: usize = 1000;

/// What requests are made of.
pub(crate) struct Prepared {
    pub(crate) schema: Arc<Schema>,
    /// As many as the largest request has; NaN is missing, a category is its code.
    pub(crate) rows: Vec<Vec<f64>>,
}

/// Versions of `large`.
pub(crate) const N_LARGE: i64 = 21;

/// `churn` has two versions of 100 trees, `large` [`N_LARGE`] of 500, two of them in turn.
pub(crate) fn prepare(folder: &Path, n_rows: usize) -> anyhow::Result<Prepared> {
    if folder.join("models").exists() {
        bail!("{} has been prepared before; name another folder", folder.display());
    }
    fs::create_dir_all(folder)?;
    let schema = Arc::new(schema()?);
    let (columns, labels) = table(n_rows);
    let sample = (0..N_SAMPLE_ROWS.min(n_rows))
        .map(|row| columns.iter().map(|column| column[row]).collect())
        .collect::<Vec<Vec<f64>>>();
    let registry = Registry::open(&folder.join("models").to_string_lossy())?;
    for (name, n_rounds, n_versions) in [("churn", 100, 2), ("large", 500, N_LARGE)] {
        let models = [1, 2].map(|seed| fit(&schema, &columns, &labels, n_rounds, seed));
        let models: Vec<Model> = models.into_iter().collect::<Result<_, _>>()?;
        for version in 0..n_versions {
            publish(&registry, name, version, &models[version as usize % models.len()], &sample)?;
        }
        promote(&registry, name)?;
        let exported = export(&models[0], Format::LightGbm, false)?;
        fs::write(folder.join(format!("{name}.lightgbm.txt")), exported.bytes)?;
    }
    Ok(Prepared { schema, rows: sample })
}

fn schema() -> anyhow::Result<Schema> {
    let numbers = (0..N_NUMBERS).map(|index| Feature::number(format!("sessions_metric_{index}d")));
    let categories = CATEGORY_SIZES.iter().enumerate().map(|(index, &size)| {
        let words = (0..size).map(|word| format!("value-{word}")).collect();
        Feature::category(format!("category_{index}"), words)
    });
    Ok(Schema::new(numbers.chain(categories).collect())?)
}

/// Half of the numbers are counts with many zeros; one value in twenty is missing.
fn table(n_rows: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
    let mut random = SplitMix(7);
    let mut columns = Vec::with_capacity(N_NUMBERS + CATEGORY_SIZES.len());
    for index in 0..N_NUMBERS {
        let mut value = || {
            let (missing, draw) = (random.unit() < 0.05, random.unit());
            match index % 2 {
                _ if missing => f64::NAN,
                0 => (-(1.0 - draw).ln() * 3.0 - 1.5).max(0.0).floor(),
                _ => -(1.0 - draw).ln() * 60.0,
            }
        };
        columns.push((0..n_rows).map(|_| value()).collect::<Vec<f64>>());
    }
    for size in CATEGORY_SIZES {
        columns.push((0..n_rows).map(|_| (random.unit() * size as f64).floor()).collect());
    }
    let label = |row: usize| {
        let of = |column: usize| Some(columns[column][row]).filter(|value| !value.is_nan());
        of(0).map_or(0.4, |visits| 0.5 - 0.4 * visits)
            + of(1).map_or(0.0, |seconds| (seconds / 60.0 - 1.0) * 0.5)
            + of(2).unwrap_or(0.0) * of(3).map_or(0.0, |seconds| 0.01 * seconds)
            + if columns[N_NUMBERS][row] == 1.0 { 0.7 } else { -0.3 }
    };
    let margins: Vec<f64> = (0..n_rows).map(label).collect();
    let labels = margins
        .iter()
        .map(|margin| f64::from(random.unit() < 1.0 / (1.0 + (-margin).exp())))
        .collect();
    (columns, labels)
}

fn fit(
    schema: &Arc<Schema>,
    columns: &[Vec<f64>],
    labels: &[f64],
    n_rounds: usize,
    seed: u64,
) -> anyhow::Result<Model> {
    let target = Target { kind: TargetKind::Binary, values: labels.to_vec() };
    let features = Matrix::from_columns(labels.len(), columns.to_vec());
    let train = Dataset::new(Arc::clone(schema), features, target, None, RowKeys::default())?;
    let learner = Learner::Boosting(BoostingParams {
        n_rounds,
        n_leaves: 31,
        learning_rate: 0.1,
        column_share: 0.8,
        seed,
        ..BoostingParams::default()
    });
    let fitted =
        segue_learners::fit(&learner.check()?, &train, None, 2, &|_| ControlFlow::Continue(()))?;
    Ok(Model::new(ModelParts {
        schema: Arc::clone(schema),
        target: TargetKind::Binary,
        task: "churn".to_owned(),
        ensemble: fitted.ensemble,
        calibration: Calibration::None,
        behaviours: Vec::new(),
        feature_set_hash: None,
    })?)
}

fn publish(
    registry: &Registry,
    name: &str,
    copy: i64,
    model: &Model,
    sample: &[Vec<f64>],
) -> anyhow::Result<()> {
    let golden: Vec<GoldenRow> =
        sample.iter().take(N_GOLDEN).map(|row| GoldenRow::of(model, row)).collect();
    let draft = Draft {
        model: name.to_owned(),
        files: BTreeMap::from([
            ("model.bin".to_owned(), model.encode()),
            ("golden.jsonl".to_owned(), encode_golden(&golden).into_bytes()),
        ]),
        summary: VersionSummary {
            task: model.task().to_owned(),
            target: model.target().clone(),
            schema: Arc::clone(model.schema()),
            feature_set_hash: None,
            metrics: BTreeMap::new(),
            slice_metrics: BTreeMap::new(),
            // The same bytes twice would be the same version.
            lineage: BTreeMap::from([("copy".to_owned(), copy.to_string())]),
            created_by: "segue-load".to_owned(),
            gates: GatePolicy::default(),
        },
    };
    registry.publish(&draft).with_context(|| format!("cannot publish {name}"))?;
    Ok(())
}

fn promote(registry: &Registry, name: &str) -> anyhow::Result<()> {
    registry.promote(&PromoteRequest {
        model: name.to_owned(),
        version: 1,
        // There is no holdout to judge the calibration on.
        override_gates: true,
        ..PromoteRequest::default()
    })?;
    Ok(())
}

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014).
struct SplitMix(u64);

impl SplitMix {
    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
