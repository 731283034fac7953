//! `segue rollback`.

use segue_registry::RollbackRequest;
use serde_json::json;

use super::open_registry;
use crate::args::Rollback;
use crate::console::Console;

pub(crate) fn run(args: &Rollback, console: &Console) -> anyhow::Result<()> {
    let registry = open_registry(&args.registry.registry)?;
    let back = registry.rollback(&RollbackRequest {
        model: args.model.clone(),
        alias: args.alias.clone(),
        to_version: args.to,
        actor: args.actor.clone(),
        reason: args.reason.clone(),
        ..RollbackRequest::default()
    })?;
    let machine = json!({
        "model": args.model,
        "alias": args.alias,
        "from": back.from,
        "to": back.to,
        "generation": back.generation,
        "etag": back.etag,
    });
    console.result(&machine, || {
        if back.event_id.is_none() {
            let (alias, model, to) = (&args.alias, &args.model, back.to);
            return format!(
                "{alias} of {model} points at version {to} already; nothing was changed"
            );
        }
        format!(
            "{} of {} moved back from version {} to version {}",
            args.alias, args.model, back.from, back.to
        )
    });
    Ok(())
}
