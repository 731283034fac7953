//! What shadows have shown: kept by each run of a server, read as one.

use tempfile::TempDir;

use super::sample::good;
use crate::{Registry, RegistryError, ShadowCounts};

fn counts(champion_version: u64, shadow_version: u64, n_rows: u64, time_us: i64) -> ShadowCounts {
    let mut counts = ShadowCounts { champion_version, shadow_version, ..ShadowCounts::default() };
    for row in 0..n_rows {
        counts.count(time_us + row as i64, |counts| {
            counts.n_rows += 1;
            counts.n_segment_flips += u64::from(row == 0);
            counts.sum_abs_difference += 0.25;
            counts.max_abs_difference = 0.125 * n_rows as f64;
            counts.sum_shift -= 0.25;
            counts.buckets[10] += 1;
        });
    }
    counts
}

#[test]
fn runs_add_up_and_a_run_replaces_what_it_kept() {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    registry.publish(&good(1)).unwrap();
    assert_eq!(registry.evidence("churn").unwrap(), []);
    registry.keep_evidence("churn", "b", vec![counts(1, 2, 1, 70)]).unwrap();
    registry.keep_evidence("churn", "a", vec![counts(1, 2, 4, 50), counts(2, 3, 1, 9)]).unwrap();
    registry.keep_evidence("churn", "b", vec![counts(1, 2, 2, 70), counts(1, 3, 3, 1)]).unwrap();
    // Another process, or the same after a restart.
    let other = Registry::open(folder.path().to_str().unwrap()).unwrap();
    let mut both = counts(1, 2, 4, 50);
    both.merge(&counts(1, 2, 2, 70));
    assert_eq!(
        other.evidence("churn").unwrap(),
        [both.clone(), counts(1, 3, 3, 1), counts(2, 3, 1, 9)]
    );
    assert_eq!((both.n_rows, both.n_segment_flips, both.buckets[10]), (6, 2, 6));
    assert_eq!((both.max_abs_difference, both.first_us, both.last_us), (0.5, 50, 71));
    assert_eq!((both.mean_abs_difference(), both.mean_shift()), (0.25, -0.25));
    assert!(other.verify(None).unwrap().is_clean());
    assert_eq!(other.models().unwrap(), ["churn"]);
}

#[test]
fn a_run_that_has_seen_nothing_leaves_the_times_of_others() {
    let mut none = ShadowCounts::default();
    none.merge(&counts(0, 0, 1, 5));
    assert_eq!((none.first_us, none.last_us), (5, 5));
    none.merge(&ShadowCounts::default());
    assert_eq!((none.first_us, none.last_us), (5, 5));
}

#[test]
fn damage_is_told_with_its_place_and_no_promotion_goes_by_it() {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    registry.publish(&good(1)).unwrap();
    registry.keep_evidence("churn", "run", vec![counts(1, 2, 4, 50)]).unwrap();
    let file = folder.path().join("churn/evidence/run.json");
    let bytes = std::fs::read(&file).unwrap();
    let forged =
        String::from_utf8(bytes.clone()).unwrap().replace("\"n_rows\": 4", "\"n_rows\": 9");
    assert_ne!(forged.as_bytes(), bytes);
    std::fs::write(&file, forged).unwrap();
    let Err(RegistryError::Corrupt { place, reason }) = registry.evidence("churn") else {
        panic!()
    };
    assert!(
        place.ends_with("run.json") && reason.contains("SHA-256") && reason.contains("remove it")
    );
    let request = crate::PromoteRequest {
        model: "churn".into(),
        version: 1,
        ..crate::PromoteRequest::default()
    };
    assert!(matches!(registry.promote(&request), Err(RegistryError::Corrupt { .. })));
    let report = registry.verify(None).unwrap();
    assert_eq!(report.problems.len(), 1, "{report:?}");
    std::fs::write(&file, bytes).unwrap();
    std::fs::write(folder.path().join("churn/evidence/.run.tmp"), "half").unwrap();
    let report = registry.verify(None).unwrap();
    assert!(report.is_clean() && report.notes.iter().any(|note| note.place.ends_with(".run.tmp")));
}

#[test]
fn only_a_known_model_and_a_plain_name_are_kept() {
    let registry = Registry::open("memory://").unwrap();
    let kept = |model: &str, run: &str| registry.keep_evidence(model, run, Vec::new());
    assert!(matches!(kept("churn", "run"), Err(RegistryError::ModelNotFound { .. })));
    registry.publish(&good(1)).unwrap();
    for run in ["", "../x", "A", "a/b"] {
        assert!(matches!(kept("churn", run), Err(RegistryError::NameInvalid { .. })), "{run}");
    }
    kept("churn", "run").unwrap();
}
