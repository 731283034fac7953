//! A fit that was stopped and taken up again, or that goes on from a model, ends as one that was not.

use segue_learners::LearnError;

use super::*;
use crate::job::{DartSection, GossSection};

fn checkpoints(folder: &tempfile::TempDir) -> Checkpoints {
    let path = folder.path().join("kept/m.checkpoint");
    Checkpoints { path, every: 4, saved: || {} }
}

/// Stops a fit after so many rounds of all its fits together.
fn stopped(fitting: &Fitting<'_>, after: usize) {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let progress = |_: Progress, _: Option<f64>| {
        if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 >= after {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let ended = fit_learner(fitting, &Quiet, &progress);
    let cancelled =
        matches!(ended, Err(FitError::Learn { source: LearnError::Cancelled { .. }, .. }));
    assert!(cancelled, "{ended:?}");
}

#[test]
fn a_stopped_fit_is_taken_up_where_it_was() {
    let all = data(900, 1.0, TargetKind::Binary);
    let (train, valid) = parts(&all);
    let plain = LearnerSection { rounds: Some(60), ..LearnerSection::default() };
    let goss = LearnerSection { goss: Some(GossSection::default()), ..plain.clone() };
    let auto = LearnerSection { learning_rate: Some(OrAuto::Auto), ..plain.clone() };
    for (section, stops) in [(plain, &[1, 30][..]), (goss, &[25]), (auto, &[10, 70])] {
        let whole = fitting(&section, &train, &valid);
        let expected = fit_model(&whole, &naming(), &Quiet).unwrap();
        for &after in stops {
            let folder = tempfile::tempdir().unwrap();
            let into = checkpoints(&folder);
            let kept = Fitting { checkpoints: Some(&into), ..whole };
            stopped(&kept, after);
            // once more, so that a fit that was itself taken up is stopped
            stopped(&kept, 5);
            assert!(into.path.is_file());
            let asked = std::sync::atomic::AtomicUsize::new(0);
            let count = |_: Progress, _: Option<f64>| {
                asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                ControlFlow::Continue(())
            };
            let (fitted, found) = fit_learner(&kept, &Quiet, &count).unwrap();
            assert_eq!((&fitted, &found), (&expected.fitted, &expected.found), "after {after}");
            let (again, rounds) = (asked.into_inner(), expected.fitted.history.len());
            let finds = section.learning_rate.is_some();
            assert!(finds || again == rounds - (after + 5), "{again} of {rounds} after {after}");
            into.remove().unwrap();
            assert!(!into.path.exists());
            into.remove().unwrap();
        }
    }
}

#[test]
fn a_checkpoint_of_another_fit_is_refused() {
    let all = data(600, 1.0, TargetKind::Binary);
    let (train, valid) = parts(&all);
    let section = LearnerSection { rounds: Some(30), ..LearnerSection::default() };
    let folder = tempfile::tempdir().unwrap();
    let into = checkpoints(&folder);
    let kept = Fitting { checkpoints: Some(&into), ..fitting(&section, &train, &valid) };
    stopped(&kept, 6);
    let refused =
        |fitting: &Fitting<'_>| fit_model(fitting, &naming(), &Quiet).unwrap_err().to_string();
    let other = LearnerSection { l2: Some(1.0), ..section.clone() };
    let start = fit_model(&fitting(&section, &train, &valid), &naming(), &Quiet).unwrap();
    let start = start.model.ensemble();
    for changed in [
        Fitting { section: &other, ..kept },
        Fitting { seed: 4, ..kept },
        Fitting { train: &valid, ..kept },
        Fitting { valid: &train, ..kept },
        Fitting { start: Some(start), ..kept },
    ] {
        assert!(refused(&changed).contains("m.checkpoint: is of another fit: "));
    }
    // threads are not of the fit
    assert!(fit_model(&Fitting { n_threads: 2, ..kept }, &naming(), &Quiet).is_ok());
    let whole = std::fs::read(&into.path).unwrap();
    for broken in [&b""[..], b"{}\n", &whole[..whole.len() - 1]] {
        std::fs::write(&into.path, broken).unwrap();
        assert!(refused(&kept).ends_with("is no checkpoint; remove it, or name another folder"));
    }
    let dart = LearnerSection { dart: Some(DartSection::default()), ..section.clone() };
    assert!(refused(&Fitting { section: &dart, ..kept }).contains("learner.dart changes trees"));
    let forest =
        LearnerSection { kind: crate::job::LearnerKind::Forest, ..LearnerSection::default() };
    let message = refused(&Fitting { section: &forest, ..kept });
    assert!(message.ends_with("learner \"forest\" keeps none; only boosting does"), "{message}");
}

#[test]
fn a_start_is_the_beginning_of_a_longer_fit() {
    let all = data(900, 1.0, TargetKind::Binary);
    let (train, valid) = parts(&all);
    let of = |rounds| LearnerSection {
        rounds: Some(rounds),
        row_share: Some(0.7),
        early_stopping_rounds: Some(0),
        ..LearnerSection::default()
    };
    let (short, long) = (of(12), of(30));
    let fit = |fitting: &Fitting<'_>| fit_model(fitting, &naming(), &Quiet).unwrap().model;
    let first = fit(&fitting(&short, &train, &valid));
    let on = Fitting { start: Some(first.ensemble()), ..fitting(&long, &train, &valid) };
    let expected = fit(&fitting(&long, &train, &valid));
    assert_eq!(fit(&on), expected);
    assert_ne!(first, expected);
    // and is gone on from even when that is stopped
    let folder = tempfile::tempdir().unwrap();
    let into = checkpoints(&folder);
    let kept = Fitting { checkpoints: Some(&into), ..on };
    stopped(&kept, 7);
    assert_eq!(fit(&kept), expected);
}
