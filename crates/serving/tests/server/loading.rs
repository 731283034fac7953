//! Versions that take their time, and those who do not wait for them.
#![cfg(unix)]

use std::path::{Path, PathBuf};

use segue_api::v1 as pb;

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
