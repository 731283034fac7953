//! The best question a node can ask of one column, from the column's histogram.

mod bounds;
mod few;
mod scan;
mod single;
#[cfg(test)]
mod tests;

use crate::error::{check_integer, check_real};
use rayon::prelude::*;

use crate::ParamError;
use crate::binning::{Binning, Bundles, ColumnBins, MISSING_CODE};
use crate::histogram::{Cell, Histogram, Layout, Scaled};
use crate::sampling::hashed;
pub(crate) use bounds::Bounds;
pub use bounds::Monotone;
pub(crate) use few::{FEW_ROWS, FewRows};
pub(crate) use scan::Cuts;
use scan::ScanRules;

/// A set of byte codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CodeSet([u64; 4]);

impl CodeSet {
    pub(crate) fn insert(&mut self, code: u8) {
        self.0[usize::from(code >> 6)] |= 1 << (code & 63);
    }

    #[inline]
    pub(crate) fn contains(&self, code: u8) -> bool {
        self.0[usize::from(code >> 6)] >> (code & 63) & 1 == 1
    }

    /// Codes `1..=last`.
    pub(crate) fn up_to(last: u8) -> Self {
        let ends = u32::from(last) + 1;
        // Bits below the end, word by word; bit 0 is the missing code.
        let word = |word: u32| match ends.saturating_sub(word * u64::BITS) {
            0 => 0,
            n_bits => u64::MAX >> u64::BITS.saturating_sub(n_bits),
        };
        Self([word(0) & !1, word(1), word(2), word(3)])
    }

    /// The codes of values (not missing), ascending.
    pub(crate) fn value_codes(self) -> impl Iterator<Item = u8> + Clone {
        self.codes().filter(|&code| code != MISSING_CODE)
    }

    /// All codes, ascending.
    pub(crate) fn codes(self) -> impl Iterator<Item = u8> + Clone {
        [0u8, 64, 128, 192].into_iter().zip(self.0).flat_map(|(first, mut word)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as u8;
                (word != 0).then(|| {
                    word &= word - 1;
                    first + bit
                })
            })
        })
    }
}

/// A question and what it gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) column: u32,
    /// Last code that goes left, for a number; categories have only the set.
    pub(crate) at_most: Option<u8>,
    /// Every code that goes left, missing included.
    pub(crate) left_codes: CodeSet,
    /// Second-order decrease of the summed loss, times two.
    pub(crate) gain: f64,
    pub(crate) left: Cell,
    pub(crate) right: Cell,
}

/// Rules for splitting a category into two sets, with LightGBM's defaults.
///
/// Up to `one_vs_rest_up_to` categories, each alone is tried against the rest. Above, categories are
/// ordered by smoothed gradient and sets are taken from both ends (Fisher 1958; LightGBM, Ke et al. 2017).
/// Missing takes part as one more category. Categories without a byte code of their own never leave the
/// right side.
#[derive(Debug, Clone, PartialEq)]
pub struct CategoryRules {
    /// Categories present in a node up to which one is split from the rest, 0 to 256; LightGBM's
    /// `max_cat_to_onehot`. Default 4.
    pub one_vs_rest_up_to: usize,
    /// Added to a category's second derivative when ordering; also the rows it needs to take part. LightGBM's
    /// `cat_smooth`. Default 10.
    pub smooth: f64,
    /// L2 penalty on top of the leaf's when judging a set; LightGBM's `cat_l2`. Default 10.
    pub l2: f64,
    /// Categories in a set, at most, 1 to 256; LightGBM's `max_cat_threshold`. Default 32.
    pub max_categories: usize,
    /// Rows by which a set must grow before it is judged again; LightGBM's `min_data_per_group`. Default 100.
    pub min_rows_per_group: usize,
}

impl Default for CategoryRules {
    fn default() -> Self {
        Self {
            one_vs_rest_up_to: 4,
            smooth: 10.0,
            l2: 10.0,
            max_categories: 32,
            min_rows_per_group: 100,
        }
    }
}

impl CategoryRules {
    /// Every set of the ordered categories, without smoothing: exact for one output.
    pub(crate) fn exhaustive() -> Self {
        Self {
            one_vs_rest_up_to: 0,
            smooth: 0.0,
            l2: 0.0,
            max_categories: 256,
            min_rows_per_group: 0,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ParamError> {
        for (field, value) in [("cat_smooth", self.smooth), ("cat_l2", self.l2)] {
            let fits = value.is_finite() && value >= 0.0;
            check_real(field, value, fits, "a finite number not below 0")?;
        }
        check_integer("max_cat_threshold", self.max_categories, 1, 256)?;
        check_integer("max_cat_to_onehot", self.one_vs_rest_up_to, 0, 256)?;
        check_integer("min_data_per_group", self.min_rows_per_group, 0, u64::from(u32::MAX))
    }
}

/// What a split must satisfy and how it is judged.
#[derive(Debug, Clone)]
pub(crate) struct SplitRules {
    pub(crate) lambda_l1: f64,
    pub(crate) lambda_l2: f64,
    pub(crate) min_rows: u64,
    pub(crate) min_hessian: f64,
    pub(crate) min_gain: f64,
    pub(crate) categories: CategoryRules,
    /// One entry a column; empty if all are free.
    pub(crate) monotone: Vec<Monotone>,
}

/// Gains below this share of the parent's score are rounding noise.
pub(crate) const NOISE: f64 = 1e-12;

/// `value` moved towards 0 by `l1`.
pub(crate) fn soft_threshold(value: f64, l1: f64) -> f64 {
    value.signum() * (value.abs() - l1).max(0.0)
}

/// The rules with the units of one round's gradients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge<'a> {
    rules: &'a SplitRules,
    gradient_unit: f64,
    hessian_unit: f64,
    /// Smallest hessian of a leaf, in units.
    min_hessian: u64,
    min_rows: u64,
    /// Between what the values of the node's leaves must lie; `None` in a fit without constraints.
    bounds: Option<Bounds>,
    /// The node's draw if only one random question a column is tried (extra-trees).
    draw: Option<u64>,
}

/// The best question so far of one column.
struct Best {
    above: f64,
    found: Option<Candidate>,
    parent: f64,
}

impl Best {
    /// Takes the cut behind `code`. `left` are its left side's sums, `total` the node's.
    fn take_cut(
        &mut self,
        code: u8,
        missing_left: bool,
        no_missing: bool,
        gain: f64,
        [left, total]: [Cell; 2],
    ) {
        let right = total.minus(left);
        let mut left_codes = CodeSet::up_to(code);
        // Missing not seen here: the side of more rows.
        if missing_left || no_missing && left.n_rows() >= right.n_rows() {
            left_codes.insert(MISSING_CODE);
        }
        self.above = gain;
        let at_most = Some(code);
        self.found = Some(Candidate { column: 0, at_most, left_codes, gain, left, right });
    }
}

/// Sides on which missing values are tried: without any, only right.
fn missing_sides(cells: &[Cell]) -> &'static [bool] {
    if cells[usize::from(MISSING_CODE)].n_rows() > 0 { &[false, true] } else { &[false] }
}

/// What is on the left of every cut.
fn before_values(cells: &[Cell], missing_left: bool) -> Cell {
    if missing_left { cells[usize::from(MISSING_CODE)] } else { Cell::default() }
}

impl<'a> Judge<'a> {
    pub(crate) fn new(rules: &'a SplitRules, scaled: &Scaled) -> Self {
        Self {
            rules,
            gradient_unit: scaled.gradient_unit,
            hessian_unit: scaled.hessian_unit,
            min_hessian: (rules.min_hessian / scaled.hessian_unit).ceil() as u64,
            min_rows: rules.min_rows.max(1),
            bounds: None,
            draw: None,
        }
    }

    /// At a node whose leaves have bounds, or which tries random questions only.
    pub(crate) fn at(self, bounds: Option<Bounds>, draw: Option<u64>) -> Self {
        Self { bounds, draw, ..self }
    }

    /// Twice the loss decrease of the best value for a leaf with these sums.
    #[inline]
    pub(crate) fn score(&self, sums: Cell, extra_l2: f64) -> f64 {
        let gradient =
            soft_threshold(sums.gradient() as f64 * self.gradient_unit, self.rules.lambda_l1);
        let hessian = sums.hessian() as f64 * self.hessian_unit + self.rules.lambda_l2 + extra_l2;
        match self.bounds {
            Some(bounds) => bounds.score(gradient, hessian),
            None if hessian > 0.0 => gradient * gradient / hessian,
            None => 0.0,
        }
    }

    fn fits(&self, sums: Cell) -> bool {
        sums.n_rows() >= self.min_rows && sums.hessian() >= self.min_hessian
    }

    /// The best question of a column from its cells by code. Among equals the first: missing right before
    /// missing left, low codes before high ones, sets from the low end before sets from the high end. `cuts` is
    /// only room to write on.
    pub(crate) fn best_split(
        &self,
        column: u32,
        bins: &ColumnBins,
        cells: &[Cell],
        total: Cell,
        cuts: &mut Cuts,
    ) -> Option<Candidate> {
        let mut best = self.nothing_yet(total);
        let cells = &cells[..bins.n_codes()];
        if bins.is_category() {
            self.scan_category(column, cells, total, &mut best);
        } else if self.is_single() {
            self.scan_number_singly(column, cells, total, &mut best);
        } else {
            cuts.fill(cells.iter().enumerate().skip(1).map(|(code, &cell)| (code as u8, cell)));
            self.scan_number(cells, total, cuts, &mut best);
        }
        best.found.map(|found| Candidate { column, ..found })
    }

    fn nothing_yet(&self, total: Cell) -> Best {
        let parent = self.score(total, 0.0);
        Best { above: self.rules.min_gain.max(parent * NOISE), found: None, parent }
    }

    /// Whether cuts of a number have to be judged one by one.
    fn is_single(&self) -> bool {
        self.bounds.is_some() || self.draw.is_some()
    }

    /// `cuts` hold the column's values.
    fn scan_number(&self, cells: &[Cell], total: Cell, cuts: &mut Cuts, best: &mut Best) {
        let rules = self.scan_rules();
        let no_missing = cells[usize::from(MISSING_CODE)].n_rows() == 0;
        for &missing_left in missing_sides(cells) {
            let before = before_values(cells, missing_left);
            let Some(cut) = cuts.best(before, total, &rules) else {
                continue;
            };
            let gain = cut.score - best.parent;
            if gain > best.above {
                best.take_cut(cut.code, missing_left, no_missing, gain, [cut.left, total]);
            }
        }
    }

    fn scan_rules(&self) -> ScanRules {
        ScanRules {
            gradient_unit: self.gradient_unit,
            hessian_unit: self.hessian_unit,
            lambda_l1: self.rules.lambda_l1,
            lambda_l2: self.rules.lambda_l2,
            min_rows: self.min_rows,
            min_hessian: self.min_hessian,
        }
    }

    fn scan_category(&self, column: u32, cells: &[Cell], total: Cell, best: &mut Best) {
        let draw = self.draw.map(|key| hashed(key, u64::from(column)));
        // The last code is "any other category", which no set can name.
        let n_named = cells.len() - 1;
        let present = |&code: &u8| cells[usize::from(code)].n_rows() > 0;
        let codes: Vec<u8> = (0..n_named as u8).filter(present).collect();
        let rules = &self.rules.categories;
        if codes.len() <= rules.one_vs_rest_up_to {
            let drawn = draw.map(|draw| draw % codes.len().max(1) as u64);
            for (_, &code) in (0..).zip(&codes).filter(|(at, _)| drawn.is_none_or(|d| d == *at)) {
                self.judge_set(cells, total, &[code], 0.0, best);
            }
            return;
        }
        let takes_part = |&code: &u8| cells[usize::from(code)].n_rows() as f64 >= rules.smooth;
        let mut ordered: Vec<(f64, u8)> = codes
            .into_iter()
            .filter(takes_part)
            .map(|code| {
                let cell = cells[usize::from(code)];
                let hessian = cell.hessian() as f64 * self.hessian_unit + rules.smooth;
                (cell.gradient() as f64 * self.gradient_unit / hessian.max(f64::MIN_POSITIVE), code)
            })
            .collect();
        ordered.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut codes: Vec<u8> = ordered.into_iter().map(|(_, code)| code).collect();
        self.scan_ordered(cells, total, &codes, draw, best);
        codes.reverse();
        self.scan_ordered(cells, total, &codes, draw, best);
    }

    /// Judges the beginnings of `codes`, up to half of them, or the one that is drawn.
    fn scan_ordered(
        &self,
        cells: &[Cell],
        total: Cell,
        codes: &[u8],
        draw: Option<u64>,
        best: &mut Best,
    ) {
        let rules = &self.rules.categories;
        let longest = rules.max_categories.min(codes.len().div_ceil(2));
        if let Some(draw) = draw.filter(|_| longest > 0) {
            let end = 1 + (draw % longest as u64) as usize;
            self.judge_set(cells, total, &codes[..end], rules.l2, best);
            return;
        }
        let min_group = rules.min_rows_per_group as u64;
        let mut left = Cell::default();
        let mut group_rows = 0;
        for end in 1..=longest {
            let cell = cells[usize::from(codes[end - 1])];
            left.add(cell);
            group_rows += cell.n_rows();
            let right = total.minus(left);
            if right.n_rows() < self.min_rows.max(min_group) {
                break;
            }
            if left.n_rows() < self.min_rows || group_rows < min_group {
                continue;
            }
            group_rows = 0;
            self.judge_set(cells, total, &codes[..end], rules.l2, best);
        }
    }

    fn judge_set(&self, cells: &[Cell], total: Cell, codes: &[u8], extra_l2: f64, best: &mut Best) {
        let mut left = Cell::default();
        codes.iter().for_each(|&code| left.add(cells[usize::from(code)]));
        let right = total.minus(left);
        if !self.fits(left) || !self.fits(right) {
            return;
        }
        let gain = self.score(left, extra_l2) + self.score(right, extra_l2) - best.parent;
        if gain > best.above {
            best.above = gain;
            let mut left_codes = CodeSet::default();
            codes.iter().for_each(|&code| left_codes.insert(code));
            let no_missing = cells[usize::from(MISSING_CODE)].n_rows() == 0;
            // Missing not seen here: the side of more rows.
            if no_missing && left.n_rows() >= right.n_rows() {
                left_codes.insert(MISSING_CODE);
            }
            best.found =
                Some(Candidate { column: 0, at_most: None, left_codes, gain, left, right });
        }
    }
}

/// The one of the larger gain, the first among equals.
fn larger(best: Option<Candidate>, next: Option<Candidate>) -> Option<Candidate> {
    match (best, next) {
        (Some(best), Some(next)) => Some(if next.gain > best.gain { next } else { best }),
        (best, next) => best.or(next),
    }
}

/// Finds a node's best question over a round's columns.
#[derive(Clone, Copy)]
pub(crate) struct ColumnSearch<'a> {
    pub(crate) rules: &'a SplitRules,
    pub(crate) scaled: &'a Scaled,
    pub(crate) binning: &'a Binning,
    pub(crate) bundles: &'a Bundles,
    pub(crate) layout: &'a Layout,
    /// Ascending.
    pub(crate) columns: &'a [u32],
    /// See [`Judge::at`].
    pub(crate) bounds: Option<Bounds>,
    /// See [`Judge::at`].
    pub(crate) draw: Option<u64>,
}

impl ColumnSearch<'_> {
    pub(crate) fn judge(&self) -> Judge<'_> {
        Judge::new(self.rules, self.scaled).at(self.bounds, self.draw)
    }

    /// The question with the largest gain, of the lowest column among equals.
    pub(crate) fn best(
        &self,
        histogram: &Histogram,
        total: Cell,
        parallel: bool,
    ) -> Option<Candidate> {
        let judge = self.judge();
        let of_column = |memory: &mut SearchMemory, &column: &u32| {
            self.best_of(column, histogram, total, &judge, memory)
        };
        if parallel {
            let columns = self.columns.par_iter().with_min_len(4);
            columns.map_init(SearchMemory::default, of_column).reduce(|| None, larger)
        } else {
            let mut memory = SearchMemory::default();
            self.columns.iter().map(|column| of_column(&mut memory, column)).fold(None, larger)
        }
    }

    fn best_of(
        &self,
        column: u32,
        histogram: &Histogram,
        total: Cell,
        judge: &Judge<'_>,
        memory: &mut SearchMemory,
    ) -> Option<Candidate> {
        let bins = &self.binning.columns()[column as usize];
        let SearchMemory { of_codes, cuts } = memory;
        let cells = histogram.bundle(self.layout, self.bundles.bundle_of(column as usize));
        let cells = if self.bundles.is_alone(column as usize) {
            cells
        } else {
            let of_codes = &mut of_codes[..bins.n_codes()];
            of_codes.fill(Cell::default());
            self.bundles
                .for_each_code(column as usize, cells, |code, &cell| of_codes[code].add(cell));
            of_codes
        };
        judge.best_split(column, bins, cells, total, cuts)
    }
}

/// What a search writes on, column after column.
struct SearchMemory {
    /// Of a column that shares its bundle.
    of_codes: [Cell; 256],
    cuts: Cuts,
}

impl Default for SearchMemory {
    fn default() -> Self {
        Self { of_codes: [Cell::default(); 256], cuts: Cuts::new() }
    }
}
