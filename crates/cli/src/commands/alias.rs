//! `segue alias`.

use std::collections::BTreeMap;

use segue_registry::AliasRequest;

use super::models::applied_json;
use super::open_registry;
use crate::args::Alias;
use crate::console::Console;

pub(crate) fn run(args: &Alias, console: &Console) -> anyhow::Result<()> {
    let registry = open_registry(&args.terms.registry.registry)?;
    let applied = registry.move_aliases(&AliasRequest {
        model: args.model.clone(),
        moves: BTreeMap::from([(args.alias.clone(), args.version)]),
        etag: args.terms.etag.clone(),
        actor: args.terms.actor.clone(),
        reason: args.terms.reason.clone(),
        validate_only: args.terms.dry_run,
        ..AliasRequest::default()
    })?;
    console.result(&applied_json(&applied, args.terms.dry_run), || {
        let (alias, model) = (&args.alias, &args.model);
        match (args.version, args.terms.dry_run) {
            (Some(version), false) => format!("{alias} of {model} points at version {version}"),
            (Some(version), true) => format!("{alias} of {model} would point at version {version}"),
            (None, false) => format!("{alias} of {model} is deleted"),
            (None, true) => format!("{alias} of {model} would be deleted"),
        }
    });
    Ok(())
}
