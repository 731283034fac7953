//! Which rows are in which leaf: one array of row numbers, each leaf a range of it.

use std::ops::Range;

use rayon::prelude::*;

use crate::CodeMatrix;
use crate::split::CodeSet;

/// Rows from which a range is split on several threads.
const PARALLEL_ROWS: usize = 32_768;

/// Row numbers, ascending within every leaf's range.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partition {
    rows: Vec<u32>,
    buffer: Vec<u32>,
}

impl Partition {
    /// All of `rows` in one range.
    pub(crate) fn reset(&mut self, rows: &[u32]) {
        self.rows.clear();
        self.rows.extend_from_slice(rows);
        self.buffer.resize(rows.len(), 0);
    }

    pub(crate) fn rows(&self, range: Range<usize>) -> &[u32] {
        &self.rows[range]
    }

    /// Moves the rows whose code of `column` is in `left_codes` to the front of `range`, keeping the
    /// order on both sides, and returns their number.
    pub(crate) fn split(
        &mut self,
        range: Range<usize>,
        codes: &CodeMatrix,
        column: u32,
        left_codes: CodeSet,
    ) -> usize {
        let goes_left: [bool; 256] = std::array::from_fn(|code| left_codes.contains(code as u8));
        let rows = &mut self.rows[range.clone()];
        let buffer = &mut self.buffer[range];
        let n_threads = rayon::current_num_threads();
        let part_rows = if n_threads > 1 && rows.len() >= PARALLEL_ROWS {
            rows.len().div_ceil(n_threads)
        } else {
            rows.len().max(1)
        };
        let split_part = |(rows, buffer): (&mut [u32], &mut [u32])| {
            split_part(rows, buffer, |row| {
                goes_left[usize::from(codes.code(row as usize, column as usize))]
            })
        };
        let left_counts: Vec<usize> = if part_rows < rows.len() {
            let parts = rows.par_chunks_mut(part_rows).zip(buffer.par_chunks_mut(part_rows));
            parts.map(split_part).collect()
        } else {
            vec![split_part((&mut *rows, &mut *buffer))]
        };
        let mut end = 0;
        for (part, &n_left) in left_counts.iter().enumerate() {
            let start = part * part_rows;
            rows.copy_within(start..start + n_left, end);
            end += n_left;
        }
        let n_left = end;
        for (part, &part_left) in left_counts.iter().enumerate() {
            let start = part * part_rows;
            let n_right = part_rows.min(buffer.len() - start) - part_left;
            rows[end..end + n_right].copy_from_slice(&buffer[start..start + n_right]);
            end += n_right;
        }
        n_left
    }
}

/// Left rows to the front of `rows`, right rows to the front of `buffer`, without a branch.
fn split_part(rows: &mut [u32], buffer: &mut [u32], goes_left: impl Fn(u32) -> bool) -> usize {
    let (mut n_left, mut n_right) = (0, 0);
    for index in 0..rows.len() {
        let row = rows[index];
        let left = goes_left(row);
        rows[n_left] = row;
        buffer[n_right] = row;
        n_left += usize::from(left);
        n_right += usize::from(!left);
    }
    n_left
}
