//! Deliveries as Segment-spec JSON lines.

use serde::Serialize;

use crate::delivery::{Delivery, Sender};
use crate::happening::{Step, What};
use crate::instant::iso;
use crate::person::Person;

const BOT_AGENT: &str = "Mozilla/5.0 (compatible; SimCrawler/1.0; +https://crawler.example/bot)";

/// One line, keys as in the Segment spec.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Properties>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traits: Option<Traits<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    received_at: String,
}

#[derive(Serialize, Default)]
struct Properties {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_number: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dashboard: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revenue: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct Traits<'a> {
    plan: &'a str,
    device: &'a str,
    traffic_source: &'a str,
    company_size: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    user_agent: &'static str,
}

/// Appends a delivery's line, and the broken copy of it if there is one.
///
/// # Errors
/// None in practice: the line holds only text and finite numbers.
pub(crate) fn write_line(delivery: &Delivery, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let start = out.len();
    serde_json::to_writer(&mut *out, &line_of(delivery))?;
    out.push(b'\n');
    if delivery.broken_copy {
        // Every line is ASCII, so any place is good for a break.
        let half = start + (out.len() - start) / 2;
        out.extend_from_within(start..half);
        out.push(b'\n');
    }
    Ok(())
}

fn line_of(delivery: &Delivery) -> Line<'_> {
    let happening = delivery.happening;
    let what = happening.what;
    let (kind, event, name) = match what {
        What::Page(page) => ("page", None, Some(page.name())),
        What::Identified { .. } => ("identify", None, None),
        _ => ("track", Some(event_name(what)), None),
    };
    let right_clock = delivery.skew_us == 0;
    let (user_id, anonymous_id, agent, message_id) = match &delivery.sender {
        Sender::Person(person) => {
            let user_id = person.user_id();
            let message_id = format!("{user_id}-{}", delivery.message);
            let anonymous_id = names_device(delivery).then(|| person.anonymous_id());
            let known = (!happening.anonymous).then_some(user_id);
            (known, anonymous_id, person.user_agent(), message_id)
        }
        Sender::Bot(bot) => (
            None,
            Some(format!("bot_{bot:04}")),
            BOT_AGENT,
            format!("bot_{bot:04}-{}", delivery.message),
        ),
    };
    Line {
        kind,
        message_id,
        user_id,
        anonymous_id,
        event,
        name,
        properties: properties_of(what),
        traits: traits_of(delivery),
        context: (kind != "track").then_some(Context { user_agent: agent }),
        timestamp: right_clock.then(|| iso(happening.ts)),
        original_timestamp: (!right_clock).then(|| iso(happening.ts + delivery.skew_us)),
        sent_at: (!right_clock).then(|| iso(delivery.received_us + delivery.skew_us)),
        received_at: iso(delivery.received_us),
    }
}

/// The device is named while the person is unknown and where the two are tied together.
fn names_device(delivery: &Delivery) -> bool {
    let ties = matches!(delivery.happening.what, What::SignedUp | What::Identified { .. });
    delivery.happening.anonymous || ties
}

fn event_name(what: What) -> &'static str {
    match what {
        What::Page(page) => page.name(),
        What::Identified { .. } => "Identify",
        What::SignedUp => "Signed Up",
        What::StepDone(step) => step.event(),
        What::StepCompleted(_) => "Onboarding Step Completed",
        What::DashboardViewed { .. } => "Dashboard Viewed",
        What::ReportExported { .. } => "Report Exported",
        What::AutomationCreated => "Automation Created",
        What::HelpSearched { .. } => "Help Searched",
        What::HelpArticleViewed { .. } => "Help Article Viewed",
        What::ErrorShown { .. } => "Error Shown",
        What::TicketOpened { .. } => "Support Ticket Opened",
        What::PlanUpgraded { .. } => "Plan Upgraded",
        What::SubscriptionCancelled { .. } => "Subscription Cancelled",
    }
}

fn properties_of(what: What) -> Option<Properties> {
    let none = Properties::default();
    Some(match what {
        What::Page(page) => Properties { path: Some(page.path()), ..none },
        What::StepCompleted(step) => {
            Properties { step: Some(step.key()), step_number: Some(step.number()), ..none }
        }
        What::DashboardViewed { dashboard } => Properties { dashboard: Some(dashboard), ..none },
        What::ReportExported { format } => Properties { format: Some(format), ..none },
        What::HelpSearched { topic } | What::HelpArticleViewed { topic } => {
            Properties { topic: Some(topic), ..none }
        }
        What::ErrorShown { code, step } => {
            Properties { code: Some(code), step: step.map(Step::key), ..none }
        }
        What::TicketOpened { step } => Properties { step: step.map(Step::key), ..none },
        What::PlanUpgraded { plan, revenue } => {
            Properties { plan: Some(plan), revenue: Some(revenue), currency: Some("USD"), ..none }
        }
        What::SubscriptionCancelled { reason } => Properties { reason: Some(reason), ..none },
        What::Identified { .. } | What::SignedUp | What::StepDone(_) | What::AutomationCreated => {
            return None;
        }
    })
}

fn traits_of(delivery: &Delivery) -> Option<Traits<'_>> {
    let (What::Identified { plan }, Sender::Person(person)) =
        (delivery.happening.what, &delivery.sender)
    else {
        return None;
    };
    let Person { device, traffic_source, company_size, .. } = **person;
    Some(Traits { plan, device, traffic_source, company_size })
}
