//! `segue archive`.

use segue_registry::ArchiveRequest;

use super::models::applied_json;
use super::open_registry;
use crate::args::Archive;
use crate::console::Console;

pub(crate) fn run(args: &Archive, console: &Console) -> anyhow::Result<()> {
    let registry = open_registry(&args.terms.registry.registry)?;
    let request = ArchiveRequest {
        model: args.model.clone(),
        version: args.version,
        etag: args.terms.etag.clone(),
        actor: args.terms.actor.clone(),
        reason: args.terms.reason.clone(),
        validate_only: args.terms.dry_run,
        ..ArchiveRequest::default()
    };
    let applied =
        if args.restore { registry.restore(&request)? } else { registry.archive(&request)? };
    console.result(&applied_json(&applied, args.terms.dry_run), || {
        let will = if args.terms.dry_run { "would be" } else { "is" };
        let what = if args.restore { "free for use" } else { "archived" };
        format!("version {} of {} {will} {what}", args.version, args.model)
    });
    Ok(())
}
