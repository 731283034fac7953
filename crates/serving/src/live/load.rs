//! A version in memory, proven and warm before anybody sees it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use segue_features::FeatureSet;
use segue_model::{Model, Profile, Scratch, SegmentError, SegmentSet};
use segue_registry::{LoadedVersion, Registry, RegistryError};

use super::predictions::PredictionCounters;
use super::{LiveModels, Stats};
use crate::guard::panic_text;
use crate::metrics::{FeatureLabels, InfoLabels, Metrics, ModelLabels, VersionLabels};
use crate::prediction_log::LoggedVersion;

/// A version of a model, with everything that a request needs of it.
#[derive(Debug)]
pub(crate) struct ServedVersion {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) digest: String,
    pub(crate) model: Model,
    pub(crate) segments: Option<SegmentSet>,
    /// Absent for a model that was trained from a feature table.
    pub(crate) features: Option<FeatureSet>,
    pub(crate) counters: Counters,
    pub(crate) stats: Arc<Stats>,
    /// Microseconds that loading took, up to the first row.
    pub(crate) load_us: u64,
    /// Bytes of its files.
    pub(crate) file_bytes: u64,
    /// What its log needs of it.
    pub(crate) logged: Arc<LoggedVersion>,
}

/// The version's own metrics, looked up once and not for every row.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) predictions: PredictionCounters,
    pub(crate) score: Histogram,
    /// One a column.
    pub(crate) missing: Vec<Counter>,
    pub(crate) unseen: Counter,
    pub(crate) segment_errors: Counter,
}

/// Why a version is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("features.toml cannot be used: {0}")]
    Features(String),
    #[error(
        "features.toml has hash {found}, but the model was trained on {expected}; publish the \
         version again with the feature set it was trained on"
    )]
    FeatureSetHash { expected: String, found: String },
    #[error(
        "features.toml fills schema {found}, but the model reads {expected}; publish the version \
         again with the feature set it was trained on"
    )]
    FeatureSchema { expected: String, found: String },
    #[error("segments.toml cannot be used: {0}")]
    Segments(#[from] SegmentError),
    #[error("scoring a first row panicked: {0}")]
    Warm(String),
}

/// Loads a version and checks that it could be served.
pub(crate) fn prove(
    registry: &Registry,
    live: &LiveModels,
    name: &str,
    version: u64,
) -> Result<LoadedVersion, LoadError> {
    let loaded = registry.load(name, version)?;
    check(live, &loaded)?;
    Ok(loaded)
}

/// Checks that the parts of a version belong together, and scores a first row. The registry knows
/// neither feature sets nor the names that segments may use. Nothing is read for it: no other model's
/// storage holds up what is done to this one.
pub(crate) fn check(
    live: &LiveModels,
    loaded: &LoadedVersion,
) -> Result<Option<FeatureSet>, LoadError> {
    let features = loaded.features_toml.as_deref().map(FeatureSet::from_toml).transpose();
    let features = features.map_err(|error| LoadError::Features(error.to_string()))?;
    if let Some(features) = &features {
        check_features(features, &loaded.model)?;
    }
    if let Some(segments) = &loaded.segments {
        check_segments(segments, &loaded.model, &loaded.manifest.model, live)?;
    }
    warm(&loaded.model)?;
    Ok(features)
}

impl ServedVersion {
    /// A version that the registry has loaded, [checked](check), with its counters.
    pub(crate) fn of(
        live: &LiveModels,
        loaded: LoadedVersion,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        let started = Instant::now();
        let features = check(live, &loaded)?;
        let (name, version) = (loaded.manifest.model.clone(), loaded.manifest.version);
        let counters = Counters::new(&name, version, &loaded, metrics);
        let profile = profile(&loaded);
        let digest = loaded.manifest.digest;
        let logged = LoggedVersion::new(&name, version, &digest, &loaded.model, profile);
        let took = loaded.took + started.elapsed();
        Ok(Self {
            name,
            version,
            digest,
            model: loaded.model,
            segments: loaded.segments,
            features,
            counters,
            stats: Arc::default(),
            load_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            file_bytes: loaded.manifest.files.values().map(|file| file.size).sum(),
            logged: Arc::new(logged),
        })
    }

    pub(crate) fn info_labels(&self) -> InfoLabels {
        InfoLabels { model: self.name.clone(), version: self.version, digest: self.digest.clone() }
    }
}

/// What its training rows looked like. Without it, or if it is of something else, the version is served
/// and its drift is not measured.
fn profile(loaded: &LoadedVersion) -> Option<Profile> {
    let (manifest, model) = (&loaded.manifest, &loaded.model);
    let (name, version) = (&manifest.model, manifest.version);
    let read = |bytes: &[u8]| {
        let text = str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let profile = Profile::from_json(text).map_err(|error| error.to_string())?;
        let (expected, found) = (model.schema().digest().as_str(), &profile.schema_digest);
        let has_shape = profile.features.len() == model.schema().len()
            && profile.outputs.len() == model.n_outputs();
        if found != expected || !has_shape {
            return Err(format!("it is of schema {found}, the model has {expected}"));
        }
        Ok(profile)
    };
    read(loaded.profile.as_deref()?)
        .inspect_err(|error| {
            tracing::warn!(model = name, version, %error, "profile.json cannot be used; no drift is measured");
        })
        .ok()
}

fn check_features(features: &FeatureSet, model: &Model) -> Result<(), LoadError> {
    let expected = model.feature_set_hash().unwrap_or("none");
    if features.hash() != expected {
        let (expected, found) = (expected.to_owned(), features.hash().to_owned());
        return Err(LoadError::FeatureSetHash { expected, found });
    }
    let (expected, found) = (model.schema().digest(), features.schema().digest());
    if expected != found {
        let (expected, found) = (expected.to_string(), found.to_string());
        return Err(LoadError::FeatureSchema { expected, found });
    }
    Ok(())
}

/// Names and types of the conditions. A model that is not there yet is no reason to refuse this one:
/// a condition over its score does not hold, as when a request does not select it.
fn check_segments(
    segments: &SegmentSet,
    model: &Model,
    name: &str,
    live: &LiveModels,
) -> Result<(), LoadError> {
    for other in segments.models().filter(|other| !live.knows(other)) {
        tracing::warn!(
            model = name,
            other,
            "segments ask for a model that this server does not know"
        );
    }
    let models: Vec<&str> = segments.models().collect();
    segments.check(model.schema(), &models)?;
    Ok(segments.check_classes(model.classes())?)
}

/// Touches the trees, and shows that scoring does not panic. The golden rows have been replayed.
fn warm(model: &Model) -> Result<(), LoadError> {
    let row = vec![f64::NAN; model.schema().len()];
    let first = || {
        let score = model.score(&row, &mut Scratch::default()).score();
        (score, model.explain(&row))
    };
    catch_unwind(AssertUnwindSafe(first))
        .map(|_| ())
        .map_err(|panic| LoadError::Warm(panic_text(&*panic).to_owned()))
}

impl Counters {
    fn new(name: &str, version: u64, loaded: &LoadedVersion, metrics: &Metrics) -> Self {
        let model = &loaded.model;
        let segments = loaded.segments.iter().flat_map(SegmentSet::names);
        let predictions = &metrics.scoring.predictions;
        let of_model = ModelLabels { model: name.to_owned() };
        let of_version = VersionLabels { model: name.to_owned(), version };
        let missing = |feature: &segue_dataset::Feature| {
            let labels = FeatureLabels { model: name.to_owned(), feature: feature.name.clone() };
            metrics.scoring.feature_missing.get_or_create_owned(&labels)
        };
        Self {
            predictions: PredictionCounters::new(name, version, segments, predictions),
            score: metrics.scoring.score.get_or_create_owned(&of_version),
            missing: model.schema().features().iter().map(missing).collect(),
            unseen: metrics.scoring.unseen_category.get_or_create_owned(&of_model),
            segment_errors: metrics.scoring.segment_errors.get_or_create_owned(&of_model),
        }
    }
}
