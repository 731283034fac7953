//! `segue`: from raw sessions to a live, explained score, in one binary.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong arguments
//! (from clap), 65 the data or the job is not usable, 75 someone else was faster (try again), 130 stopped
//! by Ctrl-C.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

mod args;
mod commands;
mod console;
mod interrupt;
mod logging;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use console::Console;

fn main() -> ExitCode {
    let args = Args::parse();
    let console = Console::new(args.json, args.quiet);
    match logging::start(&args.command).and_then(|()| run(args.command, &console)) {
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
