//! Arguments of `import` and `export`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};
use segue_model::exchange::Format;

use super::RegistryArgs;

/// Format of a foreign model in a file to read.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ImportFormat {
    /// LightGBM's text
    Lightgbm,
    /// LightGBM's JSON, of dump_model
    LightgbmJson,
    /// XGBoost's JSON
    Xgboost,
    /// XGBoost's UBJSON
    XgboostUbjson,
    /// XGBoost's binary format, before JSON and UBJSON
    XgboostBinary,
    /// ONNX with one tree ensemble
    Onnx,
}

impl From<ImportFormat> for Format {
    fn from(format: ImportFormat) -> Self {
        match format {
            ImportFormat::Lightgbm => Self::LightGbm,
            ImportFormat::LightgbmJson => Self::LightGbmJson,
            ImportFormat::Xgboost => Self::XgboostJson,
            ImportFormat::XgboostUbjson => Self::XgboostUbjson,
            ImportFormat::XgboostBinary => Self::XgboostBinary,
            ImportFormat::Onnx => Self::Onnx,
        }
    }
}

/// Format of a foreign model in a file to write.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ExportFormat {
    /// LightGBM's text, version v4
    Lightgbm,
    /// XGBoost's JSON, in single precision
    Xgboost,
    /// ONNX, ai.onnx.ml 5 in double precision
    Onnx,
}

impl From<ExportFormat> for Format {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Lightgbm => Self::LightGbm,
            ExportFormat::Xgboost => Self::XgboostJson,
            ExportFormat::Onnx => Self::Onnx,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Import {
    /// The foreign model
    pub(crate) file: PathBuf,
    /// Name of the model
    #[arg(long, required_unless_present = "job", conflicts_with = "job")]
    pub(crate) name: Option<String>,
    /// A job on a table that says the rest: its rows calibrate the model and judge it, its segments and
    /// gates are those of the version, what it says of a learner is not looked at
    ///
    /// The model should have seen none but the rows of the job's training part.
    #[arg(long, value_name = "JOB", conflicts_with_all = ["data", "label", "positive", "task"])]
    pub(crate) job: Option<PathBuf>,
    /// Leave the scores as they are, instead of calibrating them on the job's calibrating rows
    #[arg(long, requires = "job")]
    pub(crate) uncalibrated: bool,
    /// Also write the report here
    #[arg(long, value_name = "FILE", requires = "job")]
    pub(crate) report: Option<PathBuf>,
    /// Format [default: recognised by the first bytes]
    #[arg(long, value_enum)]
    pub(crate) format: Option<ImportFormat>,
    /// Task, free text [default: the name]
    #[arg(long)]
    pub(crate) task: Option<String>,
    /// Rows that the model was not fitted on, .parquet or .csv, for metrics and gates
    #[arg(long, value_name = "FILE", requires = "label")]
    pub(crate) data: Option<PathBuf>,
    /// Column of labels in that table
    #[arg(long, value_name = "COLUMN", requires = "data")]
    pub(crate) label: Option<String>,
    /// Label that counts as 1 [default: 1 or true]
    #[arg(long, value_name = "TEXT", requires = "label")]
    pub(crate) positive: Option<String>,
    /// Who publishes
    #[arg(long, env = "USER", default_value = "unknown")]
    pub(crate) actor: String,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Export {
    /// MODEL, MODEL@ALIAS or MODEL@VERSION
    pub(crate) model: String,
    /// Format
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
    /// Where to write the model
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Leave the calibration out; the scores are then not those of the model
    #[arg(long)]
    pub(crate) uncalibrated: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}
