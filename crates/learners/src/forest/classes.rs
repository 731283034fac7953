//! The best question for several classes: Gini on integer class weights.

use crate::binning::{CodeMatrix, ColumnBins, MISSING_CODE};
use crate::histogram::{Cell, Entry, Scaled};
use crate::sampling::{drawn_cut, hashed};
use crate::split::{Candidate, CodeSet, NOISE};

/// What a split must satisfy.
pub(super) struct ClassRules {
    pub(super) min_rows: u64,
    pub(super) min_gain: f64,
}

/// Row weights by class, and the counters of one column.
pub(super) struct ClassCells<'a> {
    scaled: Scaled,
    labels: &'a [f64],
    n_classes: usize,
    /// Scaled weight by code and class, shape `(256, n_classes)`.
    weights: Vec<u64>,
    /// Rows by code.
    n_rows: Vec<u64>,
}

/// Weights by class and rows of a side of a split.
#[derive(Clone)]
struct Side {
    weights: Vec<u64>,
    n_rows: u64,
}

impl Side {
    fn new(n_classes: usize) -> Self {
        Self { weights: vec![0; n_classes], n_rows: 0 }
    }

    /// Sum of squared class weights over their sum, in scaled units.
    fn score(&self) -> f64 {
        let total: u64 = self.weights.iter().sum();
        if total == 0 {
            return 0.0;
        }
        let squares: f64 = self.weights.iter().map(|&weight| (weight as f64).powi(2)).sum();
        squares / total as f64
    }
}

impl<'a> ClassCells<'a> {
    pub(super) fn new(scaled: Scaled, labels: &'a [f64], n_classes: usize) -> Self {
        let weights = vec![0; 256 * n_classes];
        Self { scaled, labels, n_classes, weights, n_rows: vec![0; 256] }
    }

    pub(super) fn scaled(&self) -> &Scaled {
        &self.scaled
    }

    pub(super) fn is_pure(&self, rows: &[Entry]) -> bool {
        let label = |entry: &Entry| self.labels[entry.row() as usize];
        rows.iter().all(|entry| label(entry) == label(&rows[0]))
    }

    /// The best question of a column. Among equals the first, as in the search for one output.
    /// Categories are ordered by their share of the node's heaviest class and cut once. With the node's
    /// `draw` one random cut is tried.
    pub(super) fn best_split(
        &mut self,
        codes: &CodeMatrix,
        column: u32,
        bins: &ColumnBins,
        rows: &[Entry],
        rules: &ClassRules,
        draw: Option<u64>,
    ) -> Option<Candidate> {
        self.count(codes, column, rows);
        let mut total = Side::new(self.n_classes);
        (0..bins.n_codes()).for_each(|code| self.add(&mut total, code as u8));
        let last = (bins.n_codes() - 1) as u8;
        let drawn = |order: &[u8]| {
            let draw = hashed(draw?, u64::from(column));
            let has_rows = |index: usize| self.n_rows[usize::from(order[index])] > 0;
            Some(drawn_cut(order.len(), has_rows, draw))
        };
        let mut best = Best {
            parent: total.score(),
            above: (rules.min_gain / self.scaled.hessian_unit).max(total.score() * NOISE),
            found: None,
            only: None,
        };
        if bins.is_category() {
            let order = self.category_order(last, &total);
            best.only = drawn(&order);
            self.scan(&order, &total, Side::new(self.n_classes), rules, &mut best);
            let (gain, end) = best.found?;
            let mut left_codes = CodeSet::default();
            order[..end].iter().for_each(|&code| left_codes.insert(code));
            return Some(self.candidate(column, None, left_codes, gain));
        }
        let order: Vec<u8> = (1..=last).collect();
        best.only = drawn(&order);
        self.scan(&order, &total, Side::new(self.n_classes), rules, &mut best);
        let mut missing_left = false;
        if self.n_rows[usize::from(MISSING_CODE)] > 0 {
            let before = best.found;
            let mut left = Side::new(self.n_classes);
            self.add(&mut left, MISSING_CODE);
            self.scan(&order, &total, left, rules, &mut best);
            missing_left = best.found != before;
        }
        let (gain, end) = best.found?;
        let at_most = order[end - 1];
        let mut left_codes = CodeSet::up_to(at_most);
        if missing_left {
            left_codes.insert(MISSING_CODE);
        }
        Some(self.candidate(column, Some(at_most), left_codes, gain))
    }

    fn count(&mut self, codes: &CodeMatrix, column: u32, rows: &[Entry]) {
        self.weights.fill(0);
        self.n_rows.fill(0);
        for entry in rows {
            let row = entry.row() as usize;
            let code = usize::from(codes.code(row, column as usize));
            let class = self.labels[row] as usize;
            self.weights[code * self.n_classes + class] += self.scaled.cell(row).hessian();
            self.n_rows[code] += 1;
        }
    }

    fn of_code(&self, code: u8) -> &[u64] {
        let start = usize::from(code) * self.n_classes;
        &self.weights[start..start + self.n_classes]
    }

    fn add(&self, side: &mut Side, code: u8) {
        side.n_rows += self.n_rows[usize::from(code)];
        side.weights.iter_mut().zip(self.of_code(code)).for_each(|(sum, weight)| *sum += weight);
    }

    /// Codes present in the node but "any other category", by share of the heaviest class, then code.
    fn category_order(&self, other: u8, total: &Side) -> Vec<u8> {
        let heaviest = (0..self.n_classes).max_by_key(|&class| total.weights[class]).unwrap_or(0);
        let mut order: Vec<(f64, u8)> = (0..other)
            .filter(|&code| self.n_rows[usize::from(code)] > 0)
            .map(|code| {
                let weights = self.of_code(code);
                let sum = weights.iter().sum::<u64>().max(1);
                (weights[heaviest] as f64 / sum as f64, code)
            })
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        order.into_iter().map(|(_, code)| code).collect()
    }

    /// Judges every beginning of `order`, or the only one to try, on top of what `left` holds already.
    fn scan(&self, order: &[u8], total: &Side, left: Side, rules: &ClassRules, best: &mut Best) {
        let mut left = left;
        let mut right = total.clone();
        right.n_rows -= left.n_rows;
        right.weights.iter_mut().zip(&left.weights).for_each(|(sum, weight)| *sum -= weight);
        for (index, &code) in order.iter().enumerate() {
            // A cut behind a code without rows is the same as the one before it, unless only it is tried.
            if self.n_rows[usize::from(code)] == 0 && best.only.is_none() {
                continue;
            }
            self.add(&mut left, code);
            right.n_rows -= self.n_rows[usize::from(code)];
            let weights = self.of_code(code);
            right.weights.iter_mut().zip(weights).for_each(|(sum, weight)| *sum -= weight);
            if right.n_rows < rules.min_rows.max(1) {
                break;
            }
            if left.n_rows < rules.min_rows || best.only.is_some_and(|only| only != index) {
                continue;
            }
            let gain = left.score() + right.score() - best.parent;
            if gain > best.above {
                best.above = gain;
                best.found = Some((gain, index + 1));
            }
        }
    }

    fn candidate(
        &self,
        column: u32,
        at_most: Option<u8>,
        mut left_codes: CodeSet,
        gain: f64,
    ) -> Candidate {
        let (mut left_rows, mut all_rows) = (0, 0);
        for (code, &n_rows) in (0..=u8::MAX).zip(&self.n_rows) {
            all_rows += n_rows;
            left_rows += if left_codes.contains(code) { n_rows } else { 0 };
        }
        if self.n_rows[usize::from(MISSING_CODE)] == 0 && 2 * left_rows >= all_rows {
            left_codes.insert(MISSING_CODE);
        }
        let gain = gain * self.scaled.hessian_unit;
        // The forest does not follow the sums down the tree.
        let (left, right) = (Cell::default(), Cell::default());
        Candidate { column, at_most, left_codes, gain, left, right }
    }
}

/// The best question so far: its gain and the length of the beginning that goes left.
struct Best {
    parent: f64,
    above: f64,
    found: Option<(f64, usize)>,
    /// Index of the only cut to try.
    only: Option<usize>,
}
