//! `segue health`: what probes of containers and of systemd call.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use segue_client::{Client, ClientBuilder, Code, Health as Answer, TlsOptions};
use serde_json::json;

use super::seconds;
use crate::args::Health;
use crate::console::Console;

/// Exits with 0 if it is ready, with 1 if it is not or cannot be reached.
pub(crate) fn run(args: &Health, console: &Console) -> anyhow::Result<ExitCode> {
    let url =
        if args.grpc.contains("://") { args.grpc.clone() } else { format!("http://{}", args.grpc) };
    let timeout = seconds("--timeout", args.timeout)?;
    let wait = seconds("--wait", args.wait)?;
    let builder = Client::builder(url).deadline(timeout).connect_timeout(timeout);
    let builder = with_tls(builder, args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (status, is_ready) = runtime.block_on(async {
        let client = builder.connect()?;
        if !wait.is_zero() {
            let deadline = tokio::time::Instant::now() + wait;
            match client.wait_until_serving(&args.service, deadline).await {
                Err(error) if error.code() == Code::DeadlineExceeded => {}
                outcome => outcome?,
            }
        }
        let answer = client.health(&args.service).await?;
        let words = match answer {
            Answer::Serving => "serving",
            Answer::NotServing => "not serving",
            Answer::Unknown => "unknown",
        };
        anyhow::Ok((words, answer == Answer::Serving))
    })?;
    console.result(&json!({ "service": args.service, "status": status }), || status.to_owned());
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn with_tls(builder: ClientBuilder, args: &Health) -> anyhow::Result<ClientBuilder> {
    let is_plain =
        args.tls_ca.is_none() && args.tls_server_name.is_none() && args.tls_cert.is_none();
    if is_plain {
        return Ok(builder);
    }
    let mut tls = TlsOptions::new();
    if let Some(path) = &args.tls_ca {
        tls = tls.ca_pem(read(path)?);
    }
    if let Some(name) = &args.tls_server_name {
        tls = tls.server_name(name);
    }
    if let (Some(certificates), Some(key)) = (&args.tls_cert, &args.tls_key) {
        tls = tls.identity_pem(read(certificates)?, read(key)?);
    }
    Ok(builder.tls(tls))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn seconds_are_durations() {
        assert_eq!(seconds("--wait", 0.5).unwrap(), Duration::from_millis(500));
        assert!(seconds("--wait", -1.0).unwrap_err().to_string().contains("--wait"));
    }
}
