//! `segue traffic`.

use segue_registry::{Applied, Traffic, TrafficRequest};

use super::models::{applied_json, traffic_text};
use super::{open_registry, with_gates};
use crate::args;
use crate::console::Console;

pub(crate) fn run(args: &args::Traffic, console: &Console) -> anyhow::Result<()> {
    let registry = open_registry(&args.terms.registry.registry)?;
    let state = registry.model(&args.model)?;
    let traffic = wanted(args, state.traffic.clone());
    let applied = if traffic == state.traffic {
        Applied { state, event_id: None }
    } else {
        let request = TrafficRequest {
            model: args.model.clone(),
            traffic: traffic.clone(),
            // What is not named was read from this state, and must not be put back over another.
            etag: args.terms.etag.clone().or(Some(state.etag)),
            actor: args.terms.actor.clone(),
            reason: args.terms.reason.clone(),
            validate_only: args.terms.dry_run,
            override_gates: args.override_gates,
            ..TrafficRequest::default()
        };
        with_gates(registry.set_traffic(&request), console)?
    };
    console.result(&applied_json(&applied, args.terms.dry_run), || {
        let will = if args.terms.dry_run && applied.event_id.is_none() { " (dry run)" } else { "" };
        format!("traffic of {}: {}{will}", args.model, traffic_text(traffic.as_ref()))
    });
    Ok(())
}

fn wanted(args: &args::Traffic, now: Option<Traffic>) -> Option<Traffic> {
    if args.off {
        return None;
    }
    let mut next = now.unwrap_or_default();
    next.canary_version = args.canary.or(next.canary_version);
    next.canary_basis_points = args.share.unwrap_or(next.canary_basis_points);
    next.salt = args.salt.clone().unwrap_or(next.salt);
    if !args.shadow.is_empty() {
        next.shadow_versions.clone_from(&args.shadow);
    }
    next.shadow_basis_points = args.shadow_share.unwrap_or(next.shadow_basis_points);
    (next != Traffic::default()).then_some(next)
}
