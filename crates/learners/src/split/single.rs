//! Cuts of one number judged one by one: for constraints, which look at both leaf values, and for
//! extra-trees, which try a single cut.

use super::{Best, Cell, Judge, MISSING_CODE, before_values, missing_sides, soft_threshold};
use crate::sampling::{drawn_cut, hashed};

impl Judge<'_> {
    /// The best value for a leaf with these sums, before shrinkage.
    pub(crate) fn value(&self, sums: Cell) -> f64 {
        let gradient =
            soft_threshold(sums.gradient() as f64 * self.gradient_unit, self.rules.lambda_l1);
        let hessian = sums.hessian() as f64 * self.hessian_unit + self.rules.lambda_l2;
        self.bounds.unwrap_or(super::Bounds::FREE).value(gradient, hessian)
    }

    pub(super) fn scan_number_singly(
        &self,
        column: u32,
        cells: &[Cell],
        total: Cell,
        best: &mut Best,
    ) {
        let monotone = self.rules.monotone.get(column as usize).copied().unwrap_or_default();
        let no_missing = cells[usize::from(MISSING_CODE)].n_rows() == 0;
        let values = &cells[1..];
        let drawn = self.draw.map(|key| {
            let draw = hashed(key, u64::from(column));
            drawn_cut(values.len(), |index| values[index].n_rows() > 0, draw)
        });
        for &missing_left in missing_sides(cells) {
            let mut left = before_values(cells, missing_left);
            for (index, &cell) in values.iter().enumerate() {
                left.add(cell);
                let right = total.minus(left);
                let tried = drawn.is_none_or(|drawn| drawn == index);
                if !tried || !self.fits(left) || !self.fits(right) {
                    continue;
                }
                if !monotone.allows(self.value(left), self.value(right)) {
                    continue;
                }
                let gain = self.score(left, 0.0) + self.score(right, 0.0) - best.parent;
                if gain > best.above {
                    let code = (index + 1) as u8;
                    best.take_cut(code, missing_left, no_missing, gain, [left, total]);
                }
            }
        }
    }
}
