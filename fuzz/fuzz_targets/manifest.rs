//! Whatever the bytes of a manifest, an event or the state, the registry answers, and says in
//! `verify` what is wrong.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use segue_registry::Registry;

fuzz_target!(init: segue_fuzz::seeds::write("manifest"), |bytes: &[u8]| {
    let Some((&which, content)) = bytes.split_first() else { return };
    let key = segue_fuzz::KEYS[usize::from(which) % segue_fuzz::KEYS.len()];
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let path = key.into();
    runtime.block_on(store.put(&path, content.to_vec().into())).expect("in memory");
    let Ok(registry) = Registry::on_object_store(store, "") else { return };
    let _ = registry.models();
    let _ = registry.model("churn");
    let _ = registry.versions("churn");
    let _ = registry.load("churn", 1);
    let _ = registry.log("churn");
    let _ = registry.verify(None);
});
