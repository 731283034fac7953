//! Room for scoring, one a thread: no request waits for another's, and none makes its own.

use std::cell::RefCell;

use segue_dataset::Matrix;
use segue_model::{Model, Scores, Scratch};

thread_local! {
    /// Grows to what the largest model needs that this thread has scored by.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Scores a row, and hands the scores to `read`, which must not score itself. Takes no lock, and
/// allocates nothing once this thread has scored a row by the model.
///
/// # Panics
/// As [`Model::score`].
pub(crate) fn with_scores<T>(model: &Model, row: &[f64], read: impl FnOnce(Scores<'_>) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| read(model.score(row, scratch)))
}

/// Scores the rows of a table together, and hands the scores of each, with its index, to `read`, which must
/// not score itself.
///
/// # Panics
/// As [`Model::score_each`].
pub(crate) fn with_each_score(model: &Model, rows: &Matrix, read: impl FnMut(usize, Scores<'_>)) {
    SCRATCH.with_borrow_mut(|scratch| model.score_each(rows, scratch, read));
}

#[cfg(test)]
#[path = "../../../tests/support/counting.rs"]
mod counting;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use segue_dataset::{Feature, Schema, TargetKind};
    use segue_model::{
        Calibration, CategorySet, Child, Combine, Ensemble, Link, MissingRule, ModelParts, Node,
        Split, Tree,
    };

    use super::counting::allocations_of;
    use super::*;

    /// Trees that ask of a number, then of a category.
    fn model(n_trees: usize) -> Model {
        let words = (0..5).map(|word| format!("plan {word}")).collect();
        let features = vec![Feature::number("visits"), Feature::category("plan", words)];
        let node = |feature, split, left| Node {
            feature,
            split,
            missing: MissingRule::Right,
            left,
            right: Child::Leaf(feature),
            gain: 1.0,
            cover: 2.0,
        };
        let set = Split::In(CategorySet::from_codes([1, 3]));
        let tree = Tree {
            nodes: vec![node(0, Split::AtMost(1.5), Child::Node(1)), node(1, set, Child::Leaf(2))],
            leaf_values: vec![0.1, -0.2, 0.3],
            leaf_cover: vec![1.0; 3],
            leaf_width: 1,
        };
        Model::new(ModelParts {
            schema: Arc::new(Schema::new(features).unwrap()),
            target: TargetKind::Binary,
            task: "churn".to_owned(),
            ensemble: Ensemble {
                tree_output: vec![0; n_trees],
                trees: vec![tree; n_trees],
                base: vec![0.0],
                combine: Combine::Sum,
                link: Link::Logistic,
            },
            calibration: Calibration::None,
            behaviours: Vec::new(),
            feature_set_hash: None,
        })
        .unwrap()
    }

    #[test]
    fn a_thread_allocates_for_its_first_row_by_a_model_only() {
        let (champion, challenger) = (model(50), model(3));
        let row = |visits: f64| [visits, 1.0];
        for model in [&champion, &challenger] {
            with_scores(model, &row(0.0), |scores| scores.score());
        }
        let mut sum = 0.0;
        let n = allocations_of(|| {
            for visits in 0..10 {
                for model in [&champion, &challenger] {
                    sum += with_scores(model, &row(f64::from(visits)), |scores| scores.score());
                }
            }
        });
        assert_eq!(n, 0);
        assert!(sum > 0.0);
    }

    #[test]
    fn a_panic_leaves_the_room_usable() {
        let model = model(3);
        let expected = with_scores(&model, &[1.0, 1.0], |scores| scores.score());
        let read = || with_scores(&model, &[1.0, 1.0], |_| panic!("on purpose"));
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
        assert!(died.is_err());
        assert_eq!(with_scores(&model, &[1.0, 1.0], |scores| scores.score()), expected);
    }
}
