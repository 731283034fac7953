//! What changes a model in the registry: who answers for it, and to whom.

use clap::Args as ClapArgs;

use super::RegistryArgs;

/// Who changes something, why, and on what condition.
#[derive(Debug, ClapArgs)]
pub(crate) struct Terms {
    /// Why, for the audit trail
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Refuse if the model has changed since this etag was read
    #[arg(long)]
    pub(crate) etag: Option<String>,
    /// Run every check, change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Who
    #[arg(long, env = "USER", default_value = "unknown")]
    pub(crate) actor: String,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Promote {
    /// Model
    pub(crate) model: String,
    /// Version
    #[arg(id = "number", value_name = "VERSION")]
    pub(crate) version: u64,
    /// Alias to move
    #[arg(long, default_value = "champion")]
    pub(crate) alias: String,
    /// Promote although a gate fails; the audit trail says so
    #[arg(long)]
    pub(crate) override_gates: bool,
    #[command(flatten)]
    pub(crate) terms: Terms,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Rollback {
    /// Model
    pub(crate) model: String,
    /// Alias to move
    #[arg(long, default_value = "champion")]
    pub(crate) alias: String,
    /// Version to go back to [default: where the alias was before]
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: Option<u64>,
    #[command(flatten)]
    pub(crate) terms: Terms,
}

#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("to").required(true).args(["number", "delete"]))]
pub(crate) struct Alias {
    /// Model
    pub(crate) model: String,
    /// Alias
    pub(crate) alias: String,
    /// Version to point at
    #[arg(id = "number", value_name = "VERSION")]
    pub(crate) version: Option<u64>,
    /// Delete the alias
    #[arg(long)]
    pub(crate) delete: bool,
    #[command(flatten)]
    pub(crate) terms: Terms,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Traffic {
    /// Model
    pub(crate) model: String,
    /// Version that answers a share of the requests that name neither version nor alias
    #[arg(long, value_name = "VERSION")]
    pub(crate) canary: Option<u64>,
    /// That share, 0 to 10000; who was in a smaller one stays in a larger one
    #[arg(long, value_name = "BASIS_POINTS")]
    pub(crate) share: Option<u32>,
    /// Mixed into the hash that picks users: another salt picks others
    #[arg(long)]
    pub(crate) salt: Option<String>,
    /// Versions that score copies, their answers unseen; instead of those that do so now
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    pub(crate) shadow: Vec<u64>,
    /// Share of the rows that is copied, 0 to 10000
    #[arg(long, value_name = "BASIS_POINTS")]
    pub(crate) shadow_share: Option<u32>,
    /// All requests go to the champion, and no copies anywhere
    #[arg(long, conflicts_with_all = ["canary", "share", "salt", "shadow", "shadow_share"])]
    pub(crate) off: bool,
    /// Give the canary its share although nobody but its publisher approves; the audit trail says so
    #[arg(long)]
    pub(crate) override_gates: bool,
    #[command(flatten)]
    pub(crate) terms: Terms,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Archive {
    /// Model
    pub(crate) model: String,
    /// Version
    #[arg(id = "number", value_name = "VERSION")]
    pub(crate) version: u64,
    /// Let the archived version be used again
    #[arg(long)]
    pub(crate) restore: bool,
    #[command(flatten)]
    pub(crate) terms: Terms,
}
