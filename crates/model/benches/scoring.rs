//! placeholder
#![allow(warnings, unsafe_code)]
#[path = "scoring/forest.rs"]
mod forest;
use forest::*;
use segue_model::*;
#[repr(C)] struct Ts { s: i64, n: i64 }
unsafe extern "C" { fn clock_gettime(c: i32, t: *mut Ts) -> i32; }
fn cpu() -> f64 { let mut t = Ts { s: 0, n: 0 }; unsafe { clock_gettime(3, &mut t) }; t.s as f64 + t.n as f64 * 1e-9 }
fn best(n: usize, mut f: impl FnMut()) -> f64 { let mut b = f64::MAX; for _ in 0..n { let t = cpu(); f(); b = b.min(cpu() - t); } b }
fn main() {
    let n: usize = 20_000;
    let table = table(n, 99);
    let rows: Vec<Vec<f64>> = (0..2048).map(|r| { let mut row = vec![0.0; N_COLUMNS]; table.copy_row(r, &mut row); row }).collect();
    for (k, shape) in [
        Shape { n_trees: 100, n_leaves: 31, n_rows: 20000, with_categories: false },
        Shape { n_trees: 100, n_leaves: 31, n_rows: 20000, with_categories: true },
        Shape { n_trees: 100, n_leaves: 255, n_rows: 20000, with_categories: true },
        Shape { n_trees: 50, n_leaves: 600, n_rows: 20000, with_categories: true },
        Shape { n_trees: 50, n_leaves: 3000, n_rows: 20000, with_categories: true },
    ].into_iter().enumerate() {
        let e = ensemble(shape, 5);
        let (d, dm) = depths(&e);
        let mut want = vec![0.0; 2048];
        let wt = best(3, || for r in 0..2048 { e.margins(&rows[r], &mut want[r..r + 1]); });
        println!("== {} x {} leaves, depth {:.1} max {}, walker {:.0} ns", shape.n_trees, shape.n_leaves, d, dm, wt / 2048.0 * 1e9);
        let mut e2 = e.clone(); e2.trees.extend(e.trees.clone()); e2.tree_output.extend(e.tree_output.clone());
        for inst in Instructions::available() {
            for engine in [Engine::Masks, Engine::Walk, Engine::Select] {
                if k == 4 && engine == Engine::Masks { continue }
                let mut r = [[0.0; 2]; 2];
                for (i, e) in [&e, &e2].into_iter().enumerate() {
                let Some(s) = Scorer::compile_for(&e, N_COLUMNS, inst, engine) else { continue };
                let mut scratch = EngineScratch::default();
                let mut out = vec![0.0; n];
                r[0][i] = best(15, || for r in 0..2048 { s.margins(&rows[r], &mut scratch, &mut out[r..r + 1]); }) / 2048.0 * 1e9;
                r[1][i] = best(25, || s.margins_of_rows(&table, 0..4096, &mut scratch, &mut out[..4096])) / 4096.0 * 1e9;
                }
                println!("{engine:?} {}, one: all {:.0} quantise {:.0} trees {:.0}; table: all {:.0} quantise {:.0} trees {:.0}", inst.name(), r[0][0], 2.0 * r[0][0] - r[0][1], r[0][1] - r[0][0], r[1][0], 2.0 * r[1][0] - r[1][1], r[1][1] - r[1][0]);
            }
        }
    }
}
