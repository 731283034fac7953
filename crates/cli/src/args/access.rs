//! Who may connect, and who may do what.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

/// Connections, certificates and access of a server. `docs/security.md` has the whole.
#[derive(Debug, ClapArgs)]
pub(crate) struct Security {
    /// Access file: keys, certificates and JWTs, and their roles [default: everybody may everything]
    #[arg(long, env = "SEGUE_ACCESS", value_name = "FILE")]
    pub(crate) access: Option<PathBuf>,
    /// Certificate of the server and its intermediates, PEM; both ports
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Authorities of callers' certificates, PEM; the gRPC port then asks for one
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Let callers of the gRPC port in without a certificate, if they have another credential
    #[arg(long, requires = "tls_client_ca")]
    pub(crate) tls_client_optional: bool,
    /// Have nobody promote, or give users to, a version that they have published themselves
    #[arg(long)]
    pub(crate) distinct_approver: bool,
    /// Show /metrics to everybody, whatever the access file says
    #[arg(long)]
    pub(crate) open_metrics: bool,
    /// Seconds between looks at certificates and the access file; SIGHUP looks at once
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    pub(crate) reload_interval: f64,
    /// Connections of the gRPC port at once; more are closed
    #[arg(long, default_value_t = 1024, value_name = "N")]
    pub(crate) max_connections: usize,
    /// Connections of the HTTP port at once; more are closed
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub(crate) max_http_connections: usize,
    /// Seconds for a TLS handshake, for the first bytes of a connection and the headers of a request
    #[arg(long, default_value_t = 20.0, value_name = "SECONDS")]
    pub(crate) header_timeout: f64,
    /// Seconds after which callers who do not read their answers are cut off
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    pub(crate) answer_timeout: f64,
    /// Listen beyond loopback although there is no TLS or nobody is asked who they are
    #[arg(long)]
    pub(crate) insecure: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Access {
    #[command(subcommand)]
    pub(crate) what: AccessWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccessWhat {
    /// Make a key: print it once, and the lines for the access file, which do not contain it
    NewKey {
        /// Whom it is for; stands in logs and audit trails
        name: String,
        // Brackets in a comment would be links of the documentation.
        #[arg(
            long = "role",
            required = true,
            value_name = "ROLE",
            help = "viewer, scorer, feedback, publisher[:MODELS], promoter[:MODELS[@ALIASES]] or \
                    admin, where MODELS and ALIASES are globs; may be repeated"
        )]
        roles: Vec<String>,
        /// When it stops to count, such as 2027-01-31T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// Read an access file as the server would, and say what is wrong with it
    Check {
        /// The file
        file: PathBuf,
    },
}
