//! What a server tells about itself, and how it is asked whether it is well.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

/// Logs and traces of `segue serve`.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Observe {
    /// How log lines are written; SEGUE_LOG says which, such as info or segue::request=debug
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// File that gets who was refused and who changed what, one JSON object a line; it only grows
    /// [default: these lines are in the log alone]
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_log: Option<PathBuf>,
    /// Seconds after which a request is told in the log as slow; 0: none is
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    pub(crate) slow_request: f64,
    /// OpenTelemetry collector that gets a span of each sampled request, over OTLP/gRPC, such as
    /// http://127.0.0.1:4317 [default: no spans]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
    /// Share of the requests that get a span if their caller has not decided, 0 to 1
    #[arg(long, default_value_t = 0.01, value_name = "SHARE")]
    pub(crate) trace_ratio: f64,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line, for machines
    Json,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Health {
    /// Address of the gRPC services, or its URL with http:// or https://
    #[arg(
        long,
        env = "SEGUE_HEALTH_GRPC",
        default_value = "127.0.0.1:50051",
        value_name = "ADDR|URL"
    )]
    pub(crate) grpc: String,
    /// What to ask after: model/NAME, or the full name of a gRPC service [default: the server]
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) service: String,
    /// Seconds to wait for it to be ready
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub(crate) wait: f64,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    pub(crate) timeout: f64,
    /// Roots that the server's certificate must come from, in PEM [default: those of the system]
    #[arg(long, env = "SEGUE_HEALTH_TLS_CA", value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Name that the server's certificate must carry [default: the host of the URL]
    #[arg(long, env = "SEGUE_HEALTH_TLS_SERVER_NAME", value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// Own certificate chain to show, in PEM
    #[arg(long, env = "SEGUE_HEALTH_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, env = "SEGUE_HEALTH_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}
