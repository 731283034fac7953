//! Rows by position, and schemas that change.

use std::collections::BTreeMap;

use segue_client::{Error, Row};
use segue_dataset::Feature;
use segue_model::Model;

use crate::harness::{
    TestServer, churn_model, draft, model, offline, promote, publish, visits_model,
};
use crate::real::client_of;

fn row() -> Row {
    Row::new().feature("age", 40).category("plan", "pro").feature("visits", 1.0)
}

/// `churn` with its columns the other way round: every value in the wrong place would still be a number.
fn turned() -> Model {
    let plans = vec!["pro".to_owned(), "free".to_owned()];
    let features =
        vec![Feature::number("visits"), Feature::category("plan", plans), Feature::number("age")];
    let trees = visits_model().ensemble().trees.clone();
    model(features, trees, "churn", None)
}

#[tokio::test]
async fn packed_rows_score_as_named_ones() {
    let server = TestServer::start().await;
    let client = client_of(&server);
    for row in [row(), row().category("plan", "unheard of"), row().missing("age")] {
        let named = client.score("churn").row(row.clone()).send().await.unwrap();
        let packed = client.score("churn").row(row).packed().send().await.unwrap();
        assert_eq!(packed.score().to_bits(), named.score().to_bits());
    }
    let lenient = client.score("churn").feature("age", 40).allow_missing().packed();
    let scored = lenient.send().await.unwrap();
    let expected = offline(&churn_model(0.0), &[40.0, f64::NAN, f64::NAN]);
    assert_eq!(scored.score().to_bits(), expected.to_bits());
    let batch = client.batch("churn").rows([row(), row()]).packed().send().await.unwrap();
    assert_eq!(batch.rows.len(), 2);
}

#[tokio::test]
async fn rows_that_do_not_fit_are_told_before_they_are_sent() {
    let server = TestServer::start().await;
    let client = client_of(&server);
    let bad = Row::new().feature("age", "old").feature("hat", 1);
    let error = client.score("churn").row(bad.clone()).packed().send().await.unwrap_err();
    let Error::Packing { model, violations } = &error else { panic!("{error}") };
    assert_eq!(model, "churn/1");
    let found: Vec<(&str, &str)> =
        violations.iter().map(|one| (one.field.as_str(), one.reason.as_str())).collect();
    let expected = [
        (r#"values["age"]"#, "FEATURE_TYPE"),
        (r#"values["hat"]"#, "EXTRA_FEATURE"),
        (r#"values["plan"]"#, "FEATURE_MISSING"),
        (r#"values["visits"]"#, "FEATURE_MISSING"),
    ];
    assert_eq!(found, expected);
    let error = client.batch("churn").rows([row(), bad]).packed().send().await.unwrap_err();
    let fields = error.violations().iter().map(|one| one.field.as_str());
    assert!(fields.clone().all(|field| field.starts_with("rows[1].")), "{error}");
}

#[tokio::test]
async fn a_new_schema_is_asked_for_when_the_server_has_one() {
    let server = TestServer::start().await;
    let client = client_of(&server);
    client.score("churn").row(row()).packed().send().await.unwrap();
    let before = client.layout("churn").await.unwrap();
    let turned = turned();
    let golden = [vec![1.0, 0.0, 40.0]];
    let version = publish(&server.registry, &draft("churn", &turned, &golden, BTreeMap::new()));
    promote(&server.registry, "churn", version);
    client.promote("churn", 3).override_gates().send().await.unwrap();
    let scored = client.score("churn").row(row()).packed().send().await.unwrap();
    assert_eq!(scored.served_by().version, 3);
    assert_eq!(scored.score().to_bits(), offline(&turned, &[1.0, 0.0, 40.0]).to_bits());
    let after = client.layout("churn").await.unwrap();
    assert_ne!(before.digest(), after.digest());
    // And back, without another question for the schema.
    client.rollback("churn").send().await.unwrap();
    let scored = client.score("churn").row(row()).packed().send().await.unwrap();
    assert_eq!(scored.served_by().version, 1);
    assert_eq!(client.layout("churn").await.unwrap().digest(), before.digest());
}
