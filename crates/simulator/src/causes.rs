//! The planted causes: outcomes as known functions of what was seen before the snapshot.
//!
//! The numbers below are the whole truth of the simulation. Nothing hidden acts on an outcome: two people
//! with equal [`Causes`] have equal probabilities, which makes the probabilities Bayes-optimal scores.

use serde::Serialize;

use crate::chance::sigmoid;
use crate::happening::{Happening, Page, Step, StepsDone, What};
use crate::params::DAY_US;
use crate::person::Person;

/// Which way a behaviour moves a probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More of it, more of the outcome.
    Raises,
    /// More of it, less of the outcome.
    Lowers,
}

/// One planted cause, as a person would say it and as the simulation computes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PlantedCause {
    /// `churn`, `support_need` or `conversion`.
    pub task: &'static str,
    /// The column of the truth file that holds it.
    pub driver: &'static str,
    /// The behaviour in words.
    pub behaviour: &'static str,
    /// Which way it moves the probability.
    pub direction: Direction,
    /// Events that show it (`*` is any event); for a trait, the trait's key after `traits.`.
    pub events: &'static [&'static str],
    /// Its part of the margin.
    pub formula: &'static str,
}

/// Every planted cause of every task, strongest first within a task.
///
/// With `z` the sum of a task's formulas and its constant, and `s(z) = 1 / (1 + exp(-z))`:
/// `p_churn = s(z_churn)`, `p_support = (1 - p_churn) s(z_support)` and
/// `p_convert = (1 - p_churn) s(z_convert)`. Constants: churn 1.65, support_need -3.6, conversion -2.8.
#[must_use]
pub fn planted_causes() -> &'static [PlantedCause] {
    use Direction::{Lowers, Raises};
    &[
        PlantedCause {
            task: "churn",
            driver: "active_days",
            behaviour: "days with any activity since signup",
            direction: Lowers,
            events: &["*"],
            formula: "-0.75 * min(active_days, 7)",
        },
        PlantedCause {
            task: "churn",
            driver: "data_connected",
            behaviour: "data connected",
            direction: Lowers,
            events: &["Data Connected"],
            formula: "-1.2 * data_connected",
        },
        PlantedCause {
            task: "churn",
            driver: "errors",
            behaviour: "errors shown, worse while no data is connected",
            direction: Raises,
            events: &["Error Shown"],
            formula: "(0.35 + 0.25 * (1 - data_connected)) * min(errors, 5)",
        },
        PlantedCause {
            task: "support_need",
            driver: "help_searches",
            behaviour: "searches in the help pages",
            direction: Raises,
            events: &["Help Searched"],
            formula: "min(help_searches, 5)",
        },
        PlantedCause {
            task: "support_need",
            driver: "stuck_on_data",
            behaviour: "workspace created but no data connected",
            direction: Raises,
            events: &["Workspace Created", "Data Connected"],
            formula: "1.6 * stuck_on_data",
        },
        PlantedCause {
            task: "support_need",
            driver: "errors",
            behaviour: "errors shown, worse while stuck on connecting data",
            direction: Raises,
            events: &["Error Shown"],
            formula: "(0.3 + 0.25 * stuck_on_data) * min(errors, 5)",
        },
        PlantedCause {
            task: "support_need",
            driver: "active_days",
            behaviour: "days with any activity since signup: who leaves asks nothing",
            direction: Raises,
            events: &["*"],
            formula: "through the factor (1 - p_churn)",
        },
        PlantedCause {
            task: "conversion",
            driver: "pricing_views",
            behaviour: "views of the pricing page, anonymous ones before signup included",
            direction: Raises,
            events: &["Pricing"],
            formula: "0.65 * min(pricing_views, 5)",
        },
        PlantedCause {
            task: "conversion",
            driver: "invites",
            behaviour: "teammates invited",
            direction: Raises,
            events: &["Teammate Invited"],
            formula: "0.6 * min(invites, 4)",
        },
        PlantedCause {
            task: "conversion",
            driver: "referral",
            behaviour: "came by referral",
            direction: Raises,
            events: &["traits.traffic_source"],
            formula: "0.9 * (traffic_source == \"referral\")",
        },
        PlantedCause {
            task: "conversion",
            driver: "trial",
            behaviour: "on a trial plan",
            direction: Raises,
            events: &["traits.plan"],
            formula: "0.7 * (plan == \"trial\")",
        },
        PlantedCause {
            task: "conversion",
            driver: "active_days",
            behaviour: "days with any activity since signup: who leaves buys nothing",
            direction: Raises,
            events: &["*"],
            formula: "through the factor (1 - p_churn)",
        },
    ]
}

/// What the outcomes of one person hang on, counted over events that occurred before the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Causes {
    /// Distinct UTC dates with an event in `[signup, snapshot)`.
    pub(crate) active_days: u32,
    pub(crate) data_connected: bool,
    pub(crate) errors: u32,
    pub(crate) help_searches: u32,
    pub(crate) stuck_on_data: bool,
    pub(crate) pricing_views: u32,
    pub(crate) invites: u32,
    pub(crate) referral: bool,
    pub(crate) trial: bool,
    /// Steps done in a row from the first.
    pub(crate) step_reached: u32,
}

impl Causes {
    /// Counts them. `happenings` are in order of time and end before the snapshot.
    pub(crate) fn observe(person: &Person, happenings: &[Happening]) -> Self {
        let count = |wanted: fn(&What) -> bool| {
            happenings.iter().filter(|happening| wanted(&happening.what)).count() as u32
        };
        let mut dates: Vec<i64> = happenings
            .iter()
            .filter(|happening| happening.ts >= person.signup_us)
            .map(|happening| happening.ts.div_euclid(DAY_US))
            .collect();
        dates.dedup();
        let mut done = StepsDone::default();
        for happening in happenings {
            if let What::StepDone(step) = happening.what {
                done.insert(step);
            }
        }
        let connected = done.contains(Step::ConnectData);
        Self {
            active_days: dates.len() as u32,
            data_connected: connected,
            errors: count(|what| matches!(what, What::ErrorShown { .. })),
            help_searches: count(|what| matches!(what, What::HelpSearched { .. })),
            stuck_on_data: done.contains(Step::CreateWorkspace) && !connected,
            pricing_views: count(|what| matches!(what, What::Page(Page::Pricing))),
            invites: count(|what| matches!(what, What::StepDone(Step::InviteTeammate))),
            referral: person.traffic_source == "referral",
            trial: person.plan == "trial",
            step_reached: done.next().map_or(Step::ALL.len() as u32, |step| step.number() - 1),
        }
    }

    /// The probabilities of the three outcomes.
    pub(crate) fn odds(&self) -> Odds {
        let connected = f64::from(u8::from(self.data_connected));
        let stuck = f64::from(u8::from(self.stuck_on_data));
        let errors = f64::from(self.errors.min(5));
        let churn = 1.65 - 0.75 * f64::from(self.active_days.min(7)) - 1.2 * connected
            + (0.35 + 0.25 * (1.0 - connected)) * errors;
        let support = -3.6
            + f64::from(self.help_searches.min(5))
            + 1.6 * stuck
            + (0.3 + 0.25 * stuck) * errors;
        let convert = -2.8
            + 0.65 * f64::from(self.pricing_views.min(5))
            + 0.6 * f64::from(self.invites.min(4))
            + 0.9 * f64::from(u8::from(self.referral))
            + 0.7 * f64::from(u8::from(self.trial));
        Odds {
            churn: sigmoid(churn),
            support_if_stays: sigmoid(support),
            convert_if_stays: sigmoid(convert),
        }
    }
}

/// Probabilities of one person's outcomes, in `(0, 1)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Odds {
    pub(crate) churn: f64,
    pub(crate) support_if_stays: f64,
    pub(crate) convert_if_stays: f64,
}

impl Odds {
    pub(crate) fn support(&self) -> f64 {
        (1.0 - self.churn) * self.support_if_stays
    }

    pub(crate) fn convert(&self) -> f64 {
        (1.0 - self.churn) * self.convert_if_stays
    }
}
