//! Nodes of few rows. A deep tree has thousands of them, and there clearing and searching every code of a
//! column would cost more than the rows: only codes that occur are touched.

#[cfg(test)]
mod tests;

use super::{Candidate, Cell, CodeSet, ColumnSearch, Cuts, Judge, larger};
use crate::binning::CodeMatrix;
use crate::histogram::Entry;

/// Rows below which a node is searched without a histogram.
pub(crate) const FEW_ROWS: usize = 256;

/// Memory of the search, for any number of nodes.
#[derive(Debug)]
pub(crate) struct FewRows {
    /// By code of the column at hand; zero in between.
    cells: Box<[Cell; 256]>,
    cuts: Box<Cuts>,
}

impl Default for FewRows {
    fn default() -> Self {
        Self { cells: Box::new([Cell::default(); 256]), cuts: Box::new(Cuts::new()) }
    }
}

impl ColumnSearch<'_> {
    /// What [`Self::best`] finds in the histogram of `rows`, found in the rows.
    pub(crate) fn best_of_few(
        &self,
        rows: &[Entry],
        codes: &CodeMatrix,
        memory: &mut FewRows,
    ) -> Option<Candidate> {
        let judge = self.judge();
        let mut total = Cell::default();
        rows.iter().for_each(|&entry| total.add(self.scaled.cell_of(entry)));
        let of_column = |&column: &u32| {
            let present = self.count(column, rows, codes, &mut memory.cells);
            let found = self.best_of_counted(column, present, total, &judge, memory);
            present.codes().for_each(|code| memory.cells[usize::from(code)] = Cell::default());
            found
        };
        self.columns.iter().map(of_column).fold(None, larger)
    }

    /// Adds the rows to the cells of their codes. Returns the codes that occur.
    fn count(
        &self,
        column: u32,
        rows: &[Entry],
        codes: &CodeMatrix,
        cells: &mut [Cell; 256],
    ) -> CodeSet {
        let mut present = CodeSet::default();
        let bundle = self.bundles.bundle_of(column as usize);
        let is_alone = self.bundles.is_alone(column as usize);
        for &entry in rows {
            // By row: the columns of a row lie in one cache line.
            let state = codes.row(entry.row() as usize)[bundle];
            let code = if is_alone { state } else { self.bundles.code(column as usize, state) };
            cells[usize::from(code)].add(self.scaled.cell_of(entry));
            present.insert(code);
        }
        present
    }

    fn best_of_counted(
        &self,
        column: u32,
        present: CodeSet,
        total: Cell,
        judge: &Judge<'_>,
        memory: &mut FewRows,
    ) -> Option<Candidate> {
        let (bins, cells) = (&self.binning.columns()[column as usize], &memory.cells[..]);
        if bins.is_category() || judge.is_single() {
            return judge.best_split(column, bins, cells, total, &mut memory.cuts);
        }
        let mut best = judge.nothing_yet(total);
        memory.cuts.fill(present.value_codes().map(|code| (code, cells[usize::from(code)])));
        judge.scan_number(cells, total, &mut memory.cuts, &mut best);
        best.found.map(|found| Candidate { column, ..found })
    }
}
