//! Client of a segue server: scores, what became of them, models, health.
//!
//! ```no_run
//! # async fn score() -> Result<(), segue_client::Error> {
//! let client = segue_client::Client::connect("http://127.0.0.1:50051")?;
//! let scored = client
//!     .score("churn")
//!     .subject("u1")
//!     .feature("visits", 3.0)
//!     .category("plan", "pro")
//!     .explain(3)
//!     .send()
//!     .await?;
//! println!("{} by version {}", scored.score(), scored.served_by().version);
//! # Ok(())
//! # }
//! ```
//!
//! - Every call has a **deadline**, over all its attempts; the server is told and stops working when it
//!   has passed.
//! - Only UNAVAILABLE is **retried**: the server says it when another try, or another server, may
//!   answer. An overloaded server says RESOURCE_EXHAUSTED, and asking it again at once would keep it
//!   overloaded. Changes carry a request id, so that a repeat is harmless.
//! - One [`Client`] is one **connection** an endpoint, made when first needed, kept alive, and made anew
//!   when it breaks. Clones share it.

mod batch;
mod call;
mod error;
mod health;
mod models;
mod options;
mod outcomes;
mod packed;
mod retry;
mod row;
mod score;
mod scored;
mod selector;
mod stream;

pub use batch::{BatchCall, ScoredBatch};
pub use call::{CallOptions, Client, Transport};
pub use error::{Error, Failure, FieldViolation, Precondition};
pub use health::Health;
pub use models::{ModelCall, PromoteCall, RollbackCall, SetAliasCall};
pub use options::{ClientBuilder, TlsOptions};
pub use outcomes::{Label, Outcome, OutcomeCall, OutcomesCall, Recorded};
pub use packed::Layout;
pub use prost_types::Timestamp;
pub use retry::RetryPolicy;
pub use row::{Row, Value};
pub use score::ScoreCall;
pub use scored::Scored;
pub use segue_api::v1 as proto;
pub use selector::Selector;
pub use stream::{ScoreAnswers, ScoreRequests, ScoreStream, StreamAnswer, StreamCall};
pub use tonic::Code;
