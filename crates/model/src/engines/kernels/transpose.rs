//! Rows of bytes as columns.

/// Rows and columns of a square of bytes.
pub(in crate::engines) const TILE: usize = 16;

/// Byte `i` of row `j` becomes byte `j` of row `i`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(in crate::engines) fn transposed(rows: [&[i8; TILE]; TILE]) -> [[i8; TILE]; TILE] {
    // Part of every x86-64, so that all levels share it.
    use std::arch::x86_64::{_mm_loadu_si128, _mm_storeu_si128};
    use std::arch::x86_64::{_mm_unpackhi_epi8, _mm_unpacklo_epi8};
    // SAFETY: each reference covers the 16 bytes that are read.
    let mut rows = rows.map(|row| unsafe { _mm_loadu_si128(row.as_ptr().cast()) });
    // A row and the one eight behind it, byte by byte in turn: four times, and each has moved to its column.
    for _ in 0..TILE.ilog2() {
        rows = std::array::from_fn(|at| {
            let (one, other) = (rows[at / 2], rows[at / 2 + TILE / 2]);
            if at % 2 == 0 {
                // SAFETY: the instruction is part of every x86-64.
                unsafe { _mm_unpacklo_epi8(one, other) }
            } else {
                // SAFETY: the instruction is part of every x86-64.
                unsafe { _mm_unpackhi_epi8(one, other) }
            }
        });
    }
    rows.map(|row| {
        let mut bytes = [0; TILE];
        // SAFETY: the array has the 16 bytes that are written.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), row) };
        bytes
    })
}

/// Byte `i` of row `j` becomes byte `j` of row `i`.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(in crate::engines) fn transposed(rows: [&[i8; TILE]; TILE]) -> [[i8; TILE]; TILE] {
    std::array::from_fn(|column| rows.map(|row| row[column]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_in_the_row_of_its_column() {
        let rows: [[i8; TILE]; TILE] =
            std::array::from_fn(|row| std::array::from_fn(|column| (row * TILE + column) as i8));
        let turned = transposed(rows.each_ref());
        for (at, row) in turned.iter().enumerate() {
            assert_eq!(*row, std::array::from_fn(|column| (column * TILE + at) as i8));
        }
    }
}
