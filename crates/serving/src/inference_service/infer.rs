//! `ModelInfer` of both ports: select, read, score, pick the outputs.

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use segue_api::inference as pb;
use segue_api::v1;
use segue_dataset::Matrix;
use segue_model::Traits;

use super::Inference;
use super::output::{OutputTensor, OutputValues};
use super::parameters::{self, Parameters, check_tensor};
use super::rows::{Reader, Rows, listed};
use super::tensor::{Data, InputTensor};
use crate::from_proto::{Findings, Reading, RowInput, shown};
use crate::guard::Deadline;
use crate::live::{Selected, Selection};
use crate::prediction_log::About;
use crate::score::Job;
use crate::scoring_service::now_us;
use crate::traffic::Input;
use crate::{Reason, ServingError};

/// A request of either port.
#[derive(Debug, Default)]
pub(crate) struct InferRequest {
    pub(crate) model_name: String,
    pub(crate) model_version: String,
    pub(crate) id: String,
    pub(crate) parameters: BTreeMap<String, pb::InferParameter>,
    pub(crate) inputs: Vec<InputTensor>,
    pub(crate) outputs: Vec<RequestedOutput>,
}

/// An output that a request asks for.
#[derive(Debug)]
pub(crate) struct RequestedOutput {
    pub(crate) name: String,
    pub(crate) parameters: BTreeMap<String, pb::InferParameter>,
}

/// What a request is answered with.
#[derive(Debug)]
pub(crate) struct InferAnswer {
    pub(crate) model_name: String,
    pub(crate) model_version: String,
    pub(crate) id: String,
    pub(crate) outputs: Vec<OutputTensor>,
}

/// The outputs that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// Scores: `[N]`, of a multiclass model `[N, C]` in class order.
    Scores,
    /// Segment names, empty for none: `[N]`.
    Segments,
    /// What each column adds to the margin, then the bias: `[N, F + 1]`, of a multiclass model
    /// `[N, C, F + 1]`.
    TreeShap,
    /// The names of the predictions, to give their outcomes to FeedbackService: `[N]`.
    PredictionIds,
}

impl Output {
    pub(super) const ALL: [Self; 4] =
        [Self::Scores, Self::Segments, Self::TreeShap, Self::PredictionIds];

    /// As forest servers call them.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Scores => "output__0",
            Self::Segments => "segment",
            Self::TreeShap => "treeshap_output",
            Self::PredictionIds => "prediction_id",
        }
    }
}

impl InferRequest {
    /// Reads the wire's two forms of contents, which must not be mixed.
    pub(super) fn from_wire(request: pb::ModelInferRequest) -> Result<Self, ServingError> {
        let encoding = |description: String| {
            ServingError::invalid("raw_input_contents", Reason::TensorEncoding, description)
        };
        let (n_inputs, n_raw) = (request.inputs.len(), request.raw_input_contents.len());
        if n_raw > 0 && n_raw != n_inputs {
            let description = format!("{n_raw} raw contents for {n_inputs} inputs; send one each");
            return Err(encoding(description));
        }
        if n_raw > 0 && request.inputs.iter().any(|input| input.contents.is_some()) {
            let description = "raw and typed contents in one request; send either".to_owned();
            return Err(encoding(description));
        }
        let mut raw = request.raw_input_contents.into_iter();
        let input = |input: pb::model_infer_request::InferInputTensor| InputTensor {
            name: input.name,
            datatype: input.datatype,
            shape: input.shape,
            parameters: input.parameters,
            data: match raw.next() {
                Some(bytes) => Data::Raw(bytes),
                None => Data::Typed(input.contents.unwrap_or_default()),
            },
        };
        let output = |output: pb::model_infer_request::InferRequestedOutputTensor| {
            RequestedOutput { name: output.name, parameters: output.parameters }
        };
        Ok(Self {
            model_name: request.model_name,
            model_version: request.model_version,
            id: request.id,
            parameters: request.parameters,
            inputs: request.inputs.into_iter().map(input).collect(),
            outputs: request.outputs.into_iter().map(output).collect(),
        })
    }

    /// Rows by the largest of its shapes, before anything is checked.
    fn n_rows(&self) -> usize {
        let rows = |input: &InputTensor| input.shape.first().copied();
        let n_rows = self.inputs.iter().filter_map(rows).max().unwrap_or(0);
        usize::try_from(n_rows).unwrap_or(0)
    }

    /// Whether contributions are asked for, which take longer than scores.
    pub(super) fn is_explained(&self) -> bool {
        self.outputs.iter().any(|output| output.name == Output::TreeShap.name())
    }

    /// The cap that the request sets for itself.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        parameters::timeout(&self.parameters)
    }
}

impl InferAnswer {
    pub(super) fn into_wire(self, is_raw: bool) -> pb::ModelInferResponse {
        let (outputs, raw): (Vec<_>, Vec<_>) =
            self.outputs.into_iter().map(|output| output.into_wire(is_raw)).unzip();
        pb::ModelInferResponse {
            model_name: self.model_name,
            model_version: self.model_version,
            id: self.id,
            outputs,
            raw_output_contents: raw.into_iter().flatten().collect(),
            ..Default::default()
        }
    }
}

impl Inference {
    /// Whether [`infer`](Self::infer) is for the pool.
    pub(crate) fn is_large(&self, request: &InferRequest) -> bool {
        self.scoring.0.is_large(request.n_rows())
    }

    /// Runs `work` on the pool, for as long as the deadline allows.
    pub(crate) async fn on_pool<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl FnOnce() -> Result<T, ServingError> + Send + 'static,
    ) -> Result<T, ServingError> {
        let answer = self.scoring.0.pool.run(work);
        match tokio::time::timeout_at(deadline.0, answer).await {
            Ok(answer) => answer.flatten(),
            Err(_elapsed) => Err(ServingError::DeadlineExceeded),
        }
    }

    /// Answers a request with one version for all its rows.
    pub(crate) fn infer(
        &self,
        mut request: InferRequest,
        deadline: Deadline,
    ) -> Result<InferAnswer, ServingError> {
        let started = Instant::now();
        let deadline = deadline.capped(request.timeout());
        let mut findings = Findings::default();
        let parameters = Parameters::read(&request.parameters, &mut findings);
        let selection =
            self.selection(&request.model_name, &request.model_version, "model_name")?;
        let selected = routed(&selection, &parameters)?;
        // A shape is only what the caller says.
        let n_asked = request.n_rows().min(self.scoring.0.options.max_batch_rows).max(1) as u64;
        let reading =
            Reading { allow_missing: false, strict: false, max_row_events: 0, now_us: now_us() };
        let shared = &self.scoring.0;
        let job = Job {
            selection,
            options: v1::ScoreOptions::default(),
            reading,
            recorder: Arc::clone(&shared.recorder),
            request_id: shared.request_ids.or_new(std::mem::take(&mut request.id), "id")?,
        };
        let (n_rows, outputs) = shared.observed(&job, started, || {
            let outputs = self.outputs(&job, &selected, &parameters, request, findings, deadline);
            count_failed(&job.selection, &parameters, &selected, &outputs, n_asked);
            outputs
        })?;
        let versions = slice::from_ref(&selected);
        job.selection.count_unplaced(parameters.routing_key(), versions, n_rows);
        shared.answered(&job, started, [(&selected, n_rows)]);
        let served = &selected.served;
        let (model_name, model_version) = (served.name.clone(), served.version.to_string());
        Ok(InferAnswer { model_name, model_version, id: job.request_id, outputs })
    }

    /// Everything that is wrong with a request is found before its first row is scored.
    fn outputs(
        &self,
        job: &Job,
        selected: &Selected,
        parameters: &Parameters,
        request: InferRequest,
        mut findings: Findings,
        deadline: Deadline,
    ) -> Result<(usize, Vec<OutputTensor>), ServingError> {
        let versions = slice::from_ref(selected);
        let (served, shared) = (&selected.served, &self.scoring.0);
        let schema = served.model.schema();
        check_digest(parameters, selected)?;
        let wanted = wanted(&request.outputs, &mut findings);
        let max_rows = shared.options.max_batch_rows;
        let reader = Reader { model: &served.name, schema, parameters, max_rows };
        let rows = reader.read(request.inputs, &mut findings);
        if wanted.contains(&Output::TreeShap) {
            check_contributions(selected, rows.n_rows, &mut findings);
        }
        findings.check()?;
        let (width, traits) = (schema.len(), Traits::new());
        let about = About { subject_id: &parameters.subject_id, ..About::default() };
        let input = |index: usize| {
            let row = rows.values[index * width..][..width].to_vec();
            RowInput { rows: vec![row], warnings: Vec::new() }
        };
        let scored = shared.each_chunk(rows.n_rows, deadline, |some| {
            job.answer_rows(versions, some.map(input).collect(), &traits, about)
        })?;
        let scored: Vec<v1::ScoredRow> = scored.into_iter().flatten().collect();
        if job.selection.is_mirrored() {
            let key = parameters.routing_key();
            for (row, scored) in rows.values.chunks(width.max(1)).zip(&scored) {
                shared.mirror(job, scored, key, || Input::Values(row.to_vec()));
            }
        }
        let predictions: Vec<v1::Prediction> =
            scored.into_iter().flat_map(|row| row.predictions).collect();
        let output = |output: Output| match output {
            Output::Scores => Ok(scores(selected, &predictions, rows.is_single)),
            Output::Segments => Ok(texts(output, &predictions, |one| &one.segment)),
            Output::PredictionIds => Ok(texts(output, &predictions, |one| &one.prediction_id)),
            Output::TreeShap => self.treeshap(selected, &rows, deadline),
        };
        let outputs = wanted.into_iter().map(output).collect::<Result<_, ServingError>>()?;
        Ok((rows.n_rows, outputs))
    }

    /// The contributions of whole chunks, equal to those of single rows bit for bit.
    fn treeshap(
        &self,
        selected: &Selected,
        rows: &Rows,
        deadline: Deadline,
    ) -> Result<OutputTensor, ServingError> {
        let model = &selected.served.model;
        let (width, n_outputs) = (model.schema().len(), model.n_outputs());
        let chunks = self.scoring.0.each_chunk(rows.n_rows, deadline, |range| {
            let cells = &rows.values[range.start * width..range.end * width];
            let explained = model.explain_rows(&Matrix::from_rows(width, cells));
            let mut values = Vec::with_capacity(range.len() * n_outputs * (width + 1));
            for row in 0..range.len() {
                for output in 0..n_outputs {
                    values.extend_from_slice(explained.contributions(row, output));
                    values.push(explained.bias()[output]);
                }
            }
            values
        })?;
        let mut shape = vec![wire_size(rows.n_rows)];
        if n_outputs > 1 {
            shape.push(wire_size(n_outputs));
        }
        shape.push(wire_size(width + 1));
        let values = OutputValues::numbers(chunks.concat(), rows.is_single);
        Ok(OutputTensor { name: Output::TreeShap.name(), shape, values })
    }
}

/// Most bytes of contributions in an answer: several copies of them are made on the way out.
const MAX_CONTRIBUTION_BYTES: usize = 64 << 20;

fn check_contributions(selected: &Selected, n_rows: usize, findings: &mut Findings) {
    let model = &selected.served.model;
    let row_bytes = model.n_outputs() * (model.schema().len() + 1) * size_of::<f64>();
    let max_rows = MAX_CONTRIBUTION_BYTES / row_bytes;
    if n_rows > max_rows {
        let description = format!(
            "the contributions of {n_rows} rows take {} MiB; ask for those of at most {max_rows} \
             rows at once",
            (n_rows * row_bytes) >> 20
        );
        let field = format!("outputs[{:?}]", Output::TreeShap.name());
        findings.bad(field, Reason::BatchTooLarge, description);
    }
}

fn scores(selected: &Selected, predictions: &[v1::Prediction], is_single: bool) -> OutputTensor {
    let n_classes = selected.served.model.classes().len();
    let mut shape = vec![wire_size(predictions.len())];
    let values = if n_classes == 0 {
        predictions.iter().map(|prediction| prediction.score).collect()
    } else {
        shape.push(wire_size(n_classes));
        let classes = predictions.iter().flat_map(|prediction| &prediction.class_scores);
        classes.map(|class| class.score).collect()
    };
    let values = OutputValues::numbers(values, is_single);
    OutputTensor { name: Output::Scores.name(), shape, values }
}

fn texts(
    output: Output,
    predictions: &[v1::Prediction],
    text: impl Fn(&v1::Prediction) -> &String,
) -> OutputTensor {
    let texts = predictions.iter().map(|prediction| text(prediction).clone()).collect();
    let shape = vec![wire_size(predictions.len())];
    OutputTensor { name: output.name(), shape, values: OutputValues::Bytes(texts) }
}

pub(super) fn wire_size(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// The outputs that a request wants, in its order; the scores if it names none.
fn wanted(requested: &[RequestedOutput], findings: &mut Findings) -> Vec<Output> {
    let mut wanted = Vec::new();
    for output in requested {
        let path = format!("outputs[{:?}]", shown(&output.name));
        check_tensor(&output.parameters, &path, findings);
        match Output::ALL.into_iter().find(|known| known.name() == output.name) {
            None => {
                let names = Output::ALL.map(Output::name);
                let description =
                    format!("no such output; there are {}", listed(names.into_iter()));
                findings.bad(path, Reason::TensorUnknown, description);
            }
            Some(known) if wanted.contains(&known) => {
                let description = "the same output is asked for twice".to_owned();
                findings.bad(path, Reason::TensorRepeated, description);
            }
            Some(known) => wanted.push(known),
        }
    }
    if requested.is_empty() { vec![Output::Scores] } else { wanted }
}

/// The version that all rows of the request go to, because an answer names one.
///
/// Tensors are packed by the metadata of the champion. A canary with another schema gets them only if
/// the client says that they were packed for it; it would read the columns of others as its own.
fn routed(selection: &Selection, parameters: &Parameters) -> Result<Selected, ServingError> {
    let [champion] = selection.unsplit() else { return Err(ServingError::Internal) };
    let mut versions = selection.route(parameters.routing_key()).into_owned();
    let metadata = champion.served.model.schema().digest().as_str();
    let packed_for = parameters.schema_digest.as_deref().unwrap_or(metadata);
    let cannot_read =
        |canary: &Selected| canary.served.model.schema().digest().as_str() != packed_for;
    selection.fall_back(&mut versions, cannot_read);
    versions.pop().ok_or(ServingError::Internal)
}

/// Counts rows that failed against the version that their key belongs to: of a canary that gave way too,
/// and never those that had no time.
fn count_failed<T>(
    selection: &Selection,
    parameters: &Parameters,
    selected: &Selected,
    outcome: &Result<T, ServingError>,
    n_rows: u64,
) {
    let asked = selection.route(parameters.routing_key());
    let Some(asked) = asked.first() else { return };
    let is_late = matches!(outcome, Err(ServingError::DeadlineExceeded));
    if !is_late && (outcome.is_err() || asked.slot != selected.slot) {
        asked.failed(n_rows);
    }
}

/// A client that says which schema it packs for is told when that is no longer the one.
fn check_digest(parameters: &Parameters, selected: &Selected) -> Result<(), ServingError> {
    let served = &selected.served;
    let expected = served.model.schema().digest().as_str();
    match &parameters.schema_digest {
        Some(found) if found != expected => Err(ServingError::SchemaDigestMismatch {
            model: served.name.clone(),
            version: served.version,
            expected: expected.to_owned(),
            found: shown(found).to_owned(),
        }),
        _ => Ok(()),
    }
}
