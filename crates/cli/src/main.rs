//! `segue`: from raw sessions to a live, explained score, in one binary.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong arguments
//! (from clap), 65 the data or the job is not usable, 75 someone else was faster (try again).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

mod args;
mod commands;
mod console;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Args, Command, LogFormat};
use console::Console;

fn main() -> ExitCode {
    let args = Args::parse();
    // the server's own story belongs on a server's terminal; elsewhere only what went wrong
    let level = if matches!(args.command, Command::Serve(_)) { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("SEGUE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match &args.command {
        Command::Serve(serve) if serve.observe.log_format == LogFormat::Json => lines.json().init(),
        _ => lines.with_ansi(std::io::stderr().is_terminal()).init(),
    }
    let console = Console::new(args.json, args.quiet);
    match run(args.command, &console) {
        Ok(code) => code,
        Err(error) => {
            console.error(&error);
            ExitCode::from(commands::exit_code(&error))
        }
    }
}

fn run(command: Command, console: &Console) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(args) => commands::init::run(&args, console)?,
        Command::Simulate(args) => commands::simulate::run(&args, console)?,
        Command::Features(args) => commands::features::run(&args, console)?,
        Command::Train(args) => commands::train::run(&args, console)?,
        Command::Import(args) => commands::import::run(&args, console)?,
        Command::Export(args) => commands::export::run(&args, console)?,
        Command::Tune(args) => commands::tune::run(&args, console)?,
        Command::Evaluate(args) => commands::evaluate::run(&args, console)?,
        Command::Report(args) => commands::report::run(&args, console)?,
        Command::Models(args) => return commands::models::run(&args, console),
        Command::Promote(args) => commands::promote::run(&args, console)?,
        Command::Rollback(args) => commands::rollback::run(&args, console)?,
        Command::Alias(args) => commands::alias::run(&args, console)?,
        Command::Traffic(args) => commands::traffic::run(&args, console)?,
        Command::Archive(args) => commands::archive::run(&args, console)?,
        Command::Score(args) => commands::score::run(&args, console)?,
        Command::Segments(args) => commands::segments::run(&args, console)?,
        Command::Serve(args) => commands::serve::run(&args, console)?,
        Command::Predictions(args) => commands::predictions::run(&args, console)?,
        Command::Access(args) => commands::access::run(&args, console)?,
        Command::Health(args) => return commands::health::run(&args, console),
        Command::Demo(args) => commands::demo::run(&args, console)?,
    }
    Ok(ExitCode::SUCCESS)
}
