//! Rows in, answers out: blocks of neighbouring rows through all models.

use segue_dataset::Matrix;
use segue_model::{Model, Scratch, SegmentInputs, Traits};

use super::{Explain, FileScorer};

/// Rows that one thread scores at a time: what the engines take in one go.
pub(super) const BLOCK_ROWS: usize = 1024;

/// Neighbouring rows as each model sees them.
pub(super) struct Rows {
    pub(super) n_rows: usize,
    /// By model: values row by row.
    pub(super) values: Vec<Vec<f64>>,
}

impl Rows {
    /// No row yet, with room for `n_rows`.
    pub(super) fn with_capacity(scorers: &[FileScorer], n_rows: usize) -> Self {
        let width = |scorer: &FileScorer| scorer.model.schema().len();
        let room = |scorer| Vec::with_capacity(n_rows * width(scorer));
        Self { n_rows: 0, values: scorers.iter().map(room).collect() }
    }

    fn matrix(&self, model: usize, width: usize) -> Matrix {
        let values = &self.values[model];
        let column = |column| values.iter().skip(column).step_by(width).copied().collect();
        Matrix::from_columns(self.n_rows, (0..width).map(column).collect())
    }
}

/// Answers of neighbouring rows; each list has one value a row.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) n_rows: usize,
    /// By model and output.
    pub(super) outputs: Vec<Vec<Vec<f64>>>,
    /// By model.
    pub(super) segments: Vec<Vec<Option<String>>>,
    /// By model.
    pub(super) reasons: Vec<Vec<String>>,
    /// By model.
    pub(super) interactions: Vec<Vec<String>>,
    pub(super) n_segment_errors: u64,
}

impl Answers {
    /// Of no row.
    pub(super) fn none(scorers: &[FileScorer]) -> Self {
        let outputs = |scorer: &FileScorer| vec![Vec::new(); scorer.model.n_outputs()];
        Self {
            n_rows: 0,
            outputs: scorers.iter().map(outputs).collect(),
            segments: vec![Vec::new(); scorers.len()],
            reasons: vec![Vec::new(); scorers.len()],
            interactions: vec![Vec::new(); scorers.len()],
            n_segment_errors: 0,
        }
    }

    /// Takes the answers of the rows after its own.
    pub(super) fn append(&mut self, other: Self) {
        self.n_rows += other.n_rows;
        self.n_segment_errors += other.n_segment_errors;
        let (own, more) = (self.outputs.iter_mut().flatten(), other.outputs.into_iter().flatten());
        own.zip(more).for_each(|(own, more)| own.extend(more));
        self.segments.iter_mut().zip(other.segments).for_each(|(own, more)| own.extend(more));
        self.reasons.iter_mut().zip(other.reasons).for_each(|(own, more)| own.extend(more));
        let (own, more) = (self.interactions.iter_mut(), other.interactions);
        own.zip(more).for_each(|(own, more)| own.extend(more));
    }

    /// Keeps the first `n_rows` rows and gives the others.
    pub(super) fn split_off(&mut self, n_rows: usize) -> Self {
        let outputs = self.outputs.iter_mut();
        let rest = Self {
            n_rows: self.n_rows - n_rows,
            outputs: outputs
                .map(|of_model| of_model.iter_mut().map(|own| own.split_off(n_rows)).collect())
                .collect(),
            segments: self.segments.iter_mut().map(|own| own.split_off(n_rows)).collect(),
            reasons: self.reasons.iter_mut().map(|own| own.split_off(n_rows)).collect(),
            interactions: self.interactions.iter_mut().map(|own| own.split_off(n_rows)).collect(),
            n_segment_errors: 0,
        };
        self.n_rows = n_rows;
        rest
    }
}

/// Scores a block of rows of each model; segments may look at the scores of all of them.
pub(super) fn answer(
    scorers: &[FileScorer],
    rows: &Rows,
    explain: Explain,
    scratch: &mut Scratch,
) -> Answers {
    // by model, row by row
    let outputs: Vec<Vec<f64>> = scorers
        .iter()
        .enumerate()
        .map(|(index, scorer)| {
            let matrix = rows.matrix(index, scorer.model.schema().len());
            let mut out = vec![0.0; rows.n_rows * scorer.model.n_outputs()];
            scorer.model.score_range(&matrix, 0..rows.n_rows, scratch, &mut out);
            out
        })
        .collect();
    let mut answers = Answers { n_rows: rows.n_rows, ..Answers::none(scorers) };
    for row in 0..rows.n_rows {
        row_of_block(scorers, rows, &outputs, row, explain, &mut answers);
    }
    answers
}

fn row_of_block(
    scorers: &[FileScorer],
    rows: &Rows,
    outputs: &[Vec<f64>],
    row: usize,
    explain: Explain,
    answers: &mut Answers,
) {
    let outputs_of = |model: usize| {
        let n = scorers[model].model.n_outputs();
        &outputs[model][row * n..(row + 1) * n]
    };
    let values_of = |model: usize| {
        let width = scorers[model].model.schema().len();
        &rows.values[model][row * width..(row + 1) * width]
    };
    let score = |model: usize| outputs_of(model).iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let named = scorers.iter().enumerate();
    let scores: Vec<(&str, f64)> =
        named.map(|(model, scorer)| (scorer.name.as_str(), score(model))).collect();
    let traits = Traits::default();
    for (index, scorer) in scorers.iter().enumerate() {
        let (values, outputs) = (values_of(index), outputs_of(index));
        answers.outputs[index].iter_mut().zip(outputs).for_each(|(own, &value)| own.push(value));
        let segment = scorer.segments.as_ref().and_then(|segments| {
            let classes = scorer.model.classes().iter().map(String::as_str);
            let class_scores: Vec<(&str, f64)> = classes.zip(outputs.iter().copied()).collect();
            let assigned = segments.assign(&SegmentInputs {
                score: scores[index].1,
                scores: &scores,
                class_scores: &class_scores,
                schema: scorer.model.schema(),
                row: values,
                traits: &traits,
            });
            answers.n_segment_errors += assigned.errors.len() as u64;
            assigned.segment.map(str::to_owned)
        });
        answers.segments[index].push(segment);
        let (model, n_reasons) = (&scorer.model, explain.n_reasons);
        answers.reasons[index].push(reasons(model, values, outputs, n_reasons));
        let text = interactions(model, values, outputs, explain.n_interactions);
        answers.interactions[index].push(text);
    }
}

fn reasons(model: &Model, row: &[f64], outputs: &[f64], n_reasons: usize) -> String {
    if n_reasons == 0 {
        return String::new();
    }
    let explanation = model.explain(row);
    let reasons = model.reasons(&explanation, row, best(outputs), n_reasons);
    let text = reasons.iter().map(|reason| {
        let sign = if reason.contribution > 0.0 { '+' } else { '-' };
        format!("{sign}{} ({:+.3})", reason.behaviour, reason.contribution)
    });
    text.collect::<Vec<_>>().join("; ")
}

/// What pairs of features do together, in the scale of the margin, beyond what each does alone.
fn interactions(model: &Model, row: &[f64], outputs: &[f64], n_interactions: usize) -> String {
    if n_interactions == 0 {
        return String::new();
    }
    let name = |column: usize| model.schema().features()[column].name.as_str();
    let pairs = model.interactions(row).strongest(best(outputs), n_interactions);
    let text =
        pairs.iter().map(|&(a, b, value)| format!("{} x {} ({value:+.3})", name(a), name(b)));
    text.collect::<Vec<_>>().join("; ")
}

/// The output that is the row's answer: the largest, the first of equal ones.
fn best(outputs: &[f64]) -> usize {
    let mut best = 0;
    for (output, value) in outputs.iter().enumerate() {
        if *value > outputs[best] {
            best = output;
        }
    }
    best
}
