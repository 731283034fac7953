use super::*;

/// Whatever goes wrong at one look, there is a next one.
#[test]
fn a_panic_does_not_end_the_loader() {
    let (jobs, _inbox) = channel();
    let registry = Registry::open("memory:///models").unwrap();
    let live = Arc::new(LiveModels::new(Vec::new()));
    let workshop =
        Workshop { registry, live: Arc::clone(&live), metrics: Arc::new(Metrics::new()) };
    let mut loader = Loader::new(workshop, jobs, Duration::from_secs(1));
    loader.guarded(|_| panic!("on purpose"));
    assert_eq!(loader.workshop.metrics.requests.panics.get(), 1);
    assert!(!live.snapshot().started);
    loader.guarded(Loader::poll);
    assert!(live.snapshot().started && live.readiness().registry_read);
}
