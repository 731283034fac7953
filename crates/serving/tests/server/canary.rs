//! Who is answered by the canary, and that an answer's score is that of the version it names.

use std::collections::BTreeSet;

use segue_api::v1 as pb;
use segue_registry::Traffic;
use sha2::{Digest, Sha256};
use tokio_stream::StreamExt;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::*;

const N_USERS: usize = 2000;

fn users() -> Vec<String> {
    (0..N_USERS).map(|user| format!("user-{user}")).collect()
}

/// The formula of docs/traffic.md.
fn bucket(model: &str, salt: &str, key: &str) -> u64 {
    let hash = Sha256::digest(format!("segue/canary/1\n{model}\n{salt}\n{key}"));
    u64::from_be_bytes(hash[..8].try_into().unwrap()) % 10_000
}

fn batch(rows: Vec<pb::FeatureRow>) -> pb::ScoreBatchRequest {
    pb::ScoreBatchRequest { models: vec![selector("churn")], rows, ..Default::default() }
}

fn predictions(answer: &pb::ScoreBatchResponse) -> Vec<&pb::Prediction> {
    fn prediction(result: &pb::RowResult) -> &pb::Prediction {
        match result.result.as_ref().unwrap() {
            pb::row_result::Result::Row(row) => &row.predictions[0],
            pb::row_result::Result::Error(error) => panic!("{error:?}"),
        }
    }
    answer.results.iter().map(prediction).collect()
}

/// The users that the canary answers, by a batch of all of them.
async fn canary_users(server: &TestServer) -> BTreeSet<String> {
    let users = users();
    let rows = users.iter().map(|user| of_subject(user, good_row())).collect();
    let answer = server.scoring().score_batch(batch(rows)).await.unwrap().into_inner();
    let is_canary = |prediction: &pb::Prediction| {
        let served_by = &answer.served_by[prediction.served_by_index as usize];
        served_by.variant() == pb::Variant::Canary
    };
    let answered = users.into_iter().zip(predictions(&answer));
    answered.filter(|(_, prediction)| is_canary(prediction)).map(|(user, _)| user).collect()
}

#[tokio::test]
async fn every_score_of_a_mixed_batch_is_of_the_version_it_names() {
    let server = TestServer::start().await;
    split(&server, Traffic { salt: "spring".to_owned(), ..canary(3000) }).await;
    let models = [churn_model(0.0), churn_model(0.5)];
    // More rows than are scored on the thread that reads them.
    let rows: Vec<[f64; 3]> =
        (0..N_USERS).map(|n| [(n % 60) as f64, (n % 3) as f64 - 1.0, (n % 4) as f64]).collect();
    let digest = models[0].schema().digest().as_str();
    let users = users();
    let row = |(user, row): (&String, &[f64; 3])| of_subject(user, packed(row, digest));
    let asked = batch(users.iter().zip(&rows).map(row).collect());
    let answer = server.scoring().score_batch(asked).await.unwrap().into_inner();
    let versions: Vec<(i64, pb::Variant)> =
        answer.served_by.iter().map(|one| (one.version, one.variant())).collect();
    assert_eq!(versions, [(1, pb::Variant::Champion), (2, pb::Variant::Canary)]);
    let mut n_canary = 0;
    for ((user, row), prediction) in users.iter().zip(&rows).zip(predictions(&answer)) {
        let is_canary = bucket("churn", "spring", user) < 3000;
        n_canary += usize::from(is_canary);
        assert_eq!(prediction.served_by_index, u32::from(is_canary), "{user}");
        let expected = offline(&models[usize::from(is_canary)], row);
        assert_eq!(prediction.score.to_bits(), expected.to_bits(), "{user}");
    }
    // Chi-square of the split with one degree of freedom: 15.1 is passed once in 10,000.
    let off = n_canary as f64 - 600.0;
    assert!(off * off / 600.0 + off * off / 1400.0 < 15.1, "{n_canary}");
    let predicted = async |version: u8, variant: &str| {
        let labels =
            format!("model=\"churn\",version=\"{version}\",variant={variant:?},segment=\"\"");
        metric(&server, &format!("segue_predictions_total{{{labels}}}")).await
    };
    assert_eq!(predicted(2, "canary").await, n_canary as f64);
    assert_eq!(metric(&server, "segue_canary_basis_points{model=\"churn\"}").await, 3000.0);
}

#[tokio::test]
async fn a_ramp_keeps_its_users_over_restarts() {
    let server = TestServer::start().await;
    assert!(canary_users(&server).await.is_empty());
    let mut before = BTreeSet::new();
    for share in [500, 1000, 5000] {
        split(&server, canary(share)).await;
        let now = canary_users(&server).await;
        assert!(now.is_superset(&before) && now.len() > before.len(), "{share}");
        before = now;
    }
    split(&server, canary(0)).await;
    assert!(canary_users(&server).await.is_empty());
    split(&server, canary(5000)).await;
    assert_eq!(canary_users(&server).await, before);
    let TestServer { stop, task, folder, registry, .. } = server;
    stop.send(()).unwrap();
    task.await.unwrap().unwrap();
    let server = TestServer::over(folder, registry, quick()).await;
    server.wait_for_health("", ServingStatus::Serving).await;
    assert_eq!(canary_users(&server).await, before);
    // Another salt draws other users, once nobody has the canary.
    split(&server, canary(0)).await;
    split(&server, Traffic { salt: "again".to_owned(), ..canary(5000) }).await;
    assert_ne!(canary_users(&server).await, before);
}

#[tokio::test]
async fn a_user_meets_one_version_by_every_way_in() {
    let server = TestServer::start().await;
    split(&server, canary(5000)).await;
    let models = [churn_model(0.0), churn_model(0.5)];
    let scores = models.each_ref().map(|model| offline(model, &[40.0, 1.0, 1.0]));
    let users: Vec<String> = (0..20).map(|user| format!("user-{user}")).collect();
    let asked = |user: &str| request(&["churn"], of_subject(user, good_row()));
    let message = |(sequence, user): (usize, &String)| pb::ScoreStreamRequest {
        sequence: sequence as u64,
        request: Some(asked(user)),
    };
    let messages: Vec<_> = users.iter().enumerate().map(message).collect();
    let mut stream =
        server.scoring().score_stream(tokio_stream::iter(messages)).await.unwrap().into_inner();
    let mut n_canary = 0;
    for user in &users {
        let is_canary = bucket("churn", "", user) < 5000;
        n_canary += usize::from(is_canary);
        let expected = scores[usize::from(is_canary)].to_bits();
        let variant = if is_canary { pb::Variant::Canary } else { pb::Variant::Champion };
        let check = |answer: pb::ScoreResponse| {
            let prediction = &answer.result.unwrap().predictions[0];
            assert_eq!(prediction.score.to_bits(), expected, "{user}");
            assert_eq!((prediction.served_by_index, answer.served_by.len()), (0, 1));
            let served_by = &answer.served_by[0];
            assert_eq!(
                (served_by.version, served_by.variant()),
                (1 + i64::from(is_canary), variant)
            );
        };
        check(server.score(asked(user)).await.unwrap());
        match stream.next().await.unwrap().unwrap().result.unwrap() {
            pb::score_stream_response::Result::Response(answer) => check(answer),
            pb::score_stream_response::Result::Error(error) => panic!("{error:?}"),
        }
        let json = format!(
            r#"{{"models":[{{"model":"churn"}}],"row":{{"routingKey":{user:?},"named":{{"values":{{
                "age":{{"number":40}},"plan":{{"category":"pro"}},"visits":{{"number":1}}}}}}}}}}"#
        );
        let answer = server.http("POST", "/v1/score", "", json.as_bytes()).await.json();
        let score = answer["result"]["predictions"][0]["score"].as_f64().unwrap();
        assert_eq!(score.to_bits(), expected, "{user}");
        let tensors = format!(
            r#"{{"parameters":{{"subject_id":{user:?}}},"inputs":[
                {{"name":"input__0","datatype":"FP64","shape":[1,3],"data":[40,1,1]}}]}}"#
        );
        let path = "/v2/models/churn/infer";
        let answer = server.http("POST", path, "", tensors.as_bytes()).await.json();
        assert_eq!(answer["model_version"], (1 + u32::from(is_canary)).to_string(), "{answer}");
        let score = answer["outputs"][0]["data"][0].as_f64().unwrap();
        assert_eq!(score.to_bits(), expected, "{user}");
    }
    assert!((1..20).contains(&n_canary));
}

/// The routing key is before the subject, and who names a version or an alias gets that one.
#[tokio::test]
async fn only_rows_with_a_key_that_name_nothing_are_split() {
    use pb::model_selector::Choice;
    let server = TestServer::start().await;
    split(&server, canary(10_000)).await;
    let variant = async |row: pb::FeatureRow, choice: Option<Choice>| {
        let mut asked = request(&["churn"], row);
        asked.models[0].choice = choice;
        server.score(asked).await.unwrap().served_by[0].variant()
    };
    let keyless = "segue_canary_keyless_total{model=\"churn\"}";
    assert_eq!(variant(good_row(), None).await, pb::Variant::Champion);
    assert_eq!(metric(&server, keyless).await, 1.0);
    let user = || of_subject("ada", good_row());
    assert_eq!(variant(user(), None).await, pb::Variant::Canary);
    let champion = Choice::Alias("champion".to_owned());
    assert_eq!(variant(user(), Some(champion)).await, pb::Variant::Champion);
    assert_eq!(variant(user(), Some(Choice::Version(1))).await, pb::Variant::Pinned);
    assert_eq!(variant(user(), Some(Choice::Version(2))).await, pb::Variant::Pinned);
    // `user-1` is below 500 and `user-2` above, as docs/traffic.md shows.
    split(&server, canary(500)).await;
    let both = |routing_key: &str, subject: &str| pb::FeatureRow {
        routing_key: routing_key.to_owned(),
        ..of_subject(subject, good_row())
    };
    assert_eq!(variant(both("user-1", "user-2"), None).await, pb::Variant::Canary);
    assert_eq!(variant(both("user-2", "user-1"), None).await, pb::Variant::Champion);
    assert_eq!(variant(both("", "user-1"), None).await, pb::Variant::Canary);
}
