//! How long explanations take, on one thread.
//!
//! Without arguments: 100 random trees of 31 leaves over 28 columns, grown at the leaf with most rows.
//! With `--model model.bin --rows rows.f64 [--out contributions.f64]`: that model on those rows
//! (row-major, little-endian), as `benches/peers/explain.py` asks for it. One line of JSON for each of
//! `--passes` passes: CPU and wall time in nanoseconds a row, explained all together and each alone;
//! and the CPU time of reading the model's bytes. `--trees 5000` makes more random trees.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement: it prints, and stops at whatever is wrong"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use segue_dataset::{Feature, Matrix, Schema, TargetKind};
use segue_model::{
    Calibration, Child, Combine, Ensemble, Link, MissingRule, Model, ModelParts, Node, Split, Tree,
};

const N_COLUMNS: usize = 28;
const N_TREES: usize = 100;
const N_LEAVES: usize = 31;
const N_ROWS: usize = 4_000;
/// Each measurement goes on for so long.
const LEAST: Duration = Duration::from_millis(500);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let (model, rows) = match option("--model") {
        Some(path) => {
            let model = Model::decode(&std::fs::read(path).unwrap()).unwrap();
            let bytes = std::fs::read(option("--rows").expect("--rows is due")).unwrap();
            let values = bytes.as_chunks::<8>().0.iter().map(|eight| f64::from_le_bytes(*eight));
            let values: Vec<f64> = values.collect();
            let rows = Matrix::from_rows(model.schema().len(), &values);
            (model, rows)
        }
        None => random(option("--trees").map_or(N_TREES, |n| n.parse().unwrap())),
    };
    let bytes = model.encode();
    let (load, _) = measured(|| Model::decode(&bytes).unwrap());
    let passes = option("--passes").map_or(5, |passes| passes.parse().unwrap());
    let mut row = vec![0.0; rows.n_columns()];
    for _ in 0..passes {
        let (together, explanations) = measured(|| model.explain_rows(&rows));
        let (alone, _) = measured(|| {
            let mut sum = 0.0;
            for index in 0..rows.n_rows() {
                rows.copy_row(index, &mut row);
                sum += model.explain(&row).contributions(0)[0];
            }
            std::hint::black_box(sum)
        });
        let n = rows.n_rows();
        let ns = |(cpu, wall): (u64, u64)| {
            let a_row = |of: u64| of as f64 / n as f64;
            format!("{{\"cpu_ns\":{:.0},\"wall_ns\":{:.0}}}", a_row(cpu), a_row(wall))
        };
        let (together, alone, load) = (ns(together), ns(alone), load.0);
        println!("{{\"together\":{together},\"alone\":{alone},\"load_ns\":{load}}}");
        if let Some(path) = option("--out") {
            let values = (0..n).flat_map(|row| explanations.contributions(row, 0));
            let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
            std::fs::write(path, bytes).unwrap();
        }
    }
}

/// CPU time (wall time where the system does not tell) and wall time of one call, in nanoseconds.
fn measured<T>(mut work: impl FnMut() -> T) -> ((u64, u64), T) {
    let cpu = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    let (before, start) = (cpu(), Instant::now());
    let (mut result, mut n_calls) = (work(), 1);
    // The system counts CPU time in steps of some milliseconds.
    while start.elapsed() < LEAST {
        result = work();
        n_calls += 1;
    }
    let wall = start.elapsed().as_nanos() as u64;
    let spent = cpu().zip(before).map_or(wall, |(after, before)| after - before);
    ((spent / n_calls, wall / n_calls), result)
}

/// A model that no data made, and rows of the same distribution as those that its trees were grown on.
fn random(n_trees: usize) -> (Model, Matrix) {
    let mut draw = Draw(7);
    let columns = (0..N_COLUMNS).map(|_| (0..N_ROWS).map(|_| draw.unit()).collect()).collect();
    let rows = Matrix::from_columns(N_ROWS, columns);
    let features = (0..N_COLUMNS).map(|column| Feature::number(format!("f{column}"))).collect();
    let model = Model::new(ModelParts {
        schema: Arc::new(Schema::new(features).unwrap()),
        target: TargetKind::Binary,
        task: "explained".to_owned(),
        ensemble: Ensemble {
            trees: (0..n_trees).map(|_| tree(&rows, &mut draw)).collect(),
            tree_output: vec![0; n_trees],
            base: vec![0.0],
            combine: Combine::Sum,
            link: Link::Logistic,
        },
        calibration: Calibration::None,
        behaviours: Vec::new(),
        feature_set_hash: None,
    });
    (model.unwrap(), rows)
}

/// Node that a leaf hangs from, and whether on its left; `None` for the root.
type Place = Option<(usize, bool)>;

/// Splits the largest leaf at a value of one of its rows until there are enough leaves.
fn tree(rows: &Matrix, draw: &mut Draw) -> Tree {
    let mut nodes: Vec<Node> = Vec::new();
    let mut open: Vec<(Place, Vec<usize>)> = vec![(None, (0..rows.n_rows()).collect())];
    while open.len() < N_LEAVES {
        let largest = (0..open.len()).max_by_key(|&leaf| open[leaf].1.len()).unwrap();
        let column = draw.below(N_COLUMNS);
        let values = rows.column(column);
        let threshold = values[open[largest].1[draw.below(open[largest].1.len())]];
        let (left, right): (Vec<usize>, Vec<usize>) =
            open[largest].1.iter().partition(|&&row| values[row] <= threshold);
        if left.len().min(right.len()) < 20 {
            continue;
        }
        let (parent, of) = open.swap_remove(largest);
        if let Some((parent, is_left)) = parent {
            let child = Child::Node(nodes.len() as u32);
            if is_left { nodes[parent].left = child } else { nodes[parent].right = child }
        }
        open.extend([(Some((nodes.len(), true)), left), (Some((nodes.len(), false)), right)]);
        nodes.push(Node {
            feature: column as u32,
            split: Split::AtMost(threshold),
            missing: MissingRule::Left,
            left: Child::Leaf(0),
            right: Child::Leaf(0),
            gain: 0.0,
            cover: of.len() as f64,
        });
    }
    for (leaf, (parent, _)) in open.iter().enumerate() {
        let (parent, is_left) = parent.unwrap();
        let child = Child::Leaf(leaf as u32);
        if is_left { nodes[parent].left = child } else { nodes[parent].right = child }
    }
    Tree {
        nodes,
        leaf_values: open.iter().map(|_| draw.unit() - 0.5).collect(),
        leaf_cover: open.iter().map(|(_, rows)| rows.len() as f64).collect(),
        leaf_width: 1,
    }
}

struct Draw(u64);

impl Draw {
    fn unit(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }
}
