//! `segue demo`: all of it once, on simulated users: three jobs, three promotions, a server, and
//! scores over gRPC that equal the offline ones bit for bit.

mod client;

use std::path::{Path, PathBuf};

use anyhow::Context;
use segue_registry::{PromoteRequest, Registry};
use segue_serving::ServeOptions;
use segue_simulator::SimulationSummary;
use segue_training::evaluation::Metric;
use segue_training::job::Job;
use segue_training::train::{TrainOptions, Trained, train};
use segue_training::write::write_file;
use serde_json::json;
use tokio::net::TcpListener;

use super::{n_threads, simulate};
use crate::args::{Demo, Simulate};
use crate::console::{Console, table};

const JOBS: [(&str, &str); 3] = [
    ("churn", include_str!("../../../../jobs/simulated/churn.toml")),
    ("support_need", include_str!("../../../../jobs/simulated/support_need.toml")),
    ("conversion", include_str!("../../../../jobs/simulated/conversion.toml")),
];

pub(crate) fn run(args: &Demo, console: &Console) -> anyhow::Result<()> {
    let data = args.out.join("data");
    console.say(&format!("1. simulating {} users of a product …", args.users));
    let simulate_args = Simulate {
        out: data.clone(),
        users: args.users,
        seed: args.seed,
        signup_days: 150,
        clean: false,
        malformed: 0.0,
    };
    let simulated = simulate::into_folder(&simulate_args, console)?;
    let registry = Registry::open(&args.out.join("models").to_string_lossy())?;
    let options = TrainOptions {
        n_threads: n_threads(args.threads),
        created_by: "demo".into(),
        ..TrainOptions::default()
    };

    console.say("2. training, comparing and promoting three models …");
    let mut rows = Vec::new();
    let mut machine = Vec::new();
    for (name, text) in JOBS {
        let job = Job::parse(text, Path::new(name), data.clone())?;
        let trained = train(&job, &options, console).with_context(|| format!("job {name}"))?;
        let published = registry.publish(&trained.draft)?;
        let promoted = registry.promote(&PromoteRequest {
            model: name.to_owned(),
            version: published.version,
            alias: segue_registry::CHAMPION.to_owned(),
            actor: "demo".to_owned(),
            reason: "first run of the demo".to_owned(),
            ..PromoteRequest::default()
        })?;
        let report = args.out.join(format!("{name}.html"));
        write_file(&report, trained.report_html.as_bytes()).context("cannot write the report")?;
        let best = bayes_auc(&simulated, name);
        rows.extend(comparison(name, &trained, best));
        machine.push(json!({
            "model": name,
            "version": published.version,
            "metrics": trained.draft.summary.metrics,
            "bayes_auc": best,
            "gates": promoted.gates,
            "report": report.display().to_string(),
        }));
    }
    console.done_all();
    console.say(&table(&["model", "learner", "test AUC", "95 % interval"], &rows));

    console.say("3. serving all three, and asking over gRPC while three users are on the page …");
    let answers = ask(&registry, &data, console)?;
    let reports: Vec<PathBuf> =
        JOBS.iter().map(|(name, _)| args.out.join(format!("{name}.html"))).collect();
    let machine = json!({ "models": machine, "answers": answers.machine });
    console.result(&machine, || {
        let mut text = answers.people.clone();
        text.push_str("\nreports, to open in a browser:\n");
        for report in &reports {
            text.push_str(&format!("  {}\n", report.display()));
        }
        let models = args.out.join("models");
        text.push_str(&format!(
            "\ntry next:\n  segue models list --registry {0}\n  segue serve --registry {0}\n",
            models.display()
        ));
        text
    });
    Ok(())
}

fn bayes_auc(simulated: &SimulationSummary, task: &str) -> Option<f64> {
    match task {
        "churn" => simulated.churn.bayes_auc,
        "support_need" => simulated.support_need.bayes_auc,
        _ => simulated.conversion.bayes_auc,
    }
}

/// Our figure, what it is compared with, and what no model could beat.
fn comparison(name: &str, trained: &Trained, bayes: Option<f64>) -> Vec<Vec<String>> {
    let row = |learner: &str, value: Option<f64>, interval: Option<(f64, f64)>| {
        let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        let interval =
            interval.map_or_else(String::new, |(low, high)| format!("{low:.4} .. {high:.4}"));
        vec![name.to_owned(), learner.to_owned(), value, interval]
    };
    let evaluation = &trained.evaluation;
    let ours = evaluation.scorecard.get(&Metric::Auc);
    let mut rows =
        vec![row("boosting (ours)", ours.and_then(|at| at.value), ours.and_then(|at| at.interval))];
    for comparison in &evaluation.comparisons {
        let at = comparison.scorecard.get(&Metric::Auc);
        rows.push(row(&comparison.name, at.and_then(|at| at.value), at.and_then(|at| at.interval)));
    }
    rows.push(row("best possible, all users", bayes, None));
    rows
}

struct Asked {
    machine: Vec<serde_json::Value>,
    people: String,
}

/// Serves on loopback ports of the system's choice, asks, and stops the server cleanly.
fn ask(registry: &Registry, data: &Path, console: &Console) -> anyhow::Result<Asked> {
    let questions = client::questions(registry, data, console)?;
    let runtime = segue_serving::runtime()?;
    runtime.block_on(async {
        let grpc = TcpListener::bind("127.0.0.1:0").await?;
        let http = TcpListener::bind("127.0.0.1:0").await?;
        let address = grpc.local_addr()?;
        let options = ServeOptions {
            required_models: JOBS.iter().map(|(name, _)| (*name).to_owned()).collect(),
            pre_drain: std::time::Duration::ZERO,
            ..ServeOptions::default()
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async move {
            // a dropped sender stops the server too
            let _ = stopped.await;
        };
        let server =
            tokio::spawn(segue_serving::run(grpc, http, options, registry.clone(), shutdown));
        let asked = client::ask(address, &questions).await;
        drop(stop);
        server.await??;
        asked
    })
}
