//! Versions that take their time, and those who do not wait for them.
#![cfg(unix)]

use std::path::{Path, PathBuf};

use segue_api::v1 as pb;
use segue_registry::{Registry, TrafficRequest};
use segue_serving::ServeOptions;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::*;

/// The `model.bin` of a version, which nobody can read before it is let go.
struct Held {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Held {
    fn new(folder: &Path, model: &str, version: i64) -> Self {
        let path = folder.join(format!("{model}/versions/{version}/model.bin"));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        Self { path, bytes }
    }

    /// Whoever reads it gets it now, as does everybody after.
    fn let_go(self) {
        let whole = self.path.with_extension("whole");
        std::fs::write(&whole, &self.bytes).unwrap();
        let pipe = std::fs::OpenOptions::new().write(true).open(&self.path).unwrap();
        std::fs::rename(&whole, &self.path).unwrap();
        fill(pipe, &self.bytes);
    }
}

fn fill(mut pipe: std::fs::File, bytes: &[u8]) {
    std::io::Write::write_all(&mut pipe, bytes).unwrap();
}

async fn until_loading(server: &TestServer, model: &str, version: i64) {
    let ask = pb::GetModelVersionRequest { model: model.to_owned(), version };
    let loading = async {
        loop {
            let told = server.models().get_model_version(ask.clone()).await.unwrap().into_inner();
            if told.model_version.unwrap().state() == pb::ModelVersionState::Loading {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, loading).await.expect("the version is being loaded");
}

async fn served_version(server: &TestServer) -> i64 {
    server.score(request(&["churn"], good_row())).await.unwrap().served_by[0].version
}

/// A bad champion goes at once, whatever else is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_waits_for_no_other_version() {
    let server = TestServer::start().await;
    let mut models = server.models();
    let promotion = promotion("churn", 2);
    models.promote_model_version(promotion).await.unwrap();
    let mut other = visits_draft();
    other.summary.lineage.insert("seed".to_owned(), "8".to_owned());
    publish(&server.registry, &other);
    publish(&server.registry, &churn_draft(0.75));
    let folder = server.folder.path();
    // Nor for one of the same model.
    let held = [Held::new(folder, "visits", 2), Held::new(folder, "churn", 3)];
    server.registry.set_alias("churn", "next", 3, "ada").unwrap();
    until_loading(&server, "churn", 3).await;
    server.registry.set_alias("visits", "next", 2, "ada").unwrap();
    until_loading(&server, "visits", 2).await;
    let back = pb::RollbackModelRequest { model: "churn".to_owned(), ..Default::default() };
    let rolled_back = tokio::time::timeout(PATIENCE, models.rollback_model(back)).await;
    rolled_back.expect("it is answered").unwrap();
    assert_eq!(served_version(&server).await, 1);
    for held in held {
        held.let_go();
    }
    let ask = pb::GetModelRequest { model: "churn".to_owned() };
    let loaded = async {
        loop {
            let model = models.get_model(ask.clone()).await.unwrap().into_inner().model.unwrap();
            let state = |one: &pb::LoadedVersion| (one.version, one.state());
            if model.loaded.iter().any(|one| state(one) == (3, pb::ModelVersionState::Serving)) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, loaded).await.expect("what was waited for is served");
}

/// At the start too: the model that is there answers while another is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_model_keeps_no_other_from_answering() {
    let (folder, registry) = prepared();
    let held = Held::new(folder.path(), "visits", 1);
    let server = TestServer::over(folder, registry, quick()).await;
    let health = tonic_health::pb::health_check_response::ServingStatus::Serving;
    server.wait_for_health("model/churn", health).await;
    assert_eq!(served_version(&server).await, 1);
    held.let_go();
    server.wait_for_health("model/visits", health).await;
    server.wait_for_health("", health).await;
}

fn send_everybody_to_the_canary(registry: &Registry) {
    let traffic = TrafficRequest {
        model: "churn".to_owned(),
        traffic: Some(canary(10_000)),
        actor: "ada".to_owned(),
        ..TrafficRequest::default()
    };
    registry.set_traffic(&traffic).unwrap();
}

/// Returns when the loader has done, and told, all that it knew of before.
async fn until_the_loader_has_told(server: &TestServer) {
    let change = pb::SetModelAliasRequest {
        model: "visits".to_owned(),
        alias: "told".to_owned(),
        version: 1,
        ..Default::default()
    };
    server.models().set_model_alias(change).await.unwrap();
}

async fn is_ready(server: &TestServer) -> bool {
    server.get("/readyz").await.0.contains("200")
}

/// In a rolling restart the users of a canary must not be the champion's for as long as the canary is
/// being loaded, nor those who name another alias be refused by a server that is ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_comes_back_waits_for_all_that_its_models_point_at() {
    let by_alias = || {
        let mut asked = request(&["churn"], good_row());
        asked.models[0].choice = Some(pb::model_selector::Choice::Alias("staging".to_owned()));
        asked
    };
    let by_key = || request(&["churn"], of_subject("ada", good_row()));
    for (is_canary, asked) in [(true, by_key()), (false, by_alias())] {
        let (folder, registry) = prepared();
        if is_canary {
            send_everybody_to_the_canary(&registry);
        } else {
            registry.set_alias("churn", "staging", 2, "ada").unwrap();
        }
        let held = Held::new(folder.path(), "churn", 2);
        let options = ServeOptions { required_models: vec!["churn".to_owned()], ..quick() };
        let server = TestServer::over(folder, registry, options).await;
        let champion = async {
            while server.score(request(&["churn"], good_row())).await.is_err() {}
            server.wait_for_health("model/visits", ServingStatus::Serving).await;
        };
        tokio::time::timeout(PATIENCE, champion).await.expect("the champion is loaded");
        until_the_loader_has_told(&server).await;
        assert!(!is_ready(&server).await, "canary: {is_canary}");
        server.wait_for_health("model/churn", ServingStatus::NotServing).await;
        held.let_go();
        server.wait_for_health("", ServingStatus::Serving).await;
        let answer = server.score(asked).await.expect("who is ready answers for all");
        assert_eq!(answer.served_by[0].version, 2, "canary: {is_canary}");

        // What is pointed at later makes nobody unready.
        publish(&server.registry, &churn_draft(0.75));
        let held = Held::new(server.folder.path(), "churn", 3);
        server.registry.set_alias("churn", "next", 3, "ada").unwrap();
        until_loading(&server, "churn", 3).await;
        until_the_loader_has_told(&server).await;
        assert!(is_ready(&server).await);
        server.wait_for_health("model/churn", ServingStatus::Serving).await;
        held.let_go();
    }
}

/// One try is enough: the champion answers its share, and the reason is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_canary_keeps_no_replica_out_of_service() {
    let (folder, registry) = prepared();
    send_everybody_to_the_canary(&registry);
    std::fs::write(folder.path().join("churn/versions/2/model.bin"), "no model").unwrap();
    let options = ServeOptions { required_models: vec!["churn".to_owned()], ..quick() };
    let server = TestServer::over(folder, registry, options).await;
    server.wait_for_health("", ServingStatus::Serving).await;
    let answer = server.score(request(&["churn"], of_subject("ada", good_row()))).await.unwrap();
    assert_eq!(answer.served_by[0].version, 1);
    assert!(server.get("/readyz").await.1.contains("model.bin"));
}
