//! What each gate lets through and what it stops.

use segue_dataset::TargetKind;
use tempfile::TempDir;

use super::sample::{Sample, good};
use crate::gates;
use crate::{
    GateMetric, GateOutcome, GatePolicy, GateResult, NewFeatures, PromoteRequest, Registry,
    RegistryError, Traffic, TrafficRequest,
};

/// Promotes `champion` if there is one, then tries `candidate`.
fn judge(champion: Option<&Sample>, candidate: &Sample) -> (bool, Vec<GateResult>) {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    let mut request = PromoteRequest { model: "churn".into(), ..PromoteRequest::default() };
    if let Some(champion) = champion {
        request.version = registry.publish(&champion.draft()).unwrap().version;
        request.override_gates = true;
        registry.promote(&request).unwrap();
    }
    request.version = registry.publish(&candidate.draft()).unwrap().version;
    request.override_gates = false;
    match registry.promote(&request) {
        Ok(promoted) => (true, promoted.gates),
        Err(RegistryError::GateFailed(gates)) => {
            let report = registry.model("churn").unwrap();
            assert_ne!(report.aliases.get("champion"), Some(&request.version));
            (false, gates)
        }
        Err(error) => panic!("{error}"),
    }
}

fn outcome<'a>(gates: &'a [GateResult], gate: &str) -> (GateOutcome, &'a str) {
    let found = gates.iter().find(|result| result.gate == gate).unwrap();
    (found.outcome, &found.message)
}

fn sample() -> Sample {
    Sample { tag: 50, ..Sample::default() }
}

#[test]
fn the_first_version_has_nothing_to_be_compared_with() {
    let (passed, gates) = judge(None, &sample());
    assert!(passed, "{gates:?}");
    for gate in ["schema_compatible", "metric_not_inferior"] {
        assert_eq!(outcome(&gates, gate), (GateOutcome::Skipped, "no champion"));
    }
    for gate in ["golden_replay", "calibration_bound", "slice_floor"] {
        assert_eq!(outcome(&gates, gate).0, GateOutcome::Passed);
    }
}

#[test]
fn an_equal_passes_a_worse_one_does_not() {
    let champion = Sample::default();
    let (passed, gates) = judge(Some(&champion), &sample());
    assert!(passed, "{gates:?}");
    let gate = gates.iter().find(|gate| gate.gate == "metric_not_inferior").unwrap();
    assert_eq!(gate.measured["lower_bound"], 0.0, "the same scores differ on no draw");
    let strict = GatePolicy { margin: 0.0, ..Sample::default().gates };
    let (passed, gates) = judge(Some(&champion), &Sample { gates: strict, ..sample() });
    assert!(passed, "it differs in nothing: {gates:?}");
    let (passed, gates) = judge(Some(&champion), &Sample { asks: "noise", ..sample() });
    assert!(!passed);
    assert_eq!(outcome(&gates, "metric_not_inferior").0, GateOutcome::Failed);
    // The other way round it is better by far.
    let (_, gates) = judge(Some(&Sample { asks: "noise", ..sample() }), &champion);
    assert_eq!(outcome(&gates, "metric_not_inferior").0, GateOutcome::Passed);
}

#[test]
fn errors_count_downwards() {
    let gates = |metric| GatePolicy { metric: Some(metric), ..Sample::default().gates };
    for metric in [GateMetric::LogLoss, GateMetric::Brier, GateMetric::AveragePrecision] {
        let worse = Sample { asks: "noise", gates: gates(metric), ..sample() };
        let (_, found) = judge(Some(&Sample::default()), &worse);
        assert_eq!(outcome(&found, "metric_not_inferior").0, GateOutcome::Failed, "{metric:?}");
        let better = Sample { gates: gates(metric), ..Sample::default() };
        let (_, found) = judge(Some(&worse), &better);
        assert_eq!(outcome(&found, "metric_not_inferior").0, GateOutcome::Passed, "{metric:?}");
    }
    let (_, found) =
        judge(Some(&Sample::default()), &Sample { gates: gates(GateMetric::Rmse), ..sample() });
    let (outcome, message) = outcome(&found, "metric_not_inferior");
    assert_eq!(outcome, GateOutcome::Failed);
    assert!(message.contains("rmse is not defined for"), "{message}");
}

#[test]
fn a_champion_whose_features_are_gone_cannot_be_compared() {
    let champion = Sample { extra: Some("visits"), ..Sample::default() };
    let (passed, gates) = judge(Some(&champion), &sample());
    assert!(!passed);
    let (outcome, message) = outcome(&gates, "metric_not_inferior");
    assert_eq!(outcome, GateOutcome::Failed);
    assert!(message.starts_with("not comparable") && message.ends_with("visits"), "{message}");
}

#[test]
fn new_features_need_a_feature_set_or_a_word() {
    let champion = Sample::default();
    let added = Sample { extra: Some("visits"), ..sample() };
    let (passed, gates) = judge(Some(&champion), &added);
    let (outcome, message) = outcome(&gates, "schema_compatible");
    assert!(!passed && outcome == GateOutcome::Failed && message.ends_with("visits"), "{message}");
    let allow = GatePolicy { new_features: NewFeatures::Allow, ..champion.gates.clone() };
    assert!(judge(Some(&champion), &Sample { gates: allow, ..added.clone() }).0);
    assert!(judge(Some(&champion), &Sample { feature_set: Some("f"), ..added.clone() }).0);
    // Callers that send events could no longer do so.
    let champion = Sample { feature_set: Some("f"), ..champion };
    assert!(!judge(Some(&champion), &sample()).0);
}

#[test]
fn probabilities_must_mean_what_they_say() {
    let (passed, gates) = judge(None, &Sample { shift: 0.1, ..sample() });
    let (outcome, message) = outcome(&gates, "calibration_bound");
    assert!(!passed && outcome == GateOutcome::Failed, "{message}");
    let lenient = GatePolicy { max_calibration_error: 0.2, ..Sample::default().gates };
    assert!(judge(None, &Sample { shift: 0.1, gates: lenient, ..sample() }).0);
}

#[test]
fn a_bad_slice_stops_a_good_average() {
    let loose = GatePolicy { max_calibration_error: 1.0, ..Sample::default().gates };
    let candidate = Sample { bad_slice: true, gates: loose.clone(), ..sample() };
    let (passed, gates) = judge(None, &candidate);
    let (found, message) = outcome(&gates, "slice_floor");
    assert!(!passed && found == GateOutcome::Failed && message.contains("plan=b"), "{message}");
    // Too few rows to judge: named, not judged.
    let gates = GatePolicy { slice_min_rows: 500, ..loose };
    let (passed, gates) = judge(None, &Sample { gates, ..candidate });
    let (found, message) = outcome(&gates, "slice_floor");
    assert!(passed && found == GateOutcome::Passed, "{message}");
    assert!(message.contains("too few rows to judge: plan=b ("), "{message}");
}

#[test]
fn an_override_is_recorded() {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    registry.publish(&Sample { shift: 0.1, ..sample() }.draft()).unwrap();
    let request = PromoteRequest {
        model: "churn".into(),
        version: 1,
        override_gates: true,
        ..PromoteRequest::default()
    };
    registry.promote(&request).unwrap();
    let event = registry.log("churn").unwrap().pop().unwrap();
    assert!(event.gates_overridden && event.gates.iter().any(GateResult::failed));
    // With nothing to override, an override is none.
    registry.publish(&good(1)).unwrap();
    registry.promote(&PromoteRequest { version: 2, ..request }).unwrap();
    assert!(!registry.log("churn").unwrap().pop().unwrap().gates_overridden);
}

#[test]
fn without_a_holdout_nothing_is_shown() {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    let mut draft = good(1);
    draft.files.remove("holdout.bin");
    registry.publish(&draft).unwrap();
    let request = PromoteRequest { model: "churn".into(), version: 1, ..PromoteRequest::default() };
    let error = registry.promote(&request).unwrap_err();
    assert!(error.to_string().contains("published without holdout.bin"), "{error}");
    assert_eq!(draft.summary.target, TargetKind::Binary);
}

#[test]
fn a_version_that_scores_differently_cannot_be_waved_through() {
    let registry = Registry::open("memory:///models").unwrap();
    registry.publish(&good(1)).unwrap();
    let (mut loaded, holdout) = registry.load_unproven("churn", 1).unwrap();
    let holdout = holdout.map(|bytes| registry.decode_holdout(&loaded.manifest, &bytes).unwrap());
    let approver = gates::Approver { name: "", must_differ: false };
    let output = &mut loaded.golden[3].outputs[0];
    *output = f64::from_bits(output.to_bits() ^ 1);
    let gates = gates::judge(&loaded, holdout.as_ref(), None, &approver, &[]);
    let failed: Vec<_> = gates.iter().filter(|gate| gate.failed()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].gate, "golden_replay");
    assert!(!gates::can_be_overridden(failed[0]));
}

/// Off unless the version asks for it, and then overridden like any judgement.
#[test]
fn an_approver_may_have_to_be_somebody_else() {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    let gates = GatePolicy { distinct_approver: true, ..Sample::default().gates };
    registry.publish(&sample().draft()).unwrap();
    registry.publish(&Sample { tag: 51, gates, ..Sample::default() }.draft()).unwrap();
    let promote = |version, actor: &str, override_gates: bool| {
        let (model, actor, validate_only) = ("churn".into(), actor.into(), !override_gates);
        registry.promote(&PromoteRequest {
            model,
            version,
            actor,
            validate_only,
            override_gates,
            ..PromoteRequest::default()
        })
    };
    let free = promote(1, "ada", false).unwrap();
    assert_eq!(outcome(&free.gates, "approval").0, GateOutcome::Skipped);
    for (actor, words) in [
        ("ada", "someone else must approve"),
        ("ada (for grace)", "someone else must approve"),
        ("", "names no approver"),
    ] {
        let Err(RegistryError::GateFailed(gates)) = promote(2, actor, false) else {
            panic!("{actor:?} approves")
        };
        let (outcome, message) = outcome(&gates, "approval");
        assert!(outcome == GateOutcome::Failed && message.contains(words), "{message}");
    }
    let approved = promote(2, "grace", false).unwrap();
    assert_eq!(outcome(&approved.gates, "approval").0, GateOutcome::Passed);
    promote(2, "ada", true).unwrap();
    let event = registry.log("churn").unwrap().pop().unwrap();
    assert!(event.gates_overridden && event.actor == "ada");
    assert!(registry.manifest("churn", 2).unwrap().summary.gates.distinct_approver);
}

/// Whoever carries out the requests of others may ask for it, too: the version's own gates are its
/// publisher's.
#[test]
fn an_approver_may_have_to_be_somebody_else_whatever_the_version_says() {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    registry.publish(&sample().draft()).unwrap();
    let promote = |actor: &str, distinct_approver| {
        registry.promote(&PromoteRequest {
            model: "churn".into(),
            version: 1,
            actor: actor.into(),
            validate_only: true,
            distinct_approver,
            ..PromoteRequest::default()
        })
    };
    let split = |actor: &str, distinct_approver| {
        let traffic =
            Traffic { canary_version: Some(1), canary_basis_points: 10_000, ..Traffic::default() };
        registry.set_traffic(&TrafficRequest {
            model: "churn".into(),
            traffic: Some(traffic),
            actor: actor.into(),
            validate_only: true,
            distinct_approver,
            ..TrafficRequest::default()
        })
    };
    assert!(promote("ada", false).is_ok() && split("ada", false).is_ok());
    for actor in ["ada", "ada (for grace)", ""] {
        assert!(matches!(promote(actor, true), Err(RegistryError::GateFailed(_))), "{actor}");
        assert!(matches!(split(actor, true), Err(RegistryError::GateFailed(_))), "{actor}");
    }
    assert!(promote("grace", true).is_ok() && split("grace", true).is_ok());
}

/// A share of the traffic is no way around the approver.
#[test]
fn a_canary_is_approved_by_somebody_else_too() {
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    let gates = GatePolicy { distinct_approver: true, ..Sample::default().gates };
    registry.publish(&sample().draft()).unwrap();
    registry.publish(&Sample { tag: 51, gates, ..Sample::default() }.draft()).unwrap();
    let set = |canary_version, basis_points, actor: &str, override_gates| {
        registry.set_traffic(&TrafficRequest {
            model: "churn".into(),
            traffic: Some(Traffic {
                canary_version: Some(canary_version),
                canary_basis_points: basis_points,
                ..Traffic::default()
            }),
            actor: actor.into(),
            override_gates,
            ..TrafficRequest::default()
        })
    };
    // Another's version, or one that nobody's score comes from, needs no approver.
    set(1, 500, "ada", false).unwrap();
    set(2, 0, "ada", false).unwrap();
    for actor in ["ada", "ada (for grace)", ""] {
        let Err(RegistryError::GateFailed(gates)) = set(2, 1, actor, false) else {
            panic!("{actor:?} approves")
        };
        assert_eq!(outcome(&gates, "approval").0, GateOutcome::Failed);
    }
    set(2, 500, "grace", false).unwrap();
    let event = registry.log("churn").unwrap().pop().unwrap();
    assert_eq!(outcome(&event.gates, "approval").0, GateOutcome::Passed);
    assert!(!event.gates_overridden);
    // The publisher may take the share away, and not raise it.
    assert!(matches!(set(2, 501, "ada", false), Err(RegistryError::GateFailed(_))));
    set(2, 499, "ada", false).unwrap();
    assert!(matches!(set(2, 500, "ada", false), Err(RegistryError::GateFailed(_))));
    set(2, 10_000, "ada", true).unwrap();
    let event = registry.log("churn").unwrap().pop().unwrap();
    assert!(event.gates_overridden && event.actor == "ada");
    assert!(registry.verify(None).unwrap().is_clean());
}

#[test]
fn what_a_shadow_has_shown_is_judged_by_the_bounds_of_the_version() {
    use crate::ShadowCounts;
    let folder = TempDir::new().unwrap();
    let registry = Registry::open(folder.path().to_str().unwrap()).unwrap();
    let bounded = |min_shadow_rows, max_shadow_flip_rate| Sample {
        tag: 50,
        gates: GatePolicy { min_shadow_rows, max_shadow_flip_rate, ..Sample::default().gates },
        ..Sample::default()
    };
    registry.publish(&good(1)).unwrap();
    registry
        .promote(&PromoteRequest {
            model: "churn".into(),
            version: 1,
            override_gates: true,
            ..PromoteRequest::default()
        })
        .unwrap();
    let seen = |champion_version, n_rows: u64, n_segment_flips| ShadowCounts {
        champion_version,
        n_rows,
        n_segment_flips,
        sum_shift: 0.25 * n_rows as f64,
        ..ShadowCounts::default()
    };
    let mut tag = 100;
    let mut judged = |sample: Sample, evidence: &[ShadowCounts]| {
        tag += 1;
        let version = registry.publish(&Sample { tag, ..sample }.draft()).unwrap().version;
        let of_version =
            |one: &ShadowCounts| ShadowCounts { shadow_version: version, ..one.clone() };
        registry
            .keep_evidence("churn", "run-1", evidence.iter().map(of_version).collect())
            .unwrap();
        let request = PromoteRequest {
            model: "churn".into(),
            version,
            validate_only: true,
            ..PromoteRequest::default()
        };
        let gates = match registry.promote(&request) {
            Ok(promoted) => promoted.gates,
            Err(RegistryError::GateFailed(gates)) => gates,
            Err(error) => panic!("{error}"),
        };
        gates.into_iter().find(|gate| gate.gate == "shadow_agreement").unwrap()
    };
    use GateOutcome::{Failed, Passed, Skipped};
    for (min_rows, max_flips, evidence, expected) in [
        (0, None, vec![], Skipped),
        (0, None, vec![seen(1, 10, 9)], Skipped),
        (100, None, vec![], Failed),
        (100, None, vec![seen(1, 99, 0)], Failed),
        (100, None, vec![seen(1, 100, 100)], Passed),
        (0, Some(0.1), vec![], Failed),
        (0, Some(0.1), vec![seen(1, 0, 0)], Failed),
        (100, Some(0.1), vec![seen(1, 200, 20)], Passed),
        (100, Some(0.1), vec![seen(1, 200, 21)], Failed),
        // Beside a version that is not replaced it has shown nothing.
        (100, Some(0.1), vec![seen(7, 200, 0)], Failed),
        (100, Some(0.1), vec![seen(7, 200, 200), seen(1, 200, 0)], Passed),
    ] {
        let gate = judged(bounded(min_rows, max_flips), &evidence);
        assert_eq!(gate.outcome, expected, "{min_rows} {max_flips:?} {evidence:?}: {gate:?}");
        if let Some(seen) = evidence.iter().find(|one| one.champion_version == 1 && one.n_rows > 0)
        {
            assert_eq!(gate.measured["n_rows"], seen.n_rows as f64);
            assert_eq!(gate.measured["mean_shift"], 0.25);
        }
    }
    // What it could not score agrees with nothing.
    let failing = |n_rows, n_failed| ShadowCounts { n_failed, ..seen(1, n_rows, 0) };
    for (evidence, expected) in
        [(failing(90, 10), Passed), (failing(89, 11), Failed), (failing(0, 9), Failed)]
    {
        let gate = judged(bounded(0, Some(0.1)), std::slice::from_ref(&evidence));
        assert_eq!((gate.outcome, gate.gate_version), (expected, 2), "{evidence:?}: {gate:?}");
        let words = format!("{} more that it could not score", evidence.n_failed);
        assert!(gate.message.contains(&words), "{}", gate.message);
    }
    let bad = bounded(0, Some(1.5)).draft();
    assert!(registry.publish(&bad).unwrap_err().to_string().contains("max_shadow_flip_rate"));
}
