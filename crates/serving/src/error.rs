//! What can be wrong with a request or with the server's state, and how it reads on the wire.

mod status;

use std::time::Duration;

use segue_registry::RegistryError;

use crate::prediction_log::{HOUR_US, hour_text};

pub use self::status::ERROR_DOMAIN;
pub(crate) use self::status::rpc_status;

/// One bad field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path in the request, such as `row.named.values["age"]`.
    pub field: String,
    /// What kind of wrong it is.
    pub reason: Reason,
    /// What was expected, what was found, and the way out.
    pub description: String,
}

/// The kinds of bad fields. The names on the wire are [`Reason::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A model's name is empty or not a name.
    ModelNameInvalid,
    /// No model is selected.
    ModelsAbsent,
    /// The same model is selected twice.
    ModelRepeated,
    /// No row, or a row without features.
    FeaturesAbsent,
    /// A feature that the model asks for is not there.
    FeatureMissing,
    /// A value of another kind than the feature's.
    FeatureType,
    /// NaN or an infinity where a number is wanted.
    FeatureNotFinite,
    /// A category that the vocabulary does not hold (strict requests only).
    CategoryUnknown,
    /// A feature that no selected model knows (strict requests only).
    ExtraFeature,
    /// Packed features of the wrong number.
    FeatureCountMismatch,
    /// Packed features without a digest.
    SchemaDigestAbsent,
    /// An event that cannot be read, or (strict) not used.
    EventInvalid,
    /// Events for a model that was trained from a feature table.
    EventsNotAccepted,
    /// More rows than a batch may have.
    BatchTooLarge,
    /// An alias that is not a name.
    AliasInvalid,
    /// A request id that was used for another change.
    RequestIdReused,
    /// An upload that is not what it announces, or does not hold together.
    UploadInvalid,
    /// A split of the traffic that does not hold together.
    TrafficInvalid,
    /// A field of the request that makes no sense.
    FieldInvalid,
    /// A body that is not the JSON that was expected.
    JsonInvalid,
    /// A tensor that the model does not have.
    TensorUnknown,
    /// A tensor given, or asked for, twice.
    TensorRepeated,
    /// A data type that the tensor cannot have.
    TensorDatatype,
    /// A shape that the tensor cannot have.
    TensorShape,
    /// Values or bytes of another number than the shape says.
    TensorLength,
    /// Values in another form than the data type or the other tensors ask for.
    TensorEncoding,
    /// No name of a prediction.
    PredictionIdInvalid,
    /// An outcome without a label.
    OutcomeLabelAbsent,
    /// An outcome with a field that makes no sense.
    OutcomeInvalid,
    /// An outcome that has changed too often.
    TooManyChanges,
    /// A parameter that is reserved, unknown or of the wrong type.
    ParameterInvalid,
}

impl Reason {
    /// The reason as it stands in `ErrorInfo` and `BadRequest`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::ModelNameInvalid => "MODEL_NAME_INVALID",
            Self::ModelsAbsent => "MODELS_ABSENT",
            Self::ModelRepeated => "MODEL_REPEATED",
            Self::FeaturesAbsent => "FEATURES_ABSENT",
            Self::FeatureMissing => "FEATURE_MISSING",
            Self::FeatureType => "FEATURE_TYPE",
            Self::FeatureNotFinite => "FEATURE_NOT_FINITE",
            Self::CategoryUnknown => "CATEGORY_UNKNOWN",
            Self::ExtraFeature => "EXTRA_FEATURE",
            Self::FeatureCountMismatch => "FEATURE_COUNT_MISMATCH",
            Self::SchemaDigestAbsent => "SCHEMA_DIGEST_ABSENT",
            Self::EventInvalid => "EVENT_INVALID",
            Self::EventsNotAccepted => "EVENTS_NOT_ACCEPTED",
            Self::BatchTooLarge => "BATCH_TOO_LARGE",
            Self::AliasInvalid => "ALIAS_INVALID",
            Self::RequestIdReused => "REQUEST_ID_REUSED",
            Self::UploadInvalid => "UPLOAD_INVALID",
            Self::TrafficInvalid => "TRAFFIC_INVALID",
            Self::FieldInvalid => "FIELD_INVALID",
            Self::JsonInvalid => "JSON_INVALID",
            Self::TensorUnknown => "TENSOR_UNKNOWN",
            Self::TensorRepeated => "TENSOR_REPEATED",
            Self::TensorDatatype => "TENSOR_DATATYPE",
            Self::TensorShape => "TENSOR_SHAPE",
            Self::TensorLength => "TENSOR_LENGTH",
            Self::TensorEncoding => "TENSOR_ENCODING",
            Self::PredictionIdInvalid => "PREDICTION_ID_INVALID",
            Self::OutcomeLabelAbsent => "OUTCOME_LABEL_ABSENT",
            Self::OutcomeInvalid => "OUTCOME_INVALID",
            Self::TooManyChanges => "TOO_MANY_CHANGES",
            Self::ParameterInvalid => "PARAMETER_INVALID",
        }
    }
}

/// Why a request is not answered with a score.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// Fields of the request are bad: all of them, not only the first.
    #[error("{}", summary(.0))]
    Invalid(Vec<Violation>),
    /// No such model.
    #[error("model {model:?} is not in the registry; ListModels gives the names")]
    ModelNotFound {
        /// As asked for.
        model: String,
    },
    /// No such version.
    #[error("model {model:?} has no version {version}; ListModelVersions gives them")]
    VersionNotFound {
        /// The model.
        model: String,
        /// As asked for.
        version: u64,
    },
    /// No such alias.
    #[error("model {model:?} has no alias {alias:?}; promote a version to make one")]
    AliasNotFound {
        /// The model.
        model: String,
        /// As asked for.
        alias: String,
    },
    /// Health of something that is not here.
    #[error(
        "no service {name:?}; health is told of \"\", segue.v1.ScoringService, \
         segue.v1.ModelRegistryService, inference.GRPCInferenceService and model/NAME"
    )]
    HealthUnknown {
        /// As asked for.
        name: String,
    },
    /// Packed for another schema.
    #[error(
        "features were packed for schema {found}, but version {version} of {model:?} has \
         {expected}; fetch its columns with GetModelSchema and pack again"
    )]
    SchemaDigestMismatch {
        /// The model.
        model: String,
        /// Its version.
        version: u64,
        /// Digest of its schema.
        expected: String,
        /// Digest of the request.
        found: String,
    },
    /// Published, but no alias points at it.
    #[error(
        "version {version} of model {model:?} is published but not loaded; give it an alias with \
         SetModelAlias"
    )]
    VersionNotLoaded {
        /// The model.
        model: String,
        /// The version.
        version: u64,
    },
    /// A candidate for promotion or traffic that this server could not serve.
    #[error(
        "nothing was changed, because version {version} of model {model:?} could not be served: \
         {detail}"
    )]
    NotServable {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// Why.
        detail: String,
    },
    /// Not loaded yet, or could not be loaded.
    #[error("model {model:?} is not ready: {detail}")]
    NotReady {
        /// The model.
        model: String,
        /// Why.
        detail: String,
    },
    /// Too much at once.
    #[error("the server already works on {limit} {what}; try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// What is limited.
        what: &'static str,
        /// Its limit.
        limit: usize,
        /// When to come again.
        retry_after: Duration,
    },
    /// On its way out.
    #[error("the server is shutting down; another replica will answer")]
    Draining,
    /// A body over HTTP of more bytes than a request may have.
    #[error("the body has more than {limit} bytes; send fewer rows at once")]
    MessageTooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// Something that this server does not do, whatever the request.
    #[error("{what}")]
    Unimplemented {
        /// What, and what to do instead.
        what: &'static str,
    },
    /// Outcomes without a place to keep them.
    #[error(
        "outcomes and performance need a prediction log, and this server keeps none; start it with \
         --prediction-log DIR"
    )]
    FeedbackOff,
    /// An outcome of a prediction that is no longer kept.
    #[error(
        "the prediction is too old: outcomes are kept of predictions made after {} only",
        hour_text(oldest_us / HOUR_US)
    )]
    OutcomeTooLate {
        /// Since when outcomes are kept, in microseconds.
        oldest_us: i64,
    },
    /// A stream of requests of which nothing has come for too long.
    #[error("nothing has come for {} s; open another stream when there is something to send", after.as_secs_f64())]
    StreamIdle {
        /// For how long.
        after: Duration,
    },
    /// Outcomes for which there is no room.
    #[error(
        "the outcomes take all of the {max_bytes} bytes that they may, and the oldest leave in {} h; \
         raise --outcomes-max-bytes, or keep fewer days of the prediction log",
        free_after.as_secs().div_ceil(3600)
    )]
    OutcomesFull {
        /// How many they may take.
        max_bytes: u64,
        /// When there will be room again.
        free_after: Duration,
    },
    /// Outcomes that could not be put on the disk.
    #[error("the outcome could not be written and is not recorded; try again: {detail}")]
    OutcomesUnwritable {
        /// Why.
        detail: String,
    },
    /// A prediction log that could not be read.
    #[error("the prediction log cannot be read: {detail}")]
    LogUnreadable {
        /// Why.
        detail: String,
    },
    /// A version that does not say what it was trained on.
    #[error(
        "version {version} of model {model:?} has no usable profile.json, so there is nothing to \
         compare its rows with; publish one that segue train made"
    )]
    ProfileAbsent {
        /// The model.
        model: String,
        /// The version.
        version: u64,
    },
    /// Whoever asks has shown nothing, or nothing good.
    #[error("{detail}")]
    Unauthenticated {
        /// What is wrong with it, as [`ErrorInfo`](tonic_types::ErrorInfo) has it.
        reason: &'static str,
        /// In words, with the way out.
        detail: String,
    },
    /// Whoever asks is known, and may not.
    #[error("{caller} lacks the role {role}{of_what}; who keeps the access file can give it")]
    PermissionDenied {
        /// Who asks.
        caller: String,
        /// What would be needed.
        role: &'static str,
        /// For what, if the role is not enough by itself; begins with a space.
        of_what: String,
    },
    /// Out of time.
    #[error("the deadline of the request has passed")]
    DeadlineExceeded,
    /// The registry refused or failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A fault of ours. The details are in the log, not in the answer.
    #[error("internal error; the server's log has the details")]
    Internal,
}

impl ServingError {
    /// One bad field.
    pub(crate) fn invalid(
        field: impl Into<String>,
        reason: Reason,
        description: impl Into<String>,
    ) -> Self {
        let (field, description) = (field.into(), description.into());
        Self::Invalid(vec![Violation { field, reason, description }])
    }
}

fn summary(violations: &[Violation]) -> String {
    match violations {
        [] => "the request is not valid".to_owned(),
        [one] => format!("{}: {}", one.field, one.description),
        [first, rest @ ..] => {
            format!("{}: {} (and {} more)", first.field, first.description, rest.len())
        }
    }
}

/// Why the server could not start or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An option is out of range.
    #[error("option {option} is {found}, but must be {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// As given.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A socket, thread or pool could not be had.
    #[error("cannot {action}: {source}")]
    Resource {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry could not be opened or read at the start.
    #[error("cannot read the registry")]
    Registry(#[from] RegistryError),
}
