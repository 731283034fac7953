//! A column that takes no room while all its values are the same.

/// Values by row. Logs of one kind of event, without sessions, ids or late arrivals have many columns
/// that say the same in every row.
#[derive(Debug, Clone)]
pub(super) struct Uniform<T> {
    /// The value of every row while `values` is empty.
    value: T,
    n_rows: usize,
    values: Vec<T>,
}

/// The values of neighbouring rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows<'a, T> {
    /// One of each.
    Each(&'a [T]),
    /// The same in all.
    All(T),
}

impl<T: Copy + PartialEq> Uniform<T> {
    /// No row; `value` is what a column without rows says of all of them.
    pub(super) fn new(value: T) -> Self {
        Self { value, n_rows: 0, values: Vec::new() }
    }

    /// So many rows of one value.
    pub(super) fn all(value: T, n_rows: usize) -> Self {
        Self { value, n_rows, values: Vec::new() }
    }

    /// Bytes of the values.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.values)
    }

    pub(super) fn push(&mut self, value: T) {
        if self.n_rows == 0 {
            self.value = value;
        } else if self.values.is_empty() && value != self.value {
            self.values = vec![self.value; self.n_rows];
        }
        if !self.values.is_empty() {
            self.values.push(value);
        }
        self.n_rows += 1;
    }

    /// Appends rows.
    pub(super) fn extend(&mut self, rows: Rows<'_, T>, n_rows: usize) {
        let first = match rows {
            Rows::All(value) => Some(value),
            Rows::Each(values) => values.first().copied(),
        };
        let Some(first) = first.filter(|_| n_rows > 0) else { return };
        if self.n_rows == 0 {
            self.value = first;
        }
        let is_uniform = self.values.is_empty()
            && match rows {
                Rows::All(value) => value == self.value,
                Rows::Each(values) => values.iter().all(|value| *value == self.value),
            };
        if !is_uniform {
            if self.values.is_empty() {
                self.values = vec![self.value; self.n_rows];
            }
            match rows {
                Rows::All(value) => self.values.resize(self.n_rows + n_rows, value),
                Rows::Each(values) => self.values.extend_from_slice(values),
            }
        }
        self.n_rows += n_rows;
    }

    /// The value of a row; of one that is not there, anything.
    pub(super) fn get(&self, row: usize) -> T {
        if self.values.is_empty() { self.value } else { self.values[row] }
    }

    pub(super) fn set(&mut self, row: usize, value: T) {
        if self.get(row) != value {
            if self.values.is_empty() {
                self.values = vec![self.value; self.n_rows];
            }
            self.values[row] = value;
        }
    }

    /// Appends the rows of another column, each turned by `map`.
    pub(super) fn append(&mut self, other: Self, map: impl Fn(T) -> T) {
        if other.n_rows == 0 {
            return;
        }
        let is_same = other.values.is_empty()
            && self.values.is_empty()
            && (self.n_rows == 0 || map(other.value) == self.value);
        if is_same {
            self.value = map(other.value);
        } else {
            if self.values.is_empty() {
                self.values = vec![self.value; self.n_rows];
            }
            self.values.reserve_exact(other.n_rows);
            if other.values.is_empty() {
                self.values.resize(self.n_rows + other.n_rows, map(other.value));
            } else {
                self.values.extend(other.values.iter().map(|&value| map(value)));
            }
        }
        self.n_rows += other.n_rows;
    }

    /// The value of all rows, if they have one.
    pub(super) fn only(&self) -> Option<T> {
        self.values.is_empty().then_some(self.value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn column(values: &[u8]) -> Uniform<u8> {
        let mut column = Uniform::new(0);
        values.iter().for_each(|&value| column.push(value));
        column
    }

    fn values(column: &Uniform<u8>) -> Vec<u8> {
        (0..column.n_rows).map(|row| column.get(row)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(5),
            ..ProptestConfig::default()
        })]

        #[test]
        fn reads_as_a_list_would(
            first in prop::collection::vec(0..2u8, 0..6),
            second in prop::collection::vec(0..2u8, 0..6),
            change in prop::option::of((0..12usize, 0..2u8)),
        ) {
            let mut expected = first.clone();
            let mut found = column(&first);
            prop_assert_eq!(values(&found), &expected[..]);
            expected.extend(second.iter().map(|value| value + 1));
            found.append(column(&second), |value| value + 1);
            if let Some((row, value)) = change.filter(|(row, _)| *row < expected.len()) {
                expected[row] = value;
                found.set(row, value);
            }
            prop_assert_eq!(values(&found), &expected[..]);
            found.push(7);
            expected.push(7);
            found.extend(Rows::Each(&second), second.len());
            expected.extend(&second);
            found.extend(Rows::All(1), first.len());
            expected.extend(first.iter().map(|_| 1));
            prop_assert_eq!(values(&found), &expected[..]);

            let mut found = Uniform::new(3);
            found.extend(Rows::Each(&first), first.len());
            found.extend(Rows::All(0), second.len());
            found.extend(Rows::Each(&second), second.len());
            let expected: Vec<u8> = first.iter().copied()
                .chain(second.iter().map(|_| 0))
                .chain(second.iter().copied())
                .collect();
            prop_assert_eq!(values(&found), expected);
        }
    }
}
