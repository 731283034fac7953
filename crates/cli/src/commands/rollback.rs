//! `segue rollback`.

use segue_registry::RollbackRequest;
use serde_json::json;

use super::open_registry;
use crate::args::Rollback;
use crate::console::Console;

pub(crate) fn run(args: &Rollback, console: &Console) -> anyhow::Result<()> {
    let registry = open_registry(&args.terms.registry.registry)?;
    let back = registry.rollback(&RollbackRequest {
        model: args.model.clone(),
        alias: args.alias.clone(),
        to_version: args.to,
        etag: args.terms.etag.clone(),
        actor: args.terms.actor.clone(),
        reason: args.terms.reason.clone(),
        validate_only: args.terms.dry_run,
        ..RollbackRequest::default()
    })?;
    let machine = json!({
        "model": args.model,
        "alias": args.alias,
        "from": back.from,
        "to": back.to,
        "generation": back.generation,
        "etag": back.etag,
        "dry_run": args.terms.dry_run,
    });
    console.result(&machine, || {
        let (alias, model, from, to) = (&args.alias, &args.model, back.from, back.to);
        if from == to {
            return format!(
                "{alias} of {model} points at version {to} already; nothing was changed"
            );
        }
        let done = if args.terms.dry_run { "would move" } else { "moved" };
        format!("{alias} of {model} {done} back from version {from} to version {to}")
    });
    Ok(())
}
