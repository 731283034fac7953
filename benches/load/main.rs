//! `segue-load`: what the load comparison of `benches/serving/` needs beside `segue serve`: registries
//! to serve, requests to send, a bare echo to be compared with.

#![allow(clippy::print_stdout, reason = "figures and addresses go to standard output")]

mod bodies;
mod decode;
mod echo;
mod models;
mod reload;
mod strain;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// What to do.
#[derive(Debug, Parser)]
enum Command {
    /// Fit models on made-up sessions, publish them, and write requests and the same model for LightGBM.
    Prepare {
        /// An empty folder; the registry is its `models`.
        folder: PathBuf,
        /// Rows to fit on.
        #[arg(long, default_value_t = 50_000)]
        rows: usize,
    },
    /// Answer every request with so many bytes, on the runtime and the transport settings of `segue serve`.
    Echo {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        /// Bytes of the message of an answer.
        #[arg(long)]
        response_bytes: usize,
    },
    /// Time the reading of a batch that `prepare` wrote.
    Decode {
        /// Such as `batch-named.bin`.
        body: PathBuf,
    },
    /// Swap versions a thousand times under a steady load, and compare latencies.
    Swaps {
        /// Its gRPC address.
        #[arg(long)]
        target: String,
        /// `score-named.bin`.
        #[arg(long)]
        body: PathBuf,
        /// Whose versions are swapped.
        #[arg(long)]
        model: String,
        /// How often.
        #[arg(long)]
        times: u64,
    },
    /// Call a server ten times as often as it has room for.
    Overload {
        /// Its gRPC address.
        #[arg(long)]
        target: String,
        /// `batch-packed.bin`.
        #[arg(long)]
        body: PathBuf,
        /// Its --max-in-flight.
        #[arg(long)]
        room: usize,
    },
    /// Have a server load versions over and over, and watch its memory.
    Reload {
        /// Its gRPC address, such as `http://127.0.0.1:50051`.
        #[arg(long)]
        target: String,
        /// Its process.
        #[arg(long)]
        pid: u32,
        /// How often.
        #[arg(long)]
        times: u64,
    },
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Prepare { folder, rows } => {
            let prepared = models::prepare(&folder, rows)?;
            bodies::write(&folder, &prepared)
        }
        Command::Echo { listen, response_bytes } => echo::serve(listen, response_bytes),
        Command::Decode { body } => {
            println!("{}", decode::measure(&body)?);
            Ok(())
        }
        Command::Swaps { target, body, model, times } => {
            println!("{}", strain::swaps(target, &body, &model, times)?);
            Ok(())
        }
        Command::Overload { target, body, room } => {
            println!("{}", strain::overload(target, &body, room)?);
            Ok(())
        }
        Command::Reload { target, pid, times } => {
            println!("{}", reload::measure(target, pid, times)?);
            Ok(())
        }
    }
}
