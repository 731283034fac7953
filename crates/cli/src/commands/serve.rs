//! `segue serve`.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use segue_registry::{Choice, Registry, RegistryError};
use segue_serving::{
    AccessOptions, GuardOptions, NetOptions, PredictionLogOptions, ReloadSignal, ServeOptions,
    SubjectLogging, TlsFiles, TraceOptions,
};
use segue_training::watch::Watch;
use tokio::net::TcpListener;

use super::{open_registry, seconds};
use crate::args::{GuardArgs, LogSubjects, PredictionLogArgs, Security, Serve};
use crate::console::Console;

pub(crate) fn run(args: &Serve, console: &Console) -> anyhow::Result<()> {
    for (flag, address) in [("--grpc", args.grpc), ("--http", args.http)] {
        if !address.ip().is_loopback() {
            check_exposed(flag, address, &args.security)?;
        }
    }
    let registry = open_registry(&args.registry.registry)?;
    let models = models_to_serve(args, &registry, console)?;
    let observe = &args.observe;
    let options = ServeOptions {
        required_models: models.clone(),
        poll_interval: seconds("--poll", args.poll)?,
        max_batch_rows: args.max_batch_rows,
        max_in_flight: args.max_in_flight,
        max_upload_bytes: args.max_upload,
        pre_drain: seconds("--pre-drain", args.pre_drain)?,
        drain_timeout: seconds("--drain-timeout", args.drain_timeout)?,
        distinct_approver: args.security.distinct_approver,
        prediction_log: prediction_log(&args.log),
        guard: guard_options(&args.guard)?,
        net: net_options(&args.security)?,
        access: AccessOptions {
            file: args.security.access.clone(),
            open_metrics: args.security.open_metrics,
            reload_interval: seconds("--reload-interval", args.security.reload_interval)?,
            ..AccessOptions::default()
        },
        slow_request: Some(seconds("--slow-request", observe.slow_request)?)
            .filter(|slow| !slow.is_zero()),
        traces: observe
            .otlp_endpoint
            .clone()
            .map(|endpoint| TraceOptions { endpoint, sample_ratio: observe.trace_ratio }),
        ..ServeOptions::default()
    };
    options.check()?;
    let reload = options.access.reload.clone();
    let runtime = segue_serving::runtime()?;
    let served = runtime.block_on(async {
        let grpc = TcpListener::bind(args.grpc)
            .await
            .with_context(|| format!("cannot listen on {} (--grpc)", args.grpc))?;
        let http = TcpListener::bind(args.http)
            .await
            .with_context(|| format!("cannot listen on {} (--http)", args.http))?;
        let what = if models.is_empty() { "no model yet".to_owned() } else { models.join(", ") };
        console.say(&format!(
            "serving {what} on {} (gRPC), {} (JSON, metrics and health)",
            grpc.local_addr()?,
            http.local_addr()?
        ));
        on_hangup(reload)?;
        segue_serving::run(grpc, http, options, registry, stop_signal()?).await?;
        console.say("stopped");
        Ok(())
    });
    // Threads that still wait, as for a disk that hangs, are not waited for.
    runtime.shutdown_background();
    served
}

fn prediction_log(args: &PredictionLogArgs) -> Option<PredictionLogOptions> {
    let dir = args.prediction_log.as_ref()?;
    Some(PredictionLogOptions {
        sample_basis_points: args.log_sample_rate,
        subjects: match args.log_subjects {
            LogSubjects::None => SubjectLogging::None,
            LogSubjects::Hashed => SubjectLogging::Hashed,
            LogSubjects::Plain => SubjectLogging::Plain,
        },
        subject_key: args.log_subjects_key.clone(),
        max_bytes: args.prediction_log_max_bytes,
        max_outcome_bytes: args.outcomes_max_bytes,
        max_age: Duration::from_secs(u64::from(args.prediction_log_max_days) * 24 * 3600),
        ..PredictionLogOptions::new(dir)
    })
}

/// Others can reach the address: they must not listen in, and must say who they are.
fn check_exposed(flag: &str, address: SocketAddr, security: &Security) -> anyhow::Result<()> {
    let missing = match (security.tls_cert.is_some(), asks_who(security)) {
        (true, true) => return Ok(()),
        (false, true) => "no TLS (--tls-cert, --tls-key)",
        (true, false) => "nobody is asked who they are (--access or --tls-client-ca)",
        (false, false) => "no TLS (--tls-cert, --tls-key) and no access file (--access)",
    };
    if security.insecure {
        tracing::warn!(flag, %address, missing, "reachable by others without protection");
        return Ok(());
    }
    bail!(
        "{flag} {address} can be reached by others, and there is {missing}; set it up as docs/security.md says, put a proxy in front of a loopback address, or say --insecure"
    )
}

fn asks_who(security: &Security) -> bool {
    security.access.is_some() || security.tls_client_ca.is_some()
}

fn net_options(security: &Security) -> anyhow::Result<NetOptions> {
    let tls = match (&security.tls_cert, &security.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: security.tls_client_ca.clone(),
            client_optional: security.tls_client_optional,
        }),
        // clap lets neither come alone
        _ => None,
    };
    Ok(NetOptions {
        max_connections: security.max_connections,
        max_http_connections: security.max_http_connections,
        header_timeout: seconds("--header-timeout", security.header_timeout)?,
        answer_timeout: seconds("--answer-timeout", security.answer_timeout)?,
        tls,
        ..NetOptions::default()
    })
}

/// SIGHUP has certificates and the access file read again.
fn on_hangup(reload: ReloadSignal) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload.now();
        }
    });
    Ok(())
}

/// The models named, or all that have a champion.
fn models_to_serve(
    args: &Serve,
    registry: &Registry,
    console: &Console,
) -> anyhow::Result<Vec<String>> {
    if !args.models.is_empty() {
        for model in &args.models {
            // a name that the registry does not know is a slip; one without a champion may get one
            registry.model(model)?;
            if let Err(error) = registry.resolve(model, &Choice::Champion) {
                console.note(&format!("{error}; the server is not ready before"));
            }
        }
        return Ok(args.models.clone());
    }
    let mut models = registry.models()?;
    models.retain(|model| match registry.resolve(model, &Choice::Champion) {
        Ok(_) => true,
        Err(RegistryError::AliasNotFound { .. }) => false,
        Err(error) => {
            console.note(&format!("model {model:?} is not waited for: {error}"));
            false
        }
    });
    if models.is_empty() {
        // It may get its first version from this very server.
        console.note(&format!(
            "no model in {} has a champion; the server is not ready before one has: upload a version, \
             then segue promote MODEL VERSION",
            registry.location()
        ));
    }
    Ok(models)
}

fn guard_options(args: &GuardArgs) -> anyhow::Result<GuardOptions> {
    let max_p99 = args.guard_p99_ms.map(|ms| seconds("--guard-p99-ms", ms / 1000.0)).transpose()?;
    Ok(GuardOptions {
        max_error_rate: args.guard_error_rate,
        max_p99,
        max_score_shift: args.guard_score_shift,
        window: seconds("--guard-window", args.guard_window)?,
        min_rows: args.guard_min_rows,
        probation: seconds("--guard-probation", args.guard_probation)?,
        ..GuardOptions::default()
    })
}

/// Resolves on SIGTERM or SIGINT; a second signal ends the process at once.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: no new requests soon, a second signal stops at once");
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(1);
        });
    })
}
