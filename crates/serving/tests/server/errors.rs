//! Every row of the error table that applies: code, reason, and the path of each bad field.

use segue_api::v1 as pb;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use crate::harness::*;

/// Code, reason and `(field, reason)` of each violation.
pub(crate) fn told(status: &Status) -> (Code, String, Vec<(String, String)>) {
    let details = status.get_error_details();
    let info = details.error_info().expect("every error carries ErrorInfo");
    assert_eq!(info.domain, "segue");
    let fields = details.bad_request().map(|bad| {
        bad.field_violations.iter().map(|one| (one.field.clone(), one.reason.clone())).collect()
    });
    (status.code(), info.reason.clone(), fields.unwrap_or_default())
}

async fn refused(server: &TestServer, request: pb::ScoreRequest) -> Status {
    server.score(request).await.expect_err("the request is bad")
}

/// Asserts that exactly one field is bad.
async fn one_bad_field(server: &TestServer, request: pb::ScoreRequest, reason: &str, field: &str) {
    let status = refused(server, request).await;
    let expected =
        (Code::InvalidArgument, reason.to_owned(), vec![(field.to_owned(), reason.to_owned())]);
    assert_eq!(told(&status), expected, "{}", status.message());
}

fn strict(mut request: pb::ScoreRequest) -> pb::ScoreRequest {
    request.options = Some(pb::ScoreOptions { strict: true, ..Default::default() });
    request
}

fn changed(name: &str, value: pb::FeatureValue) -> pb::FeatureRow {
    let mut row = good_row();
    if let Some(pb::feature_row::Features::Named(named)) = &mut row.features {
        named.extend([(name, value)]);
    }
    row
}

#[tokio::test]
async fn selectors_are_checked() {
    let server = TestServer::start().await;
    one_bad_field(&server, request(&[], good_row()), "MODELS_ABSENT", "models").await;
    for name in ["", "Churn", "../churn", &"x".repeat(200)] {
        let bad = request(&["churn", name], good_row());
        one_bad_field(&server, bad, "MODEL_NAME_INVALID", "models[1].model").await;
    }
    let twice = request(&["churn", "churn"], good_row());
    one_bad_field(&server, twice, "MODEL_REPEATED", "models[1].model").await;
    let unknown = refused(&server, request(&["tenure"], good_row())).await;
    assert_eq!(told(&unknown).1, "MODEL_NOT_FOUND");
    assert_eq!(unknown.code(), Code::NotFound);
    let details = unknown.get_error_details();
    assert_eq!(details.resource_info().unwrap().resource_name, "tenure");
    let choose = |choice| {
        let mut asked = request(&["churn"], good_row());
        asked.models[0].choice = Some(choice);
        asked
    };
    use pb::model_selector::Choice;
    let status = refused(&server, choose(Choice::Version(9))).await;
    assert_eq!((status.code(), told(&status).1.as_str()), (Code::NotFound, "VERSION_NOT_FOUND"));
    let status = refused(&server, choose(Choice::Version(2))).await;
    let expected = (Code::FailedPrecondition, "VERSION_NOT_LOADED");
    assert_eq!((status.code(), told(&status).1.as_str()), expected);
    let status = refused(&server, choose(Choice::Alias("next".to_owned()))).await;
    assert_eq!((status.code(), told(&status).1.as_str()), (Code::NotFound, "ALIAS_NOT_FOUND"));
    one_bad_field(&server, choose(Choice::Version(0)), "FIELD_INVALID", "models[0].version").await;
    let alias = Choice::Alias("7".to_owned());
    one_bad_field(&server, choose(alias), "ALIAS_INVALID", "models[0].alias").await;
}

#[tokio::test]
async fn features_are_checked_all_at_once() {
    let server = TestServer::start().await;
    let nothing = pb::FeatureRow::default();
    one_bad_field(&server, request(&["churn"], nothing), "FEATURES_ABSENT", "row").await;
    let row = named([("age", category("old")), ("visits", number(f64::INFINITY))]);
    let status = refused(&server, request(&["churn"], row)).await;
    let field =
        |name: &str, reason: &str| (format!("row.named.values[{name:?}]"), reason.to_owned());
    let expected = vec![
        field("age", "FEATURE_TYPE"),
        field("plan", "FEATURE_MISSING"),
        field("visits", "FEATURE_NOT_FINITE"),
    ];
    assert_eq!(told(&status), (Code::InvalidArgument, "FEATURE_TYPE".to_owned(), expected));
    let empty = request(&["churn"], changed("age", pb::FeatureValue { kind: None }));
    one_bad_field(&server, empty, "FEATURE_TYPE", "row.named.values[\"age\"]").await;
    let nan = request(&["churn"], changed("age", number(f64::NAN)));
    one_bad_field(&server, nan, "FEATURE_NOT_FINITE", "row.named.values[\"age\"]").await;
    let mut lenient = request(&["churn"], named([("age", number(1.0))]));
    lenient.options = Some(pb::ScoreOptions { allow_missing: true, ..Default::default() });
    server.score(lenient).await.unwrap();
}

/// Values are read with their row, so that bytes that are none are a bad field of that row alone.
#[tokio::test]
async fn bytes_that_are_no_features_are_a_bad_field() {
    use prost::Message;
    let server = TestServer::start().await;
    let broken = pb::NamedFeatures::decode(&[0x0A, 2, 0xFF, 0xFF][..]).unwrap();
    let row = pb::FeatureRow {
        features: Some(pb::feature_row::Features::Named(broken)),
        ..Default::default()
    };
    let asked = request(&["churn", "visits"], row.clone());
    one_bad_field(&server, asked, "FIELD_INVALID", "row.named.values").await;
    let batch = pb::ScoreBatchRequest {
        models: vec![selector("churn")],
        rows: vec![good_row(), row],
        allow_partial: true,
        ..Default::default()
    };
    let answer = server.scoring().score_batch(batch).await.unwrap().into_inner();
    use pb::row_result::Result::{Error, Row};
    assert!(matches!(answer.results[0].result, Some(Row(_))));
    let Some(Error(status)) = &answer.results[1].result else { panic!("{answer:?}") };
    assert_eq!(status.code, Code::InvalidArgument as i32);
    assert!(status.message.contains("rows[1].named.values"), "{status:?}");
}

/// As in any map of a message: only the later value is looked at, whatever the one before it was.
#[tokio::test]
async fn of_a_name_that_comes_twice_the_later_value_counts() {
    use pb::feature_value::Kind;
    let server = TestServer::start().await;
    let kinds = [
        Kind::Number(1.5),
        Kind::Number(f64::INFINITY),
        // A NaN of an unusual kind is as bad as the others.
        Kind::Number(f64::from_bits(0x7FF8_0000_0000_5E60)),
        Kind::Integer(3),
        Kind::Flag(true),
        Kind::Category("pro".to_owned()),
        Kind::Category("nobody's".to_owned()),
        Kind::Missing(pb::Missing {}),
    ];
    let values: Vec<_> = kinds.into_iter().map(Some).chain([None]).collect();
    let values = values.into_iter().map(|kind| pb::FeatureValue { kind });
    let said = async |row: pb::FeatureRow| match server.score(request(&["churn"], row)).await {
        Ok(answer) => {
            let row = answer.result.unwrap();
            Ok((row.predictions[0].score.to_bits(), row.warnings))
        }
        Err(status) => Err((told(&status), status.message().to_owned())),
    };
    let with = |feature: &str, given: &[&pb::FeatureValue]| {
        let mut row = named([("visits", number(2.0))]);
        let Some(pb::feature_row::Features::Named(all)) = &mut row.features else { panic!() };
        let others = [("age", number(30.0)), ("plan", category("pro"))];
        all.extend(others.into_iter().filter(|(name, _)| *name != feature));
        all.extend(given.iter().map(|&value| (feature, value.clone())));
        row
    };
    for feature in ["age", "plan"] {
        let mut n_good = 0;
        for later in values.clone() {
            let alone = said(with(feature, &[&later])).await;
            n_good += usize::from(alone.is_ok());
            for earlier in values.clone() {
                let both = said(with(feature, &[&earlier, &later])).await;
                assert_eq!(both, alone, "{feature}: {earlier:?}, then {later:?}");
            }
        }
        // Numbers and what is missing; categories and what is missing.
        assert_eq!(n_good, if feature == "age" { 4 } else { 3 });
    }
}

#[tokio::test]
async fn oddities_are_warnings_unless_strict() {
    let server = TestServer::start().await;
    for (row, warning, reason, field) in [
        (
            changed("plan", category("enterprise")),
            "UNSEEN_CATEGORY",
            "CATEGORY_UNKNOWN",
            "row.named.values[\"plan\"]",
        ),
        (
            changed("colour\"s", number(1.0)),
            "EXTRA_FEATURE",
            "EXTRA_FEATURE",
            "row.named.values[\"colour\\\"s\"]",
        ),
    ] {
        let odd = request(&["churn"], row);
        let warnings = server.score(odd.clone()).await.unwrap().result.unwrap().warnings;
        assert_eq!(warnings.len(), 1);
        assert_eq!((warnings[0].code.as_str(), warnings[0].field.as_str()), (warning, field));
        one_bad_field(&server, strict(odd), reason, field).await;
    }
}

#[tokio::test]
async fn packed_rows_are_bound_to_their_schema() {
    let server = TestServer::start().await;
    let digest = churn_model(0.0).schema().digest().to_string();
    let ask = |values: &[f64], digest: &str| request(&["churn"], packed(values, digest));
    let no_digest = ask(&[1.0; 3], "");
    one_bad_field(&server, no_digest, "SCHEMA_DIGEST_ABSENT", "row.packed.schema_digest").await;
    let short = ask(&[1.0; 2], &digest);
    one_bad_field(&server, short, "FEATURE_COUNT_MISMATCH", "row.packed.values").await;
    let infinite = ask(&[f64::NEG_INFINITY, 0.0, 1.0], &digest);
    one_bad_field(&server, infinite, "FEATURE_NOT_FINITE", "row.packed.values[0]").await;
    for code in [0.5, 2.0, -2.0] {
        let no_code = ask(&[1.0, code, 1.0], &digest);
        one_bad_field(&server, no_code, "FEATURE_TYPE", "row.packed.values[1]").await;
    }
    let status = refused(&server, ask(&[1.0; 3], &"0".repeat(64))).await;
    let expected = (Code::FailedPrecondition, "SCHEMA_DIGEST_MISMATCH");
    assert_eq!((status.code(), told(&status).1.as_str()), expected);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["expected"], digest);
    assert_eq!(details.precondition_failure().unwrap().violations[0].subject, "churn/1");
}

#[tokio::test]
async fn events_are_checked() {
    let server = TestServer::start().await;
    let ask = |model: &str, events| {
        let history = pb::EventHistory { events, ..Default::default() };
        let features = Some(pb::feature_row::Features::Events(history));
        request(&[model], pb::FeatureRow { features, ..Default::default() })
    };
    one_bad_field(&server, ask("churn", vec![]), "EVENTS_NOT_ACCEPTED", "row.events").await;
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let event = pb::Event { name: "visit".to_owned(), event_time: time(0), ..Default::default() };
    let bad = |change: &dyn Fn(&mut pb::Event)| {
        let mut bad = event.clone();
        change(&mut bad);
        ask("visits", vec![event.clone(), bad])
    };
    let invalid = "EVENT_INVALID";
    let nameless = bad(&|event| event.name.clear());
    one_bad_field(&server, nameless, invalid, "row.events.events[1].name").await;
    let timeless = bad(&|event| event.event_time = None);
    one_bad_field(&server, timeless, invalid, "row.events.events[1].event_time").await;
    let endless = bad(&|event| event.known_time = time(i64::MAX));
    one_bad_field(&server, endless, invalid, "row.events.events[1].known_time").await;
    let kindless = bad(&|event| event.kind = 99);
    one_bad_field(&server, kindless, invalid, "row.events.events[1].kind").await;
    let valueless = bad(&|event| {
        event.properties.insert("amount".to_owned(), pb::PropertyValue { kind: None });
    });
    let field = "row.events.events[1].properties[\"amount\"]";
    one_bad_field(&server, valueless, "FEATURE_TYPE", field).await;
    let early = bad(&|event| event.event_time = time(3600)); // Known before it happened.
    let early = {
        let mut early = early;
        known_at_zero(&mut early);
        early
    };
    let warnings = server.score(early.clone()).await.unwrap().result.unwrap().warnings;
    assert_eq!(warnings[0].code, "EVENTS_FUTURE");
    one_bad_field(&server, strict(early), invalid, "row.events.events").await;
}

fn known_at_zero(request: &mut pb::ScoreRequest) {
    let row = request.row.as_mut().unwrap();
    let Some(pb::feature_row::Features::Events(history)) = &mut row.features else { panic!() };
    history.events[1].known_time = Some(prost_types::Timestamp::default());
}

#[tokio::test]
async fn what_surrounds_features_is_checked_too() {
    let options = segue_serving::ServeOptions { max_row_events: 2, ..quick() };
    let server = TestServer::start_with(options).await;
    let event = pb::Event {
        name: "visit".to_owned(),
        event_time: Some(prost_types::Timestamp::default()),
        ..Default::default()
    };
    let ask = |change: &dyn Fn(&mut pb::EventHistory)| {
        let mut history = pb::EventHistory { events: vec![event.clone()], ..Default::default() };
        change(&mut history);
        let features = Some(pb::feature_row::Features::Events(history));
        request(&["visits"], pb::FeatureRow { features, ..Default::default() })
    };
    let never = ask(&|history| {
        history.as_of = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    });
    one_bad_field(&server, never, "FIELD_INVALID", "row.events.as_of").await;
    let many = ask(&|history| history.events = vec![event.clone(); 3]);
    one_bad_field(&server, many, "EVENT_INVALID", "row.events.events").await;
    let empty = pb::PropertyValue { kind: None };
    let page =
        ask(&|history| drop(history.request_fields.insert("page".to_owned(), empty.clone())));
    one_bad_field(&server, page, "FEATURE_TYPE", "row.events.request_fields[\"page\"]").await;
    let mut tier = request(&["churn"], good_row());
    let kind = Some(pb::property_value::Kind::Number(f64::NAN));
    let nan = pb::PropertyValue { kind };
    tier.row.as_mut().unwrap().traits.insert("tier".to_owned(), nan);
    one_bad_field(&server, tier, "FEATURE_NOT_FINITE", "row.traits[\"tier\"]").await;
}

#[tokio::test]
async fn a_champion_that_cannot_be_loaded_is_not_ready() {
    let (folder, registry) = prepared();
    std::fs::write(folder.path().join("churn/versions/1/model.bin"), "no model").unwrap();
    let server = TestServer::over(folder, registry, quick()).await;
    server.wait_for_health("model/visits", ServingStatus::Serving).await;
    let status = refused(&server, request(&["churn"], good_row())).await;
    assert_eq!(told(&status), (Code::Unavailable, "NOT_READY".to_owned(), Vec::new()));
    assert!(status.message().contains("model.bin"), "{}", status.message());
    server.wait_for_health("model/churn", ServingStatus::NotServing).await;
    // One bad model does not hold the others back.
    server.wait_for_health("", ServingStatus::Serving).await;
}

#[tokio::test]
async fn errors_stay_small_enough_for_a_header() {
    let server = TestServer::start().await;
    let long = "long name ".repeat(500);
    let row = named([(long.as_str(), number(1.0))]);
    let batch = pb::ScoreBatchRequest {
        models: vec![selector("churn")],
        rows: vec![row; 500],
        ..Default::default()
    };
    let status = server.scoring().score_batch(batch).await.unwrap_err();
    let (code, reason, fields) = told(&status);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "FEATURE_MISSING"));
    let details = status.get_error_details();
    let last = details.bad_request().unwrap().field_violations.last().unwrap();
    assert!(last.description.ends_with("more bad fields are not listed"), "{last:?}");
    assert!(fields.len() > 10 && status.details().len() < 8192);
}

/// More bad fields than a failed batch would tell: of a partial one each row has its own.
#[tokio::test]
async fn every_bad_row_of_a_partial_batch_is_told() {
    let server = TestServer::start().await;
    let bad = named([("age", category("old")), ("plan", number(1.0)), ("visits", number(1.0))]);
    let batch = pb::ScoreBatchRequest {
        models: vec![selector("churn")],
        rows: vec![bad; 100],
        allow_partial: true,
        ..Default::default()
    };
    let answer = server.scoring().score_batch(batch).await.unwrap().into_inner();
    let errors = answer
        .results
        .iter()
        .filter(|result| matches!(result.result, Some(pb::row_result::Result::Error(_))));
    assert_eq!(errors.count(), 100);
}
