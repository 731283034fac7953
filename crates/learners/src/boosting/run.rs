//! The rounds of a fit, one after the other: where they start, what is reported, when they end.

use segue_model::{Combine, Ensemble, Tree};

use super::dart::Dropped;
use super::table::{Margins, Rows, add_tree};
use super::{Boosting, Tools};
use crate::{FitOptions, Fitted, LearnError, LossPoint, Progress};

/// Rounds in a row without a question after which a fit ends that draws rows, columns or cuts. One that draws
/// none ends with the first: the next would look at the same.
const BARREN_ROUNDS: usize = 100;
/// Training rows on which the training loss is watched, at most; evenly spaced.
const WATCHED_ROWS: usize = 16_384;

/// A fit under way.
pub(super) struct Run<'a> {
    boosting: &'a Boosting<'a>,
    options: &'a FitOptions<'a>,
    margins: Margins,
    valid: Option<(&'a Rows<'a>, Margins)>,
    /// Round by round, output by output.
    trees: Vec<Tree>,
    history: Vec<LossPoint>,
    best_iteration: usize,
    best_loss: f64,
    /// Rounds without a question since the last one with any.
    n_barren: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        boosting: &'a Boosting<'a>,
        valid: Option<&'a Rows<'a>>,
        options: &'a FitOptions<'a>,
    ) -> Self {
        let margins = |rows: &Rows<'_>| Margins::constant(boosting.base, rows.labels().len());
        Self {
            boosting,
            options,
            margins: margins(boosting.train),
            valid: valid.map(|rows| (rows, margins(rows))),
            trees: Vec::new(),
            history: Vec::new(),
            best_iteration: 0,
            best_loss: f64::INFINITY,
            n_barren: 0,
        }
    }

    pub(super) fn fit(mut self) -> Result<Fitted, LearnError> {
        let n_rounds = self.boosting.params.n_rounds;
        let mut tools = Tools::new(self.boosting);
        let mut done = self.options.start.is_some_and(|start| self.replay(start));
        while !done && self.history.len() < n_rounds {
            let iteration = self.history.len() + 1;
            let dropped = self.dropped(iteration);
            self.add_rounds(&dropped.rounds, -1.0);
            let round = self.boosting.round(
                iteration,
                self.boosting.params.learning_rate * dropped.new_factor(),
                &mut tools,
                &mut self.margins,
                self.valid.as_mut().map(|(rows, margins)| (rows.codes, margins)),
            )?;
            if !is_barren(&round) {
                self.shrink_rounds(&dropped.rounds, dropped.old_factor());
            } else if !self.boosting.is_drawn() {
                break;
            }
            self.add_rounds(&dropped.rounds, 1.0);
            self.trees.extend(round);
            done = self.record();
            self.report()?;
        }
        self.check_watched()?;
        while self.best_iteration > 0 && is_barren(self.round(self.best_iteration - 1)) {
            self.best_iteration -= 1;
        }
        self.trees.truncate(self.best_iteration * self.boosting.base.len());
        Ok(Fitted {
            ensemble: self.boosting.ensemble(self.trees),
            best_iteration: self.best_iteration,
            history: self.history,
            learner_name: "boosting",
            out_of_bag: None,
        })
    }

    /// Takes the rounds of `start` as if they had been grown here: margins are added up in the same order
    /// and losses judged round by round. Returns whether the fit was over.
    fn replay(&mut self, start: &Ensemble) -> bool {
        let mut done = false;
        for round in start.trees.chunks(self.boosting.base.len()) {
            let first = self.trees.len();
            self.trees.extend_from_slice(round);
            self.add_trees(first, 1.0);
            done = self.record();
        }
        done
    }

    /// The trees of a round, from 0.
    fn round(&self, round: usize) -> &[Tree] {
        let n_outputs = self.boosting.base.len();
        &self.trees[round * n_outputs..][..n_outputs]
    }

    /// What the round `iteration` leaves out. Rounds without a question have nothing to leave.
    fn dropped(&self, iteration: usize) -> Dropped {
        let params = self.boosting.params;
        let mut dropped = match params.dart {
            Some(dart) => Dropped::draw(dart, iteration, params.seed),
            None => Dropped { rounds: Vec::new() },
        };
        dropped.rounds.retain(|&round| !is_barren(self.round(round)));
        dropped
    }

    /// Adds `factor` times the trees of rounds to all margins.
    fn add_rounds(&mut self, rounds: &[usize], factor: f64) {
        rounds.iter().for_each(|round| self.add_trees(round * self.boosting.base.len(), factor));
    }

    /// The same for the round whose first tree is `first`.
    fn add_trees(&mut self, first: usize, factor: f64) {
        let trees = self.trees[first..].iter().zip(&mut self.margins.0);
        trees.for_each(|(tree, m)| add_tree(tree, factor, self.boosting.train.data, m));
        if let Some((rows, margins)) = &mut self.valid {
            let trees = self.trees[first..].iter().zip(&mut margins.0);
            trees.for_each(|(tree, margins)| add_tree(tree, factor, rows.data, margins));
        }
    }

    fn shrink_rounds(&mut self, rounds: &[usize], factor: f64) {
        let n_outputs = self.boosting.base.len();
        for &round in rounds {
            let trees = &mut self.trees[round * n_outputs..][..n_outputs];
            let values = trees.iter_mut().flat_map(|tree| &mut tree.leaf_values);
            values.for_each(|value| *value *= factor);
        }
    }

    /// Judges the margins after a round. Returns whether the fit is over: a better validation loss or a round
    /// with a question has been waited for long enough.
    fn record(&mut self) -> bool {
        let (boosting, iteration) = (self.boosting, self.history.len() + 1);
        let stride = boosting.train.labels().len().div_ceil(WATCHED_ROWS).max(1);
        let train_loss = boosting.train.loss(boosting.objective, &self.margins, stride);
        let valid_loss =
            self.valid.as_ref().map(|(rows, margins)| rows.loss(boosting.objective, margins, 1));
        self.history.push(LossPoint { iteration, train_loss, valid_loss });
        self.n_barren = if is_barren(self.round(iteration - 1)) { self.n_barren + 1 } else { 0 };
        let is_spent = boosting.is_drawn() && self.n_barren >= BARREN_ROUNDS;
        let patience = boosting.params.early_stopping_rounds;
        match valid_loss {
            Some(loss) if patience > 0 => {
                if loss < self.best_loss {
                    (self.best_iteration, self.best_loss) = (iteration, loss);
                }
                is_spent || iteration - self.best_iteration >= patience
            }
            _ => {
                self.best_iteration = iteration;
                is_spent
            }
        }
    }

    /// A watched loss that never was a number leaves no best round to keep.
    fn check_watched(&self) -> Result<(), LearnError> {
        let watched = self.boosting.params.early_stopping_rounds > 0 && self.best_iteration == 0;
        let first = self.history.first().filter(|_| watched).and_then(|first| first.valid_loss);
        first.map_or(Ok(()), |value| {
            Err(LearnError::ValidationLoss {
                objective: self.boosting.objective.name(),
                value,
                iteration: self.history.len(),
            })
        })
    }

    /// Tells the caller of the last round; saves the trees so far if it is time or the caller cancels.
    fn report(&self) -> Result<(), LearnError> {
        let Some(&LossPoint { iteration, train_loss, valid_loss }) = self.history.last() else {
            return Ok(());
        };
        let n_iterations = self.boosting.params.n_rounds;
        let report = Progress { iteration, n_iterations, train_loss, valid_loss };
        let cancelled = (self.options.progress)(report).is_break();
        if let Some(checkpoint) = &self.options.checkpoint {
            let due = checkpoint.every > 0 && iteration.is_multiple_of(checkpoint.every);
            if due || cancelled {
                (checkpoint.save)(&self.boosting.ensemble(self.trees.clone()));
            }
        }
        if cancelled { Err(LearnError::Cancelled { iteration }) } else { Ok(()) }
    }
}

/// Whether a round adds nothing to any row.
fn is_barren(round: &[Tree]) -> bool {
    let is_nothing =
        |tree: &Tree| tree.nodes.is_empty() && tree.leaf_values.iter().all(|&value| value == 0.0);
    round.iter().all(is_nothing)
}

impl Boosting<'_> {
    fn ensemble(&self, trees: Vec<Tree>) -> Ensemble {
        let n_outputs = self.base.len() as u32;
        Ensemble {
            tree_output: (0..trees.len() as u32).map(|tree| tree % n_outputs).collect(),
            trees,
            base: self.base.to_vec(),
            combine: Combine::Sum,
            link: self.objective.link(),
        }
    }
}
