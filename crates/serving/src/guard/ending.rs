//! What has to be told when a request is over, however that comes about.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::Guard;
use super::routes::Route;
use crate::access::Caller;
use crate::net::Connection;
use crate::observe::Watch;

/// A caller who goes away has its request dropped where it stands, and a change that it had begun is
/// made.
pub(super) struct End {
    pub(super) guard: Arc<Guard>,
    pub(super) route: Route,
    pub(super) started: Instant,
    /// Who asks for a change.
    pub(super) changes: Option<Caller>,
    pub(super) connection: Arc<Connection>,
    /// How long a stream took to begin, which is all of it that is measured: it lasts as long as its
    /// caller likes.
    pub(super) opened_after: Option<Duration>,
    pub(super) is_told: bool,
}

impl End {
    pub(super) fn tell(&mut self, code: Code) {
        self.is_told = true;
        let took = self.opened_after.unwrap_or_else(|| self.started.elapsed());
        self.guard.ended(self.route, code, took);
        if let Some(caller) = &self.changes {
            let method = self.route.labels.grpc_method;
            self.guard.record_change(method, caller, self.connection.peer, code);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(Code::Cancelled);
        }
    }
}

/// The end of a stream, which is when its status is on its way and not when it begins. A stream that is
/// dropped before was taken back.
pub(crate) struct StreamEnd {
    end: End,
    watch: Option<Watch>,
}

impl StreamEnd {
    /// Of a stream that begins now.
    pub(super) fn new(mut end: End, mut watch: Watch) -> Self {
        end.opened_after = Some(end.started.elapsed());
        watch.opened();
        Self { end, watch: Some(watch) }
    }

    /// It has ended so.
    pub(crate) fn tell(mut self, code: Code) {
        self.end.tell(code);
        if let Some(watch) = self.watch.take() {
            watch.end(code);
        }
    }
}

impl Drop for StreamEnd {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.end(Code::Cancelled);
        }
    }
}
