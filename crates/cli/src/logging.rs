//! Where log lines go: to stderr, and of a server who changed what to a file of its own.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::args::{Command, LogFormat};

/// Starts to log as the command and `SEGUE_LOG` say.
///
/// # Errors
/// The file of the audit trail cannot be opened.
pub(crate) fn start(command: &Command) -> anyhow::Result<()> {
    let serve = if let Command::Serve(serve) = command { Some(&serve.observe) } else { None };
    // the server's own story belongs on a server's terminal; elsewhere only what went wrong
    let level = if serve.is_some() { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("SEGUE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if serve.is_some_and(|serve| serve.log_format == LogFormat::Json) {
        lines.json().with_filter(filter).boxed()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed()
    };
    let audit = serve.and_then(|serve| serve.audit_log.as_deref()).map(audit).transpose()?;
    tracing_subscriber::registry().with(lines).with(audit).init();
    Ok(())
}

/// Every line of the audit trail, whatever else is logged: JSON, one object a line, behind what the file
/// already holds.
fn audit<S>(path: &Path) -> anyhow::Result<Box<dyn Layer<S> + Send + Sync>>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let file = OpenOptions::new().append(true).create(true).open(path);
    let file = file.with_context(|| format!("cannot write {} (--audit-log)", path.display()))?;
    let is_audit = |line: &tracing::Metadata<'_>| line.target() == segue_serving::AUDIT_TARGET;
    Ok(fmt::layer().json().with_writer(Mutex::new(file)).with_filter(filter_fn(is_audit)).boxed())
}
