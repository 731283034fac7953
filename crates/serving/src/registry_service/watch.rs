//! What is served, told to whoever watches, as it comes into effect.
//!
//! Nothing is queued for a reader: it gets the newest state when it has taken the one before, however
//! many there were in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use segue_api::v1 as pb;
use segue_registry::check_model_name;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::ModelRegistry;
use crate::guard::Deadline;
use crate::live::{ModelStatus, Statuses};
use crate::to_proto::watched_model;
use crate::{Reason, ServingError, Violation};

/// Models of one message, so that it stays far below what clients take.
const MODELS_PER_MESSAGE: usize = 100;

/// Names that one watch may give; whoever wants more watches all.
const MAX_NAMES: usize = 1000;

type Answers = mpsc::Sender<Result<pb::WatchModelsResponse, Status>>;

/// What a reader has been told.
struct Watcher {
    /// Empty: every model.
    names: BTreeSet<String>,
    told: BTreeMap<String, Arc<ModelStatus>>,
    started: bool,
}

impl ModelRegistry {
    /// Opens a watch. It counts as a stream for as long as it is open.
    pub(super) fn watch(
        &self,
        request: pb::WatchModelsRequest,
        deadline: Deadline,
    ) -> Result<ReceiverStream<Result<pb::WatchModelsResponse, Status>>, ServingError> {
        let names = checked(request.models)?;
        let permit = self.limits.enter_stream()?;
        let (answers, receiver) = mpsc::channel(1);
        let mut newest = self.live.status.watch();
        let mut closing = self.closing.clone();
        let mut watcher = Watcher { names, told: BTreeMap::new(), started: false };
        tokio::spawn(async move {
            let _permit = permit;
            let follow = async {
                loop {
                    let now = Arc::clone(&newest.borrow_and_update());
                    let told = watcher.tell(&now, &answers).await;
                    if told.is_err() || newest.changed().await.is_err() {
                        return;
                    }
                }
            };
            let end = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => ServingError::Draining,
                () = tokio::time::sleep_until(deadline.0) => ServingError::DeadlineExceeded,
                () = answers.closed() => return,
                () = follow => return,
            };
            // A reader that has gone does not see how it ended.
            let _ = answers.send(Err(end.into())).await;
        });
        Ok(ReceiverStream::new(receiver))
    }
}

impl Watcher {
    /// Tells what is new since it was last told, in as many messages as that takes.
    async fn tell(&mut self, now: &Statuses, answers: &Answers) -> Result<(), ()> {
        // Before the registry has been read, nothing is known, which is not that there is nothing.
        if !now.started {
            return Ok(());
        }
        let wanted = |name: &String| self.names.is_empty() || self.names.contains(name);
        let is_new = |name: &String, status: &Arc<ModelStatus>| {
            self.told.get(name).is_none_or(|told| !Arc::ptr_eq(told, status))
        };
        let models: Vec<pb::Model> = now
            .models
            .iter()
            .filter(|(name, status)| wanted(name) && is_new(name, status))
            .map(|(name, status)| watched_model(name, status))
            .collect();
        let gone = self.told.keys().filter(|name| !now.models.contains_key(*name));
        let removed_models: Vec<String> = gone.cloned().collect();
        if self.started && models.is_empty() && removed_models.is_empty() {
            return Ok(());
        }
        let known = now.models.iter().filter(|(name, _)| wanted(name));
        self.told = known.map(|(name, status)| (name.clone(), Arc::clone(status))).collect();
        self.started = true;
        let mut messages: Vec<pb::WatchModelsResponse> = models
            .chunks(MODELS_PER_MESSAGE)
            .map(|models| pb::WatchModelsResponse { models: models.to_vec(), ..Default::default() })
            .collect();
        if messages.is_empty() {
            messages.push(pb::WatchModelsResponse::default());
        }
        if let Some(last) = messages.last_mut() {
            last.removed_models = removed_models;
            last.caught_up = true;
        }
        for message in messages {
            answers.send(Ok(message)).await.map_err(drop)?;
        }
        Ok(())
    }
}

fn checked(names: Vec<String>) -> Result<BTreeSet<String>, ServingError> {
    if names.len() > MAX_NAMES {
        let description = format!("{} names, at most {MAX_NAMES}; name none for all", names.len());
        return Err(ServingError::invalid("models", Reason::FieldInvalid, description));
    }
    let bad = |(index, name): (usize, &String)| {
        check_model_name(name).is_err().then(|| Violation {
            field: format!("models[{index}]"),
            reason: Reason::ModelNameInvalid,
            description: "expected [a-z0-9][a-z0-9._-]{0,127}".to_owned(),
        })
    };
    let violations: Vec<Violation> = names.iter().enumerate().filter_map(bad).collect();
    if violations.is_empty() {
        Ok(names.into_iter().collect())
    } else {
        Err(ServingError::Invalid(violations))
    }
}
