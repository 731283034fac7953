//! `segue promote`.

use segue_registry::PromoteRequest;
use serde_json::json;

use super::{gate_table, open_registry, with_gates};
use crate::args::Promote;
use crate::console::Console;

pub(crate) fn run(args: &Promote, console: &Console) -> anyhow::Result<()> {
    let registry = open_registry(&args.terms.registry.registry)?;
    let request = PromoteRequest {
        model: args.model.clone(),
        version: args.version,
        alias: args.alias.clone(),
        etag: args.terms.etag.clone(),
        actor: args.terms.actor.clone(),
        reason: args.terms.reason.clone(),
        validate_only: args.terms.dry_run,
        override_gates: args.override_gates,
        ..PromoteRequest::default()
    };
    let promoted = with_gates(registry.promote(&request), console)?;
    let machine = json!({
        "model": args.model,
        "version": args.version,
        "alias": args.alias,
        "previous_version": promoted.previous_version,
        "generation": promoted.generation,
        "etag": promoted.etag,
        "gates": promoted.gates,
        "dry_run": args.terms.dry_run,
    });
    console.result(&machine, || {
        let from = match promoted.previous_version {
            Some(version) => format!("version {version}"),
            None => "nothing".to_owned(),
        };
        let (alias, model, to) = (&args.alias, &args.model, args.version);
        if promoted.previous_version == Some(to) {
            return format!(
                "{alias} of {model} points at version {to} already; nothing was changed"
            );
        }
        let done = if args.terms.dry_run { "would move" } else { "moved" };
        format!(
            "{}\n{alias} of {model} {done} from {from} to version {to}",
            gate_table(&promoted.gates)
        )
    });
    Ok(())
}
