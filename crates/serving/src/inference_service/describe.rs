//! What there is to ask: readiness, tensors, counts, versions.

use std::collections::BTreeMap;

use segue_api::inference as pb;
use segue_api::v1;

use super::infer::{Output, wire_size};
use super::{DataType, Inference};
use crate::live::{Counted, LiveModel, Selected, Selection, ServedVersion};
use crate::{Reason, ServingError, Violation};

/// Names the kind of model where generic servers name a framework.
const PLATFORM: &str = "segue_trees";

/// Extensions of the protocol that are served. perf_analyzer asks for statistics only if told.
const EXTENSIONS: [&str; 5] =
    ["binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics"];

/// Who answers.
pub(crate) fn server() -> pb::ServerMetadataResponse {
    pb::ServerMetadataResponse {
        name: "segue".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: EXTENSIONS.map(str::to_owned).to_vec(),
    }
}

/// There is one registry, and it has no name.
pub(super) fn check_repository(name: &str) -> Result<(), ServingError> {
    if name.is_empty() {
        return Ok(());
    }
    let description = "there is one repository, and it has no name; leave it empty";
    Err(ServingError::invalid("repository_name", Reason::FieldInvalid, description))
}

impl Inference {
    pub(crate) fn is_ready(&self) -> bool {
        self.scoring.0.live.readiness().ready
    }

    /// Whether a request for the version would find it. Anything that cannot be found is not ready.
    pub(crate) fn is_model_ready(&self, name: &str, version: &str) -> bool {
        let draining = self.scoring.0.live.readiness().draining;
        !draining && self.select(name, version, "name").is_ok()
    }

    /// The version of a question: the champion if it names none, else by number or alias.
    fn select(
        &self,
        name: &str,
        version: &str,
        name_field: &str,
    ) -> Result<Selected, ServingError> {
        let selection = self.selection(name, version, name_field)?;
        selection.unsplit().first().cloned().ok_or(ServingError::Internal)
    }

    /// The versions of a request: routed as a Score if it names none, else by number or alias.
    /// `name_field` is what the request calls the model's name.
    pub(super) fn selection(
        &self,
        name: &str,
        version: &str,
        name_field: &str,
    ) -> Result<Selection, ServingError> {
        use v1::model_selector::Choice;
        let version_field = if name_field == "name" { "version" } else { "model_version" };
        let choice = if version.is_empty() {
            None
        } else if version.bytes().all(|byte| byte.is_ascii_digit()) {
            let too_large = |_| {
                let description = "no version has so large a number";
                ServingError::invalid(version_field, Reason::FieldInvalid, description)
            };
            Some(Choice::Version(version.parse().map_err(too_large)?))
        } else {
            Some(Choice::Alias(version.to_owned()))
        };
        let selectors = [v1::ModelSelector { model: name.to_owned(), choice }];
        // The names of this protocol for the fields of the other.
        let renamed = |violation: Violation| {
            let is_name = violation.field == "models[0].model";
            let field = if is_name { name_field } else { version_field };
            Violation { field: field.to_owned(), ..violation }
        };
        self.scoring.0.live.snapshot().select_all(&selectors).map_err(|error| match error {
            ServingError::Invalid(violations) => {
                ServingError::Invalid(violations.into_iter().map(renamed).collect())
            }
            error => error,
        })
    }

    pub(crate) fn model_metadata_of(
        &self,
        name: &str,
        version: &str,
    ) -> Result<pb::ModelMetadataResponse, ServingError> {
        use pb::model_metadata_response::TensorMetadata;
        let selected = self.select(name, version, "name")?;
        let served = &selected.served;
        let input = |feature: &segue_dataset::Feature| TensorMetadata {
            name: feature.name.clone(),
            datatype: input_type(feature).name().to_owned(),
            shape: vec![-1, 1],
        };
        let output = |output: Output| TensorMetadata {
            name: output.name().to_owned(),
            datatype: output_type(output).name().to_owned(),
            shape: std::iter::once(-1).chain(dims(output, served)).collect(),
        };
        let snapshot = self.scoring.0.live.snapshot();
        let loaded = snapshot.models.get(name).map(|live| live.loaded()).unwrap_or_default();
        Ok(pb::ModelMetadataResponse {
            name: served.name.clone(),
            versions: loaded.keys().map(u64::to_string).collect(),
            platform: PLATFORM.to_owned(),
            inputs: served.model.schema().features().iter().map(input).collect(),
            outputs: Output::ALL.map(output).to_vec(),
        })
    }

    pub(crate) fn model_config_of(
        &self,
        name: &str,
        version: &str,
    ) -> Result<pb::ModelConfig, ServingError> {
        let selected = self.select(name, version, "name")?;
        let served = &selected.served;
        let schema = served.model.schema();
        let input = |feature: &segue_dataset::Feature| pb::ModelInput {
            name: feature.name.clone(),
            data_type: config_type(input_type(feature)).into(),
            dims: vec![1],
            optional: false,
        };
        let output = |output: Output| {
            let mut dims = dims(output, served);
            if dims.is_empty() {
                dims.push(1);
            }
            let data_type = config_type(output_type(output)).into();
            pb::ModelOutput { name: output.name().to_owned(), data_type, dims }
        };
        let parameters = [
            ("schema_digest", schema.digest().to_string()),
            ("task", served.model.task().to_owned()),
            ("version", served.version.to_string()),
        ];
        let parameter = |(name, string_value): (&str, String)| {
            (name.to_owned(), pb::ModelParameter { string_value })
        };
        let max_rows = self.scoring.0.options.max_batch_rows;
        Ok(pb::ModelConfig {
            name: served.name.clone(),
            platform: PLATFORM.to_owned(),
            max_batch_size: i32::try_from(max_rows).unwrap_or(i32::MAX),
            input: schema.features().iter().map(input).collect(),
            output: Output::ALL.map(output).to_vec(),
            parameters: parameters.into_iter().map(parameter).collect(),
            backend: "segue".to_owned(),
        })
    }

    pub(crate) fn statistics_of(
        &self,
        name: &str,
        version: &str,
    ) -> Result<pb::ModelStatisticsResponse, ServingError> {
        let snapshot = self.scoring.0.live.snapshot();
        let all =
            |live: &LiveModel| live.loaded().into_values().map(|one| statistics(one)).collect();
        let model_stats = if name.is_empty() {
            snapshot.models.values().flat_map(|live| -> Vec<_> { all(live) }).collect()
        } else if version.is_empty() {
            match snapshot.models.get(name) {
                Some(live) => all(live),
                // Says what is wrong with the name.
                None => vec![statistics(&self.select(name, version, "name")?.served)],
            }
        } else {
            vec![statistics(&self.select(name, version, "name")?.served)]
        };
        Ok(pb::ModelStatisticsResponse { model_stats })
    }

    pub(crate) fn index(
        &self,
        request: &pb::RepositoryIndexRequest,
    ) -> Result<pb::RepositoryIndexResponse, ServingError> {
        check_repository(&request.repository_name)?;
        let snapshot = self.scoring.0.live.snapshot();
        let versions = snapshot.models.iter().flat_map(|(name, live)| index_of(name, live));
        let models = versions.filter(|one| !request.ready || one.state == READY).collect();
        Ok(pb::RepositoryIndexResponse { models })
    }
}

const READY: &str = "READY";

/// Every published version of a model, and those in memory whatever the registry says of them.
fn index_of(
    name: &str,
    live: &LiveModel,
) -> impl Iterator<Item = pb::repository_index_response::ModelIndex> {
    let loaded = live.loaded();
    let mut versions: BTreeMap<u64, bool> =
        live.published.iter().map(|one| (*one, false)).collect();
    versions.extend(loaded.keys().map(|version| (*version, true)));
    let unloaded = match &live.load_error {
        Some(error) => format!("not in memory: {error}"),
        None => "not in memory: no alias points at it".to_owned(),
    };
    let name = name.to_owned();
    versions.into_iter().map(move |(version, is_loaded)| {
        let (state, reason) =
            if is_loaded { (READY, String::new()) } else { ("UNAVAILABLE", unloaded.clone()) };
        pb::repository_index_response::ModelIndex {
            name: name.clone(),
            version: version.to_string(),
            state: state.to_owned(),
            reason,
        }
    })
}

fn statistics(served: &ServedVersion) -> pb::ModelStatistics {
    let duration =
        |counted: Counted| Some(pb::StatisticDuration { count: counted.count, ns: counted.nanos });
    let (answered, refused) = (served.stats.all_answered(), served.stats.all_refused());
    // Nothing waits in a queue, and reading, scoring and writing are one pass.
    let none = duration(Counted { count: answered.count, nanos: 0 });
    pb::ModelStatistics {
        name: served.name.clone(),
        version: served.version.to_string(),
        last_inference: served.stats.last_ms(),
        inference_count: served.stats.n_rows(),
        execution_count: answered.count,
        inference_stats: Some(pb::InferStatistics {
            success: duration(answered),
            fail: duration(refused),
            queue: none,
            compute_input: none,
            compute_infer: duration(answered),
            compute_output: none,
        }),
        batch_stats: Vec::new(),
    }
}

fn input_type(feature: &segue_dataset::Feature) -> DataType {
    if feature.is_category() { DataType::Bytes } else { DataType::Fp64 }
}

fn output_type(output: Output) -> DataType {
    match output {
        Output::Scores | Output::TreeShap => DataType::Fp64,
        Output::Segments | Output::PredictionIds => DataType::Bytes,
    }
}

/// The shape of an output without its rows.
fn dims(output: Output, served: &ServedVersion) -> Vec<i64> {
    let (n_outputs, width) = (served.model.n_outputs(), served.model.schema().len());
    let classes = (n_outputs > 1).then(|| wire_size(n_outputs));
    match output {
        Output::Scores => classes.into_iter().collect(),
        Output::Segments | Output::PredictionIds => Vec::new(),
        Output::TreeShap => classes.into_iter().chain([wire_size(width + 1)]).collect(),
    }
}

fn config_type(datatype: DataType) -> pb::DataType {
    match datatype {
        DataType::Bool => pb::DataType::TypeBool,
        DataType::Uint8 => pb::DataType::TypeUint8,
        DataType::Uint16 => pb::DataType::TypeUint16,
        DataType::Uint32 => pb::DataType::TypeUint32,
        DataType::Uint64 => pb::DataType::TypeUint64,
        DataType::Int8 => pb::DataType::TypeInt8,
        DataType::Int16 => pb::DataType::TypeInt16,
        DataType::Int32 => pb::DataType::TypeInt32,
        DataType::Int64 => pb::DataType::TypeInt64,
        DataType::Fp32 => pb::DataType::TypeFp32,
        DataType::Fp64 => pb::DataType::TypeFp64,
        DataType::Bytes => pb::DataType::TypeString,
    }
}
