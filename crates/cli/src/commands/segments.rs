//! `segue segments describe`.

use segue_training::describe::describe;

use super::{open_registry, resolve};
use crate::args::{Segments, SegmentsCommand};
use crate::console::Console;

pub(crate) fn run(args: &Segments, console: &Console) -> anyhow::Result<()> {
    let SegmentsCommand::Describe { model, registry } = &args.command;
    let registry = open_registry(&registry.registry)?;
    let (model, version) = resolve(&registry, model)?;
    let description = describe(&registry, &model, version)?;
    console.result(&description, || description.to_string());
    Ok(())
}
