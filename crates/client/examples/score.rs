//! Scores a user as a back-end would.
//!
//! ```text
//! cargo run -p segue-client --example score -- http://127.0.0.1:50051 churn visits=3 plan=pro
//! ```

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::time::Duration;

use segue_client::{Client, Code, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "http://127.0.0.1:50051".to_owned());
    let model = args.next().unwrap_or_else(|| "churn".to_owned());

    // Once, at the start of the back-end: clones share the connection.
    let client = Client::builder(url).deadline(Duration::from_millis(200)).connect()?;

    let mut call = client.score(model.as_str()).subject("u1").explain(3).allow_missing();
    for arg in args {
        let (name, value) = arg.split_once('=').unwrap_or((&arg, ""));
        call = match value.parse::<f64>() {
            Ok(number) => call.feature(name, number),
            Err(_) => call.category(name, value),
        };
    }
    match call.send().await {
        Ok(scored) => {
            let by = scored.served_by();
            println!("{:.3} {} by {}/{}", scored.score(), scored.segment(), by.model, by.version);
            for reason in scored.reasons() {
                println!("  {:+.3} {}", reason.contribution, reason.behaviour);
            }
            Ok(())
        }
        // What is wrong with the request is told field by field ...
        Err(error) if error.code() == Code::InvalidArgument => {
            for violation in error.violations() {
                println!("{}: {}", violation.field, violation.description);
            }
            Err(error)
        }
        // ... and a page goes on without a score that did not come in time.
        Err(error) => {
            println!("no score: {error}");
            Err(error)
        }
    }
}
