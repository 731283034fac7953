//! What the server answers is what the model says, bit for bit.

use std::collections::BTreeMap;

use segue_api::v1 as pb;
use segue_events::{Event, EventId, EventKind, Symbols, history_from};
use segue_features::RequestFields;
use tokio_stream::StreamExt;

use crate::harness::*;

/// Rows around thresholds, with everything that may be missing or unseen.
fn rows() -> Vec<[f64; 3]> {
    let mut rows = Vec::new();
    for age in [f64::NAN, -0.0, 29.999, 30.0, 30.000_001, 1e300] {
        for plan in [f64::NAN, -1.0, 0.0, 1.0] {
            for visits in [f64::NAN, 2.0, 2.5, 3.0] {
                rows.push([age, plan, visits]);
            }
        }
    }
    rows
}

fn as_named(row: &[f64; 3]) -> pb::FeatureRow {
    let missing = || value(pb::feature_value::Kind::Missing(pb::Missing {}));
    let or_missing = |number_: f64| if number_.is_nan() { missing() } else { number(number_) };
    let plan = match row[1] {
        code if code.is_nan() => missing(),
        0.0 => category("free"),
        1.0 => category("pro"),
        _ => category("enterprise"),
    };
    named([("age", or_missing(row[0])), ("plan", plan), ("visits", or_missing(row[2]))])
}

#[tokio::test]
async fn named_and_packed_scores_are_the_models_own() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    let digest = model.schema().digest().as_str();
    for row in rows() {
        let expected = offline(&model, &row).to_bits();
        for features in [as_named(&row), packed(&row, digest)] {
            let answer = server.score(request(&["churn"], features)).await.unwrap();
            let result = answer.result.unwrap();
            assert_eq!(result.predictions[0].score.to_bits(), expected, "{row:?}");
        }
    }
}

#[tokio::test]
async fn a_large_batch_is_scored_in_order_by_one_version() {
    let server = TestServer::start().await;
    let model = churn_model(0.0);
    let rows: Vec<[f64; 3]> = rows().into_iter().cycle().take(1000).collect();
    let batch = pb::ScoreBatchRequest {
        models: vec![selector("churn")],
        rows: rows.iter().map(as_named).collect(),
        ..Default::default()
    };
    let answer = server.scoring().score_batch(batch).await.unwrap().into_inner();
    assert_eq!(answer.served_by.len(), 1);
    assert_eq!(answer.results.len(), 1000);
    for (row, result) in rows.iter().zip(answer.results) {
        let Some(pb::row_result::Result::Row(scored)) = result.result else { panic!("{row:?}") };
        assert_eq!(scored.predictions[0].score.to_bits(), offline(&model, row).to_bits());
    }
}

#[tokio::test]
async fn a_batch_fails_as_a_whole_or_row_by_row() {
    let server = TestServer::start().await;
    let mut batch = pb::ScoreBatchRequest {
        models: vec![selector("churn")],
        rows: vec![good_row(), named([]), good_row()],
        ..Default::default()
    };
    let error = server.scoring().score_batch(batch.clone()).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::InvalidArgument);
    assert!(error.message().starts_with("rows[1].named.values[\"age\"]"), "{}", error.message());
    batch.allow_partial = true;
    let results = server.scoring().score_batch(batch).await.unwrap().into_inner().results;
    let is_row =
        |result: &pb::RowResult| matches!(result.result, Some(pb::row_result::Result::Row(_)));
    assert_eq!(results.iter().map(is_row).collect::<Vec<_>>(), [true, false, true]);
    let Some(pb::row_result::Result::Error(status)) = &results[1].result else { panic!() };
    assert_eq!(status.code, tonic::Code::InvalidArgument as i32);
    assert!(!status.details.is_empty());
}

#[tokio::test]
async fn the_answer_says_who_gave_it() {
    let server = TestServer::start().await;
    let mut asked = request(&["churn"], good_row());
    asked.request_id = "r-1".to_owned();
    let answer = server.score(asked).await.unwrap();
    let served_by = &answer.served_by[0];
    let manifest = server.registry.manifest("churn", 1).unwrap();
    assert_eq!(answer.request_id, "r-1");
    assert_eq!((served_by.model.as_str(), served_by.version), ("churn", 1));
    assert_eq!(served_by.digest, manifest.digest);
    assert_eq!(served_by.generation, server.registry.generation("churn").unwrap());
    assert_eq!(served_by.variant(), pb::Variant::Champion);
    let first = server.score(request(&["churn"], good_row())).await.unwrap().request_id;
    let second = server.score(request(&["churn"], good_row())).await.unwrap().request_id;
    assert!(!first.is_empty() && first != second);
}

#[tokio::test]
async fn reasons_and_margins_come_when_asked_for() {
    let server = TestServer::start().await;
    let plain = server.score(request(&["churn"], good_row())).await.unwrap();
    let plain = plain.result.unwrap().predictions.remove(0);
    assert!(plain.attributions.is_empty() && plain.raw_margins.is_empty() && plain.bias.is_none());
    let mut asked = request(&["churn"], good_row());
    asked.options =
        Some(pb::ScoreOptions { explain: true, raw_margin: true, ..Default::default() });
    let told = server.score(asked.clone()).await.unwrap().result.unwrap().predictions.remove(0);
    let sum: f64 = told.attributions.iter().map(|reason| reason.contribution).sum();
    let margin = told.raw_margins[0];
    assert!((told.bias.unwrap() + sum - margin).abs() < 1e-9, "{told:?}");
    let reasons: BTreeMap<&str, &pb::Attribution> =
        told.attributions.iter().map(|reason| (reason.behaviour.as_str(), reason)).collect();
    assert_eq!(reasons["visits"].direction(), pb::Direction::Raises);
    assert_eq!(reasons["plan"].value, Some(category("pro")));
    asked.options.as_mut().unwrap().top_attributions = 1;
    let told = server.score(asked).await.unwrap().result.unwrap().predictions.remove(0);
    assert_eq!(told.attributions.len(), 1);
}

fn visit(id: &str, seconds: i64) -> pb::Event {
    pb::Event {
        event_id: id.to_owned(),
        name: "visit".to_owned(),
        kind: pb::EventKind::Track.into(),
        event_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        ..Default::default()
    }
}

fn with_events(events: Vec<pb::Event>, as_of_seconds: i64) -> pb::FeatureRow {
    let history = pb::EventHistory {
        events,
        as_of: Some(prost_types::Timestamp { seconds: as_of_seconds, nanos: 0 }),
        request_fields: BTreeMap::new(),
    };
    let features = Some(pb::feature_row::Features::Events(history));
    pb::FeatureRow { features, ..Default::default() }
}

#[tokio::test]
async fn events_go_through_the_training_evaluator() {
    const NOW: i64 = 1_700_000_000;
    let server = TestServer::start().await;
    // A duplicate, one that is too old for the window, and one at `as_of` itself, which is unseen.
    let seconds =
        [("a", NOW - 10), ("a", NOW - 10), ("b", NOW - 8 * 86_400), ("c", NOW), ("d", NOW - 1)];
    for n_events in 0..=seconds.len() {
        let events = &seconds[..n_events];
        let history = events.iter().map(|&(id, seconds)| Event {
            event_id: EventId::Given(id.to_owned()),
            user_id: Some("ada".to_owned()),
            anonymous_id: None,
            kind: EventKind::Track,
            name: "visit".to_owned(),
            event_ts: seconds * 1_000_000,
            original_ts: seconds * 1_000_000,
            known_ts: seconds * 1_000_000,
            seq: 0,
            session_id: None,
            previous_id: None,
            properties: Vec::new(),
        });
        let mut symbols = Symbols::new();
        let history = history_from(history.collect(), &mut symbols).unwrap();
        let features = visits_features();
        let mut row = vec![0.0; features.schema().len()];
        let evaluator = features.bind(&symbols);
        evaluator.row(&history, NOW * 1_000_000, &RequestFields::new(), &mut row);
        let expected = offline(&visits_model(), &row).to_bits();
        // Order of arrival does not matter.
        let events = events.iter().rev().map(|&(id, seconds)| visit(id, seconds)).collect();
        let answer = server.score(request(&["visits"], with_events(events, NOW))).await.unwrap();
        let scored = answer.result.unwrap().predictions.remove(0).score;
        assert_eq!(scored.to_bits(), expected, "{n_events} events, row {row:?}");
    }
}

#[tokio::test]
async fn several_models_share_a_row_and_a_segment() {
    let server = TestServer::start().await;
    let both = |visits_7d: f64, age: f64| {
        named([
            ("age", number(age)),
            ("plan", category("free")),
            ("visits", number(1.0)),
            ("visits_7d", number(visits_7d)),
            ("spent", number(0.0)),
        ])
    };
    let segment = async |models: &[&str], row: pb::FeatureRow| {
        let answer = server.score(request(models, row)).await.unwrap();
        assert_eq!(answer.served_by.len(), models.len());
        let result = answer.result.unwrap();
        assert!(result.warnings.is_empty(), "no model's feature is extra: {:?}", result.warnings);
        for (index, prediction) in result.predictions.iter().enumerate() {
            assert_eq!(prediction.served_by_index as usize, index);
        }
        result.segment
    };
    // churn scores 0.69 at age 20 and 0.55 at age 40; only visits has segments.
    assert_eq!(segment(&["churn", "visits"], both(0.0, 20.0)).await, "lost_cause");
    assert_eq!(segment(&["visits", "churn"], both(0.0, 40.0)).await, "quiet");
    assert_eq!(segment(&["churn", "visits"], both(5.0, 20.0)).await, "");
    let mut gold = both(5.0, 20.0);
    let kind = Some(pb::property_value::Kind::Text("gold".to_owned()));
    gold.traits.insert("tier".to_owned(), pb::PropertyValue { kind });
    assert_eq!(segment(&["churn", "visits"], gold).await, "vip");
}

#[tokio::test]
async fn a_bad_message_does_not_end_a_stream() {
    let server = TestServer::start().await;
    let message = |sequence, row: pb::FeatureRow| pb::ScoreStreamRequest {
        sequence,
        request: Some(request(&["churn"], row)),
    };
    let empty = pb::ScoreStreamRequest { sequence: 3, request: None };
    let messages =
        vec![message(1, good_row()), message(2, named([])), empty, message(4, good_row())];
    let answers = server.scoring().score_stream(tokio_stream::iter(messages)).await.unwrap();
    let answers: Vec<pb::ScoreStreamResponse> =
        answers.into_inner().map(Result::unwrap).collect().await;
    let told: Vec<(u64, bool)> = answers
        .iter()
        .map(|answer| {
            use pb::score_stream_response::Result as Outcome;
            (answer.sequence, matches!(answer.result, Some(Outcome::Response(_))))
        })
        .collect();
    assert_eq!(told, [(1, true), (2, false), (3, false), (4, true)]);
}

#[tokio::test]
async fn the_schema_packs_a_row() {
    let server = TestServer::start().await;
    let ask = pb::GetModelSchemaRequest { model: Some(selector("visits")) };
    let told = server.scoring().get_model_schema(ask).await.unwrap().into_inner();
    let features = visits_features();
    let schema = told.schema.unwrap();
    assert_eq!(schema.digest, features.schema().digest().as_str());
    for (column, feature) in schema.features.iter().enumerate() {
        assert_eq!(feature.name, features.schema().features()[column].name);
        assert_eq!(feature.words, features.words(column));
    }
    assert!(told.accepts_events);
    assert_eq!(told.segments, ["lost_cause", "vip", "quiet"]);
    let row = packed(&vec![1.0; schema.features.len()], &schema.digest);
    server.score(request(&["visits"], row)).await.unwrap();
}
