use super::*;

#[test]
fn blocks_of_a_draw_are_parts_of_one() {
    let rows: Vec<u32> = (0..3 * BLOCK_ROWS as u32 + 5).map(|row| row * 3 + 1).collect();
    let mut one = generator(7, 4);
    let expected: Vec<u32> =
        rows.iter().copied().filter(|_| one.random::<u32>() < 1 << 30).collect();
    assert_eq!(draw_rows(&rows, 0.25, 7, 4), expected);
}

#[test]
fn an_exact_draw_has_its_number_and_favours_no_row() {
    let n_rows = 2 * BLOCK_ROWS + 100;
    let rows: Vec<u32> = (0..n_rows as u32).map(|row| row * 2).collect();
    let n_rounds = 400;
    let mut times = vec![0u32; n_rows];
    for round in 0..n_rounds {
        let drawn = draw_exactly(&rows, 83, 1, round);
        assert_eq!(drawn.len(), 83);
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
        drawn.iter().for_each(|&row| times[row as usize / 2] += 1);
    }
    // A row in a hundred: the last 100 rows give one a round, or now and then two.
    let of = |rows: std::ops::Range<usize>| f64::from(times[rows].iter().sum::<u32>());
    let expected = 83.0 * n_rounds as f64 / n_rows as f64;
    for part in [0..BLOCK_ROWS, BLOCK_ROWS..2 * BLOCK_ROWS, 2 * BLOCK_ROWS..n_rows] {
        let n = part.len() as f64 * expected;
        assert!((of(part.clone()) - n).abs() < 4.0 * n.sqrt(), "{part:?}");
    }
    assert_eq!(draw_exactly(&rows, n_rows + 1, 1, 1), rows);
    assert!(draw_exactly(&[], 3, 1, 1).is_empty());
}

#[test]
fn spread_rows_have_no_period() {
    assert_eq!(spread_rows(5, 5), [0, 1, 2, 3, 4]);
    for n in [1_001, 1_500, 2_000, 2_500, 3_000, 10_000] {
        let rows = spread_rows(n, 1_000);
        assert_eq!(rows.len(), 1_000, "as many as there may be, just above the bound as well");
        assert!(rows.is_sorted() && (rows[999] as usize) < n);
        for period in 2..=5u32 {
            for phase in 0..period {
                let n_hit = rows.iter().filter(|&&row| row % period == phase).count() as f64;
                let expected = 1_000.0 / f64::from(period);
                assert!((n_hit - expected).abs() < 70.0, "{n}: {phase} of {period}: {n_hit}");
            }
        }
    }
}
