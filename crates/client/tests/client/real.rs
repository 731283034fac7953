//! Against a real server.

use segue_client::{Client, Code, Health, Row};

use crate::harness::{PATIENCE, TestServer, churn_model, offline, visits_model};

pub(crate) fn client_of(server: &TestServer) -> Client {
    let builder = Client::builder(format!("http://{}", server.grpc));
    builder.deadline(PATIENCE).change_deadline(PATIENCE).connect().unwrap()
}

fn row() -> Row {
    Row::new().feature("age", 40).category("plan", "pro").missing("visits")
}

const AS_NUMBERS: [f64; 3] = [40.0, 1.0, f64::NAN];

#[tokio::test]
async fn a_score_names_its_version_and_its_reasons() {
    let server = TestServer::start().await;
    let client = client_of(&server);
    let scored = client
        .score("churn")
        .subject("u1")
        .feature("age", 40.0)
        .category("plan", "pro")
        .missing("visits")
        .explain(2)
        .request_id("mine")
        .send()
        .await
        .unwrap();
    assert_eq!(scored.score().to_bits(), offline(&churn_model(0.0), &AS_NUMBERS).to_bits());
    assert_eq!((scored.served_by().model.as_str(), scored.served_by().version), ("churn", 1));
    assert_eq!(scored.reasons().len(), 2);
    assert_eq!(scored.request_id(), "mine");
    assert_eq!(scored.warnings(), []);
    let unloaded = client.score("churn@2").row(row()).send().await.unwrap_err();
    assert_eq!(unloaded.failure().unwrap().preconditions[0].subject, "churn/2");
    client.set_alias("churn", "next", 2).send().await.unwrap();
    let pinned = client.score("churn@2").row(row()).send().await.unwrap();
    assert_eq!(pinned.score().to_bits(), offline(&churn_model(0.5), &AS_NUMBERS).to_bits());
}

#[tokio::test]
async fn several_models_answer_for_one_row() {
    let server = TestServer::start().await;
    let call = client_of(&server).score("visits").and_model("churn").row(row());
    let scored = call
        .feature("visits_7d", 1)
        .missing("spent")
        .user_trait("tier", segue_client::proto::property_value::Kind::Text("gold".to_owned()));
    let scored = scored.send().await.unwrap();
    assert_eq!(scored.segment(), "vip");
    assert_eq!(scored.predictions().len(), 2);
    let model = visits_model();
    let mut values = [f64::NAN; 2];
    values[model.schema().index_of("visits_7d").unwrap()] = 1.0;
    let visits = offline(&model, &values);
    assert_eq!(scored.score().to_bits(), visits.to_bits());
    let models: Vec<&str> =
        scored.predictions().iter().map(|one| scored.served_by_of(one).model.as_str()).collect();
    assert_eq!(models, ["visits", "churn"]);
}

#[tokio::test]
async fn every_bad_field_is_told_with_its_reason() {
    let server = TestServer::start().await;
    let client = client_of(&server);
    let call = client.score("churn").feature("age", f64::INFINITY).feature("plan", 3.0);
    let error = call.send().await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let mut found: Vec<(&str, &str)> =
        error.violations().iter().map(|one| (one.field.as_str(), one.reason.as_str())).collect();
    found.sort_unstable();
    let field = |name: &str| format!("row.named.values[{name:?}]");
    let (age, plan, visits) = (field("age"), field("plan"), field("visits"));
    let expected = [
        (age.as_str(), "FEATURE_NOT_FINITE"),
        (plan.as_str(), "FEATURE_TYPE"),
        (visits.as_str(), "FEATURE_MISSING"),
    ];
    assert_eq!(found, expected);
    let error = client.score("nobody").send().await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::NotFound, "MODEL_NOT_FOUND"));
}

#[tokio::test]
async fn a_batch_has_an_answer_or_an_error_a_row() {
    let server = TestServer::start().await;
    let client = client_of(&server);
    let rows = [row(), Row::new().feature("age", 1), row().feature("age", 20)];
    let error = client.batch("churn").rows(rows.clone()).send().await.unwrap_err();
    assert!(error.violations().iter().all(|one| one.field.starts_with("rows[1].")), "{error}");
    let batch = client.batch("churn").rows(rows).allow_partial().send().await.unwrap();
    assert_eq!(batch.rows.len(), 3);
    let model = churn_model(0.0);
    let score = |at: usize| batch.rows[at].as_ref().unwrap().score().to_bits();
    assert_eq!(score(0), offline(&model, &AS_NUMBERS).to_bits());
    assert_eq!(score(2), offline(&model, &[20.0, 1.0, f64::NAN]).to_bits());
    let failure = batch.rows[1].as_ref().unwrap_err();
    assert_eq!((failure.code, failure.reason.as_str()), (Code::InvalidArgument, "FEATURE_MISSING"));
    assert_eq!(batch.served_by[0].version, 1);
}

#[tokio::test]
async fn a_stream_answers_in_order_and_survives_a_bad_row() {
    let server = TestServer::start().await;
    let stream = client_of(&server).stream("churn").open().await.unwrap();
    let (mut requests, mut answers) = stream.split();
    let sending = tokio::spawn(async move {
        for at in 0..200 {
            let row = if at == 7 { Row::new() } else { row().feature("age", at) };
            assert_eq!(requests.send(&row).await.unwrap(), u64::try_from(at).unwrap());
        }
    });
    let model = churn_model(0.0);
    for at in 0..200_u32 {
        let answer = answers.next().await.unwrap().unwrap();
        assert_eq!(answer.sequence, u64::from(at));
        match answer.outcome {
            Ok(scored) => {
                let expected = offline(&model, &[f64::from(at), 1.0, f64::NAN]);
                assert_eq!(scored.score().to_bits(), expected.to_bits());
            }
            Err(failure) => assert_eq!((at, failure.code), (7, Code::InvalidArgument)),
        }
    }
    sending.await.unwrap();
    assert_eq!(answers.next().await.unwrap(), None);
}

#[tokio::test]
async fn an_alias_moves_there_and_back() {
    let server = TestServer::start().await;
    let client = client_of(&server);
    let change = client.promote("churn", 2).actor("ada").reason("newer").request_id("p1");
    let checked = change.clone().override_gates().validate_only().request_id("v1").send().await;
    assert_eq!(checked.unwrap().event_id, "");
    let moved = change.clone().override_gates().send().await.unwrap();
    assert_eq!(moved.previous_version, 1);
    let again = change.override_gates().send().await.unwrap();
    assert_eq!(again.event_id, moved.event_id, "the same request moves it once");
    assert_eq!(client.score("churn").row(row()).send().await.unwrap().served_by().version, 2);
    let model = client.model("churn").send().await.unwrap();
    assert_eq!(model.aliases["champion"], 2);
    let stale = client.rollback("churn").etag("nobody's").send().await.unwrap_err();
    assert_eq!((stale.code(), stale.reason()), (Code::Aborted, "ETAG_MISMATCH"));
    client.rollback("churn").etag(model.etag).reason("worse").send().await.unwrap();
    assert_eq!(client.score("churn").row(row()).send().await.unwrap().served_by().version, 1);
    client.set_alias("churn", "challenger", 2).send().await.unwrap();
    let scored = client.score("churn@challenger").row(row()).send().await.unwrap();
    assert_eq!(scored.served_by().version, 2);
    let names: Vec<String> =
        client.models().await.unwrap().into_iter().map(|model| model.name).collect();
    assert_eq!(names, ["churn", "visits"]);
}

#[tokio::test]
async fn health_is_that_of_the_server_and_of_each_model() {
    let server = TestServer::start().await;
    let client = client_of(&server);
    let soon = tokio::time::Instant::now() + PATIENCE;
    client.wait_until_serving("model/churn", soon).await.unwrap();
    assert_eq!(client.health("").await.unwrap(), Health::Serving);
    let error = client.health("model/nobody").await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let never = tokio::time::Instant::now();
    let error = client.wait_until_serving("model/nobody", never).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
}
