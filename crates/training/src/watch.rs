//! How a long job tells how far it is, without knowing who listens.

/// Listens to a job. Called from several threads, possibly at once; `done` may then go back a little.
pub trait Watch: Sync {
    /// A stage begins; `total` is in the stage's own unit, 0 if not known.
    fn stage(&self, name: &str, total: u64);
    /// So much of the stage is done.
    fn done(&self, done: u64);
    /// Something worth telling that is not an error.
    fn note(&self, text: &str);
    /// Whether the work should end. Asked between the rounds of a fit.
    fn wants_end(&self) -> bool {
        false
    }
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Watch for Quiet {
    fn stage(&self, _name: &str, _total: u64) {}
    fn done(&self, _done: u64) {}
    fn note(&self, _text: &str) {}
}
