//! Seeded SaaS onboarding histories with planted, documented causes.
//!
//! [`simulate`] writes what an analytics product would receive from a young business tool: people visit the
//! site, sign up, go through four steps of onboarding, use features, look for help, see errors, open tickets,
//! upgrade, cancel or fall silent. Beside the log it writes the truth: for every user the probabilities of
//! three outcomes, the causes that they are computed from, and the outcomes that were drawn. A model can
//! therefore be asked two questions that real data never answers: did it find the causes, and how far is it
//! from the best score that anyone can reach.
//!
//! # The model
//!
//! Every user has hidden dispositions (engagement, skill, sociability, interest in buying) and traits. They
//! shape *behaviour* from the first visit to the **snapshot**, `snapshot_days` after signup. From then on the
//! dispositions are forgotten: outcomes in the label window `[snapshot, snapshot + label_days)` are drawn with
//! probabilities that are smooth functions of the behaviour *before* the snapshot, so no model of any kind
//! beats them but by luck. With `s(z) = 1 / (1 + exp(-z))`:
//!
//! | outcome | probability | with |
//! |---|---|---|
//! | churn: no event in the window | `s(z_churn)` | `z_churn = 1.65 - 0.75 min(active_days, 7) - 1.2 data_connected + (0.35 + 0.25 (1 - data_connected)) min(errors, 5)` |
//! | support need: a `Support Ticket Opened` in the window | `(1 - p_churn) s(z_support)` | `z_support = -3.6 + min(help_searches, 5) + 1.6 stuck_on_data + (0.3 + 0.25 stuck_on_data) min(errors, 5)` |
//! | conversion: a `Plan Upgraded` in the window | `(1 - p_churn) s(z_convert)` | `z_convert = -2.8 + 0.65 min(pricing_views, 5) + 0.6 min(invites, 4) + 0.9 referral + 0.7 trial` |
//!
//! The factor `1 - p_churn` is there because who leaves neither asks nor buys; given that someone stays, the
//! two other outcomes are independent. Causes count events that *occurred* before the snapshot:
//!
//! - `active_days`: distinct UTC dates with any event of the user in `[signup, snapshot)`;
//! - `data_connected`, `stuck_on_data`: whether there is a `Data Connected`; a `Workspace Created` without one;
//! - `errors`, `help_searches`, `invites`: number of `Error Shown`, `Help Searched`, `Teammate Invited`;
//! - `pricing_views`: number of page events `Pricing`, those of the anonymous visits before signup included, so
//!   that a reader who does not tie devices to users loses some;
//! - `referral`, `trial`: the traits `traffic_source` and `plan` of the first identify.
//!
//! [`planted_causes`] says the same for programs. Traits and behaviour that are no cause still go along with
//! the outcomes where they go along with one: phones connect data less often, large companies invite more.
//! The step where help is needed (`needs_help_at` in the truth) is the first step not done when the ticket is
//! opened, `step` of the ticket; with all steps done it is empty. Tickets and upgrades happen in label windows
//! only and cancellations after them only, so everyone is eligible at the snapshot. The caps and constants are
//! made for a snapshot after seven days: with other spans the truth is as exact but the base rates differ.
//!
//! # The files
//!
//! Events are Segment-spec JSON lines (`identify`, `page`, `track`) in order of arrival (`receivedAt`). Page
//! views before signup carry an `anonymousId` alone, `Signed Up` and `identify` carry both ids, everything
//! after them the `userId`. Visits begin up to four days before signup, so the first signup is on the fifth
//! day of the log; the log ends two weeks after the last label window, so every user is mature for a reader
//! that waits a week. [`Dirt`] says how the log is spoiled; dirt never changes what happened, and so never the
//! truth. What a reader *knows* at the snapshot differs from what occurred by the few events that are late
//! (with the defaults about one user in forty has such an event that arrives only after the snapshot).
//!
//! The truth is CSV, one row a user in order of signup: `user_id`, `signup_ts`, `snapshot_ts`, the three
//! probabilities (six digits), the three outcomes (0 or 1), `needs_help_at`, the causes, and `step_reached`,
//! the number of steps done in a row from the first.
//!
//! ```
//! use segue_simulator::{SimulationParams, simulate};
//!
//! let params = SimulationParams { n_users: 300, ..SimulationParams::default() };
//! let (mut events, mut truth) = (Vec::new(), Vec::new());
//! let summary = simulate(&params, &mut events, &mut truth, &|_done| {})?;
//! assert_eq!(summary.users, 300);
//! assert!(summary.churn.bayes_auc.is_some_and(|auc| auc > 0.75));
//! # Ok::<(), segue_simulator::SimulatorError>(())
//! ```

mod causes;
mod chance;
mod delivery;
mod error;
mod happening;
mod instant;
mod journey;
mod params;
mod person;
mod segment;
mod simulation;
mod summary;
#[cfg(test)]
mod tests;
mod truth;

pub use causes::{Direction, PlantedCause, planted_causes};
pub use error::SimulatorError;
pub use params::{Dirt, SimulationParams};
pub use simulation::simulate;
pub use summary::{DirtCounts, SimulationSummary, TaskSummary};
