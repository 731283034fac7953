//! Nanoseconds a row of every engine at every level of instructions.
//!
//! `cargo bench -p segue-model --bench scoring [-- shape...]` prints Markdown tables; a shape is given by
//! its name. One thread; rows are fresh for each call and codes are made anew; medians of seven. Every
//! margin is compared with the reference walk's, bit for bit, before anything is timed.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench talks and may stop")]

#[path = "scoring/forest.rs"]
#[expect(dead_code, reason = "the other benches also load models")]
mod forest;

use std::hint::black_box;
use std::time::Instant;

use forest::{N_COLUMNS, Shape, depths, ensemble, table};
use segue_dataset::Matrix;
use segue_model::{Engine, EngineScratch, Ensemble, Instructions, Scorer};

const TABLE_ROWS: usize = 100_000;
const SINGLE_ROWS: usize = 10_000;
const CHECKED_ROWS: usize = 1_000;
const REPEATS: usize = 7;

const SHAPES: [(&str, Shape); 5] = [
    ("numbers", shape(100, 31, false)),
    ("mixed", shape(100, 31, true)),
    ("large", shape(100, 255, true)),
    ("forest", shape(50, 3_000, true)),
    ("long", shape(1_000, 31, true)),
];

const fn shape(n_trees: usize, n_leaves: usize, with_categories: bool) -> Shape {
    Shape { n_trees, n_leaves, n_rows: 20_000, with_categories }
}

/// Median seconds of a few runs.
fn median_s(mut run: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[REPEATS / 2]
}

fn rows_of(table: &Matrix, n: usize) -> Vec<Vec<f64>> {
    let row = |index| {
        let mut row = vec![0.0; N_COLUMNS];
        table.copy_row(index, &mut row);
        row
    };
    (0..n).map(row).collect()
}

/// Median nanoseconds a row: one by one, by 64, and as a table.
fn nanoseconds(scorer: &Scorer, table: &Matrix) -> [f64; 3] {
    let mut scratch = EngineScratch::default();
    let rows = rows_of(table, SINGLE_ROWS);
    let mut margin = [0.0];
    let one = median_s(|| {
        for row in &rows {
            scorer.margins(black_box(row), &mut scratch, &mut margin);
            black_box(margin);
        }
    });
    let mut margins = vec![0.0; TABLE_ROWS];
    let few = median_s(|| {
        for start in (0..SINGLE_ROWS - 63).step_by(64) {
            scorer.margins_of_rows(table, start..start + 64, &mut scratch, &mut margins[..64]);
        }
        black_box(&margins);
    });
    let all = median_s(|| {
        scorer.margins_of_rows(table, 0..TABLE_ROWS, &mut scratch, &mut margins);
        black_box(&margins);
    });
    let n_few = (SINGLE_ROWS / 64 * 64) as f64;
    [one / SINGLE_ROWS as f64, few / n_few, all / TABLE_ROWS as f64].map(|seconds| seconds * 1e9)
}

fn check(scorer: &Scorer, ensemble: &Ensemble, table: &Matrix) {
    let mut scratch = EngineScratch::default();
    let mut all = vec![0.0; CHECKED_ROWS];
    scorer.margins_of_rows(table, 0..CHECKED_ROWS, &mut scratch, &mut all);
    for (row, all) in rows_of(table, CHECKED_ROWS).iter().zip(all) {
        let (mut expected, mut one) = ([0.0], [0.0]);
        ensemble.margins(row, &mut expected);
        scorer.margins(row, &mut scratch, &mut one);
        assert_eq!([one[0].to_bits(), all.to_bits()], [expected[0].to_bits(); 2]);
    }
}

fn report(name: &str, shape: Shape) {
    let ensemble = ensemble(shape, 5);
    let (mean, largest) = depths(&ensemble);
    println!(
        "\n### {name}: {} trees x {} leaves, mean depth of a leaf {mean:.1}, largest {largest}\n",
        shape.n_trees, shape.n_leaves
    );
    println!("| engine | level | one row, ns | by 64, ns a row | by 100,000, ns a row |");
    println!("|---|---|---|---|---|");
    let table = table(TABLE_ROWS, 99);
    let line = |engine: String, level: &str, scorer: &Scorer| {
        check(scorer, &ensemble, &table);
        let [one, few, all] = nanoseconds(scorer, &table);
        println!("| {engine} | {level} | {one:.0} | {few:.0} | {all:.0} |");
    };
    for instructions in Instructions::available() {
        let level = instructions.name();
        for engine in [Engine::Walker, Engine::Walk, Engine::Masks, Engine::Select] {
            if engine == Engine::Walker && instructions != Instructions::PORTABLE {
                continue;
            }
            let scorer = Scorer::compile_for(&ensemble, N_COLUMNS, instructions, engine);
            if let Some(scorer) = scorer {
                line(format!("{engine:?}"), level, &scorer);
            }
        }
    }
    let chosen = Scorer::compile(&ensemble, N_COLUMNS);
    let engines = [1, 64, TABLE_ROWS].map(|n| format!("{:?}", chosen.engine_for(n))).join(", ");
    line(format!("**chosen**: {engines}"), Instructions::best().name(), &chosen);
}

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    for (name, shape) in SHAPES {
        if wants(name) {
            report(name, shape);
        }
    }
}
