//! Squares of bits.

/// Bits of a side.
pub(super) const SIDE: usize = 64;

/// Bit `i` of word `j` becomes bit `j` of word `i`: ever smaller squares change places with those across the
/// diagonal (Warren, *Hacker's Delight*, 7-3).
pub(super) fn transposed(mut words: [u64; SIDE]) -> [u64; SIDE] {
    let (mut half, mut low) = (SIDE / 2, u64::MAX >> (SIDE / 2));
    while half > 0 {
        for first in (0..SIDE).step_by(2 * half) {
            for upper in first..first + half {
                let swap = (words[upper] >> half ^ words[upper + half]) & low;
                words[upper] ^= swap << half;
                words[upper + half] ^= swap;
            }
        }
        half /= 2;
        low ^= low << half;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let mut state = 7u64;
        let words: [u64; SIDE] = std::array::from_fn(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state ^ state >> 29
        });
        let turned = transposed(words);
        for (row, word) in words.iter().enumerate() {
            for (column, turned) in turned.iter().enumerate() {
                assert_eq!(word >> column & 1, turned >> row & 1, "row {row}, column {column}");
            }
        }
    }
}
