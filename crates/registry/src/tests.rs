//! The registry as its callers use it, on local files and on an object store.

mod archive;
mod bounds;
mod crash;
mod evidence;
mod judging;
mod lifecycle;
mod race;
mod random;
mod sample;
mod stores;
mod tamper;
mod upload;
