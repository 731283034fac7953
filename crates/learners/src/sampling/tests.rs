use super::*;

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
