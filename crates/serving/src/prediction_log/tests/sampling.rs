//! Who is drawn, and how subjects are named.

use std::os::unix::fs::PermissionsExt;

use crate::prediction_log::id::PredictionIds;
use crate::prediction_log::options::{PredictionLogOptions, SubjectLogging};
use crate::prediction_log::sampling::{Sampling, Subjects};

fn drawn(sampling: &Sampling, model: &str) -> Vec<bool> {
    let ids = PredictionIds::new(1);
    (0..20_000).map(|user| sampling.takes(model, &format!("user {user}"), ids.next(1))).collect()
}

#[test]
fn a_share_of_the_subjects_is_drawn_whole_and_a_larger_one_keeps_them() {
    let ids = PredictionIds::new(1);
    let draw = |share| drawn(&Sampling::new(share), "churn");
    let (tenth, half) = (draw(1000), draw(5000));
    let count = |drawn: &[bool]| drawn.iter().filter(|one| **one).count();
    // Four standard deviations.
    assert!(count(&tenth).abs_diff(2000) < 170, "{}", count(&tenth));
    assert!(count(&half).abs_diff(10_000) < 283, "{}", count(&half));
    assert!(tenth.iter().zip(&half).all(|(small, large)| !small || *large));
    assert_eq!((count(&draw(0)), count(&draw(10_000))), (0, 20_000));
    // Without a subject every prediction is drawn for itself.
    let sampling = Sampling::new(5000);
    let n_drawn = (0..20_000).filter(|_| sampling.takes("churn", "", ids.next(1))).count();
    assert!(n_drawn.abs_diff(10_000) < 283, "{n_drawn}");
}

#[test]
fn a_model_may_have_its_own_share() {
    let sampling = Sampling::new(0);
    sampling.set(Some("churn"), 10_000);
    let id = PredictionIds::new(1).next(1);
    assert!(sampling.takes("churn", "ada", id) && !sampling.takes("visits", "ada", id));
    sampling.set(None, 10_000);
    assert!(sampling.takes("visits", "ada", id));
    sampling.set(None, 0);
    assert!(!sampling.takes("churn", "ada", id));
}

#[test]
fn subjects_are_named_as_the_operator_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = PredictionLogOptions::new(dir.path());
    let name =
        |options: &PredictionLogOptions| Subjects::open(options).unwrap().name("ada".to_owned());
    assert_eq!(name(&options), None);
    options.subjects = SubjectLogging::Plain;
    assert_eq!(name(&options).as_deref(), Some("ada"));
    assert_eq!(Subjects::open(&options).unwrap().name(String::new()), None);

    options.subjects = SubjectLogging::Hashed;
    let hashed = name(&options).unwrap();
    assert!(hashed.len() == 32 && !hashed.contains("ada"), "{hashed}");
    assert_eq!(name(&options), Some(hashed.clone()), "the key is kept");
    let key = dir.path().join(".subject-key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    // RFC 4231, case 2 has a shorter key than we take; this is HMAC-SHA-256 of 20 bytes 0x0b, case 1.
    let own = dir.path().join("own.key");
    std::fs::write(&own, [0x0b; 20]).unwrap();
    options.subject_key = Some(own.clone());
    let subjects = Subjects::open(&options).unwrap();
    let known = subjects.name("Hi There".to_owned());
    assert_eq!(known.as_deref(), Some("b0344c61d8db38535ca8afceaf0bf12b"));
    std::fs::write(&own, [0x0b; 15]).unwrap();
    assert!(Subjects::open(&options).unwrap_err().to_string().contains("fewer than 16 bytes"));
}
