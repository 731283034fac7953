//! One compiled model, and the choice of an engine.

mod block;
mod row;

use std::fmt;
use std::ops::Range;

use segue_dataset::Matrix;

use super::costs::Costs;
use super::encoding::{Encoding, encode};
use super::instructions::Instructions;
use super::kernels::{LANES, Lanes};
use super::leaves::Leaves;
use super::masks::{MaskForest, MaskRoom};
use super::select::{SelectForest, Work};
use super::walk::WalkForest;
use crate::courtesy::giving_way;
use crate::{Combine, Ensemble};

/// Vectors of a block of many rows, and of a block of few.
const MANY: usize = 4;
const FEW: usize = 1;

/// Trees whose engines are worth a thread each to compile; in tests few, so that both ways are gone.
const MANY_TREES: usize = if cfg!(test) { 4 } else { 1_000 };

/// A way from a row to its margins. All give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The reference walk over `f64` thresholds.
    Walker,
    /// Walks over codes, sixteen side by side.
    Walk,
    /// All nodes of a tree at once, row by row.
    Masks,
    /// Every node for a block of rows.
    Select,
}

/// An ensemble made ready for scoring; immutable, and shared between threads without locks.
#[derive(Clone)]
pub struct Scorer {
    plan: Plan,
    instructions: Instructions,
    n_columns: usize,
    base: Vec<f64>,
    /// Trees of each output where margins are means, otherwise empty.
    divisors: Vec<f64>,
}

#[derive(Clone)]
enum Plan {
    Walker(Box<Ensemble>),
    Codes(Box<Codes>),
}

/// An ensemble over codes.
#[derive(Clone)]
struct Codes {
    encoding: Encoding,
    leaves: Leaves,
    masks: Option<MaskForest>,
    walk: Option<WalkForest>,
    select: SelectForest,
    /// Rows from which a block beats rows one by one.
    min_block_rows: usize,
}

/// Room for scoring, reused from call to call, so that scoring a row does not allocate after the first.
#[derive(Debug, Clone, Default)]
pub struct EngineScratch {
    /// Byte codes of a block, column by column.
    bytes: Vec<Lanes>,
    /// Rank codes, row by row.
    ranks: Vec<u16>,
    masks: MaskRoom,
    /// One row's features.
    row: Vec<f64>,
    /// Sums of a block, output by output.
    sums: Vec<[f64; LANES]>,
    /// Places of values of a block's rows.
    places: Vec<u32>,
    work: Work,
}

impl Scorer {
    /// Compiles an ensemble for rows of `n_columns` features, for this machine.
    ///
    /// # Panics
    /// If the ensemble would not pass the checks of [`crate::Model::new`]: indices in range, parents
    /// before children, no NaN threshold.
    #[must_use]
    pub fn compile(ensemble: &Ensemble, n_columns: usize) -> Self {
        Self::compile_at(ensemble, n_columns, Instructions::best())
    }

    /// Compiles for these instructions, with the engines that are cheapest there.
    pub(super) fn compile_at(
        ensemble: &Ensemble,
        n_columns: usize,
        instructions: Instructions,
    ) -> Self {
        let plan = match Codes::cheapest(ensemble, n_columns, instructions) {
            Some(codes) => Plan::Codes(Box::new(codes)),
            None => Plan::Walker(Box::new(ensemble.clone())),
        };
        Self::of(plan, ensemble, n_columns, instructions)
    }

    /// Compiles for one engine and level, for tests and benches; `None` if the engine cannot take the
    /// model: more thresholds, columns or sets than its codes tell apart, or leaves than its indices.
    ///
    /// # Panics
    /// As [`Self::compile`].
    #[must_use]
    pub fn compile_for(
        ensemble: &Ensemble,
        n_columns: usize,
        instructions: Instructions,
        engine: Engine,
    ) -> Option<Self> {
        let plan = match engine {
            Engine::Walker => Plan::Walker(Box::new(ensemble.clone())),
            _ => Plan::Codes(Box::new(Codes::only(ensemble, n_columns, engine)?)),
        };
        Some(Self::of(plan, ensemble, n_columns, instructions))
    }

    fn of(plan: Plan, ensemble: &Ensemble, n_columns: usize, instructions: Instructions) -> Self {
        let divisors = match ensemble.combine {
            Combine::Sum => Vec::new(),
            Combine::Mean => ensemble.n_trees_by_output(),
        };
        Self { plan, instructions, n_columns, base: ensemble.base.clone(), divisors }
    }

    /// Number of outputs.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        self.base.len()
    }

    /// The engine that scores `n_rows` rows given at once.
    #[must_use]
    pub fn engine_for(&self, n_rows: usize) -> Engine {
        match &self.plan {
            Plan::Walker(_) => Engine::Walker,
            Plan::Codes(codes) => codes.engine_for(n_rows),
        }
    }

    /// Margins of a row into `out`, shape `(n_outputs,)`.
    ///
    /// # Panics
    /// If the row has not `n_columns` values or `out` is not `n_outputs` long.
    pub fn margins(&self, row: &[f64], scratch: &mut EngineScratch, out: &mut [f64]) {
        assert_eq!(row.len(), self.n_columns, "row must have n_columns values");
        assert_eq!(out.len(), self.n_outputs(), "out must have n_outputs values");
        match &self.plan {
            Plan::Walker(ensemble) => ensemble.margins(row, out),
            Plan::Codes(codes) => {
                out.fill(0.0);
                self.instructions.run(row::AddRow { codes, row, scratch, sums: out });
                self.finish(out);
            }
        }
    }

    /// Margins of the rows `rows` of a table into `out`, row-major, shape `(n_rows, n_outputs)`.
    /// A row's margins do not depend on the rows around it.
    ///
    /// # Panics
    /// If the table has not `n_columns` columns, or `rows` or the length of `out` is out of range.
    pub fn margins_of_rows(
        &self,
        table: &Matrix,
        rows: Range<usize>,
        scratch: &mut EngineScratch,
        out: &mut [f64],
    ) {
        assert_eq!(table.n_columns(), self.n_columns, "the table must have n_columns columns");
        assert!(rows.end <= table.n_rows(), "rows must be rows of the table");
        let n_outputs = self.n_outputs();
        assert_eq!(out.len(), rows.len() * n_outputs, "out must have n_outputs values a row");
        let (mut rows, mut out) = (rows, out);
        while !rows.is_empty() {
            let n = match &self.plan {
                Plan::Codes(codes) if rows.len() >= codes.min_block_rows => {
                    let n = rows.len().min(MANY * LANES);
                    let n = if n > 2 * LANES { n } else { n.min(LANES) };
                    let block = rows.start..rows.start + n;
                    let block = block::AddBlock { codes, table, rows: block, scratch };
                    self.instructions.run(block);
                    block::copy_sums(&scratch.sums, n, n_outputs, &mut out[..n * n_outputs]);
                    out[..n * n_outputs].chunks_exact_mut(n_outputs).for_each(|of| self.finish(of));
                    n
                }
                _ => {
                    let mut row = std::mem::take(&mut scratch.row);
                    row.resize(self.n_columns, 0.0);
                    table.copy_row(rows.start, &mut row);
                    self.margins(&row, scratch, &mut out[..n_outputs]);
                    scratch.row = row;
                    1
                }
            };
            rows.start += n;
            out = &mut out[n * n_outputs..];
        }
    }

    /// Turns sums of tree values into margins, as [`Ensemble::margins`] does.
    #[inline]
    fn finish(&self, sums: &mut [f64]) {
        sums.iter_mut().zip(&self.divisors).for_each(|(sum, n_trees)| *sum /= n_trees);
        sums.iter_mut().zip(&self.base).for_each(|(sum, base)| *sum += base);
    }
}

impl Codes {
    /// With the layouts that the costs ask for.
    fn cheapest(ensemble: &Ensemble, n_columns: usize, instructions: Instructions) -> Option<Self> {
        let costs = Costs::of(instructions);
        let encoded = encode(ensemble, n_columns)?;
        let (leaves, ranks) = Leaves::new(ensemble)?;
        let of_rows = || MaskForest::new(ensemble, &encoded, (&leaves, &ranks));
        let of_blocks = || {
            let mut select = SelectForest::default();
            let (mut walk_cost, mut block_cost) = (0.0, 0.0);
            let mut rest = &encoded.questions[..];
            for (index, tree) in giving_way(ensemble.trees.iter().enumerate()) {
                let (questions, behind) = rest.split_at(tree.nodes.len());
                rest = behind;
                let (by_walk, by_select) = (costs.walk(tree), costs.select(tree));
                let fits = SelectForest::takes(tree) && by_select < by_walk * LANES as f64;
                walk_cost += by_walk;
                block_cost += if fits { by_select } else { by_walk * LANES as f64 };
                select.push(fits.then_some(tree), ranks.of_tree(index), questions);
            }
            (select, walk_cost, block_cost)
        };
        let is_long = ensemble.trees.len() >= MANY_TREES;
        let (masks, (select, walk_cost, block_cost)) = both(is_long, of_rows, of_blocks);
        let mask_cost = masks.as_ref().map_or(f64::INFINITY, |masks| costs.masks(masks.n_pieces()));
        let needs_walk = mask_cost >= walk_cost || !select.takes_all();
        let walk =
            if needs_walk { WalkForest::new(ensemble, &encoded, (&leaves, &ranks)) } else { None };
        // Masks take what has too many columns for a walk, and then whatever they cost.
        let masks = masks.filter(|_| mask_cost < walk_cost || walk.is_none());
        if walk.is_none() && (masks.is_none() || !select.takes_all()) {
            return None;
        }
        let row_cost = if masks.is_some() { mask_cost } else { walk_cost };
        let min_block_rows = ((block_cost / row_cost.max(1.0)).ceil() as usize).clamp(2, LANES);
        let encoding = encoded.encoding;
        Some(Self { encoding, leaves, masks, walk, select, min_block_rows })
    }

    /// With the layout of one engine, which then scores rows and blocks.
    fn only(ensemble: &Ensemble, n_columns: usize, engine: Engine) -> Option<Self> {
        let encoded = encode(ensemble, n_columns)?;
        let (leaves, ranks) = Leaves::new(ensemble)?;
        let mut select = SelectForest::default();
        let mut rest = &encoded.questions[..];
        for (index, tree) in ensemble.trees.iter().enumerate() {
            let (questions, behind) = rest.split_at(tree.nodes.len());
            rest = behind;
            let takes = engine == Engine::Select;
            if takes && !SelectForest::takes(tree) {
                return None;
            }
            select.push(takes.then_some(tree), ranks.of_tree(index), questions);
        }
        let (mut walk, mut masks) = (None, None);
        match engine {
            Engine::Walker | Engine::Select => {}
            Engine::Walk => walk = Some(WalkForest::new(ensemble, &encoded, (&leaves, &ranks))?),
            Engine::Masks => masks = Some(MaskForest::new(ensemble, &encoded, (&leaves, &ranks))?),
        }
        let min_block_rows = if masks.is_some() { usize::MAX } else { 1 };
        let encoding = encoded.encoding;
        Some(Self { encoding, leaves, masks, walk, select, min_block_rows })
    }

    fn engine_for(&self, n_rows: usize) -> Engine {
        let in_block = n_rows >= self.min_block_rows;
        if !in_block && self.masks.is_some() {
            Engine::Masks
        } else if in_block && self.select.takes_some() {
            Engine::Select
        } else {
            Engine::Walk
        }
    }
}

/// Does two works, the first on a thread of its own if `is_long` and there can be one; a panic goes on to
/// the caller.
fn both<A: Send, B>(is_long: bool, a: impl Fn() -> A + Sync, b: impl FnOnce() -> B) -> (A, B) {
    if !is_long {
        return (a(), b());
    }
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, &a);
        let b = b();
        let a = match other {
            Ok(other) => other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_no_thread) => a(),
        };
        (a, b)
    })
}

impl fmt::Debug for Scorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scorer")
            .field("instructions", &self.instructions.name())
            .field("one_row", &self.engine_for(1))
            .field("many_rows", &self.engine_for(MANY * LANES))
            .finish_non_exhaustive()
    }
}
