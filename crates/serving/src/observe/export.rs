//! The way of spans to the collector: a bounded queue, batches, and a count of what got lost.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::sync::{mpsc, oneshot};

use crate::metrics::TraceMetrics;

/// Spans that wait; more are dropped, for requests wait for nothing.
const QUEUE: usize = 2048;
/// Spans that go in one message.
const MAX_BATCH: usize = 512;
/// How long a message waits to become fuller.
const BATCH_WAIT: Duration = Duration::from_millis(500);
/// How long a message to the collector may take, with its retries. A collector may take a message and
/// never answer; the spans after it would wait for ever.
pub(super) const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Puts spans that have ended into the queue, or counts them as dropped.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    metrics: TraceMetrics,
}

/// Ends the exporting.
#[derive(Debug)]
pub(super) struct Exporting {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.spans.try_send(span).is_err() {
            self.metrics.dropped("queue_full", 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Starts a task that sends what comes into the queue, and gives a message up after `limit`.
pub(super) fn start<E: SpanExporter + 'static>(
    exporter: E,
    limit: Duration,
    metrics: TraceMetrics,
) -> (Queue, Exporting) {
    let (spans, queue) = mpsc::channel(QUEUE);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(send(exporter, limit, queue, stopped, metrics.clone()));
    (Queue { spans, metrics }, Exporting { stop, task })
}

impl Exporting {
    /// Takes no more spans, and waits until those in the queue are sent; no longer than `patience`.
    pub(super) async fn finish(self, patience: Duration) {
        // It may have ended by itself.
        let _ = self.stop.send(());
        let abort = self.task.abort_handle();
        if tokio::time::timeout(patience, self.task).await.is_err() {
            abort.abort();
            tracing::warn!("the last spans could not be sent in time");
        }
    }
}

async fn send<E: SpanExporter>(
    exporter: E,
    limit: Duration,
    mut queue: mpsc::Receiver<SpanData>,
    mut stopped: oneshot::Receiver<()>,
    metrics: TraceMetrics,
) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    let mut is_stopping = false;
    let mut is_failing = false;
    loop {
        let n_spans = if is_stopping {
            queue.recv_many(&mut batch, MAX_BATCH).await
        } else {
            tokio::select! {
                n_spans = queue.recv_many(&mut batch, MAX_BATCH) => n_spans,
                _ = &mut stopped => {
                    // What is in the queue still comes.
                    queue.close();
                    is_stopping = true;
                    continue;
                }
            }
        };
        if n_spans == 0 {
            return;
        }
        if !is_stopping {
            is_stopping = fill(&mut batch, &mut queue, &mut stopped).await;
        }
        let n_spans = batch.len() as u64;
        let export = exporter.export(std::mem::take(&mut batch));
        let sent = tokio::time::timeout(limit, export).await;
        match sent.unwrap_or(Err(OTelSdkError::Timeout(limit))) {
            Ok(()) => {
                metrics.exported(n_spans);
                is_failing = false;
            }
            Err(error) => {
                metrics.dropped("export_failed", n_spans);
                // Told when it begins, not for every batch.
                if !is_failing {
                    tracing::warn!(%error, "spans cannot be sent to the collector; they are dropped");
                }
                is_failing = true;
            }
        }
    }
}

/// Waits for more spans until the batch is full or has waited long enough. Whether it was told to stop.
async fn fill(
    batch: &mut Vec<SpanData>,
    queue: &mut mpsc::Receiver<SpanData>,
    stopped: &mut oneshot::Receiver<()>,
) -> bool {
    let until = tokio::time::Instant::now() + BATCH_WAIT;
    while batch.len() < MAX_BATCH {
        let room = MAX_BATCH - batch.len();
        tokio::select! {
            n_spans = queue.recv_many(batch, room) => {
                if n_spans == 0 {
                    return false;
                }
            }
            _ = &mut *stopped => {
                queue.close();
                return true;
            }
            () = tokio::time::sleep_until(until) => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use opentelemetry::trace::{
        SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
    };

    use super::*;
    use crate::metrics::Metrics;

    /// A collector that takes a message and never says anything.
    #[derive(Debug)]
    struct Silent;

    impl SpanExporter for Silent {
        async fn export(&self, _batch: Vec<SpanData>) -> OTelSdkResult {
            pending().await
        }
    }

    fn span() -> SpanData {
        let context = SpanContext::new(
            TraceId::from(1),
            SpanId::from(1),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        );
        let now = std::time::SystemTime::now();
        SpanData {
            span_context: context,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Server,
            name: "test".into(),
            start_time: now,
            end_time: now,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: Status::Unset,
            instrumentation_scope: Default::default(),
        }
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_counts_and_nobody_waits() {
        let metrics = Metrics::new();
        let (queue, exporting) = start(Silent, EXPORT_TIMEOUT, metrics.traces.clone());
        for _ in 0..QUEUE + 7 {
            queue.on_end(span());
        }
        let page = metrics.page().unwrap();
        let line = "segue_spans_dropped_total{reason=\"queue_full\"} 7\n";
        assert!(page.contains(line), "{page}");
        exporting.finish(Duration::from_millis(1)).await;
    }

    #[tokio::test]
    async fn a_silent_collector_does_not_hold_up_later_spans() {
        let metrics = Metrics::new();
        let (queue, exporting) = start(Silent, Duration::from_millis(1), metrics.traces.clone());
        let n_spans = 2 * MAX_BATCH + 1;
        for _ in 0..n_spans {
            queue.on_end(span());
        }
        // Three messages, none of which is ever answered.
        exporting.finish(Duration::from_secs(60)).await;
        let page = metrics.page().unwrap();
        let line = format!("segue_spans_dropped_total{{reason=\"export_failed\"}} {n_spans}\n");
        assert!(page.contains(&line), "{page}");
    }
}
