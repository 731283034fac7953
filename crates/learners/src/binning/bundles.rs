//! How columns share the bytes of the code matrix.
//!
//! The histogram loop pays for every byte of a row. Columns of few codes (flags, small counts, short
//! vocabularies) are therefore written as one mixed-radix number while their joint states fit a byte:
//! two columns of 12 and 16 codes cost what one costs. Nothing is approximate: the sums of one column are
//! the sums over the states that hold each of its codes.

use super::ColumnBins;
use crate::split::CodeSet;

/// States a byte can hold.
const MAX_STATES: usize = 256;

/// One column's place in a row of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    bundle: u32,
    /// The column's code is `state / factor % n_codes`.
    factor: u16,
    n_codes: u16,
}

/// Which columns share a byte. The byte of a bundle is its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bundles {
    /// By column.
    places: Vec<Place>,
    /// States in use, by bundle; never above 256.
    n_states: Vec<usize>,
}

impl Bundles {
    /// A byte for every column.
    pub(crate) fn one_a_column(columns: &[ColumnBins]) -> Self {
        let place = |(bundle, bins): (usize, &ColumnBins)| Place {
            bundle: bundle as u32,
            factor: 1,
            n_codes: bins.n_codes() as u16,
        };
        let places = columns.iter().enumerate().map(place).collect();
        Self { places, n_states: columns.iter().map(ColumnBins::n_codes).collect() }
    }

    /// As few bytes as first fit finds, columns of many codes first; ties by column.
    pub(crate) fn joint(columns: &[ColumnBins]) -> Self {
        let mut order: Vec<usize> = (0..columns.len()).collect();
        order.sort_by_key(|&column| std::cmp::Reverse(columns[column].n_codes()));
        let mut places = vec![Place { bundle: 0, factor: 1, n_codes: 1 }; columns.len()];
        let mut n_states: Vec<usize> = Vec::new();
        for column in order {
            let n_codes = columns[column].n_codes();
            let fits = |&states: &usize| states * n_codes <= MAX_STATES;
            let bundle = n_states.iter().position(fits).unwrap_or_else(|| {
                n_states.push(1);
                n_states.len() - 1
            });
            let factor = n_states[bundle] as u16;
            places[column] = Place { bundle: bundle as u32, factor, n_codes: n_codes as u16 };
            n_states[bundle] *= n_codes;
        }
        Self { places, n_states }
    }

    /// Bytes a row.
    pub(crate) fn len(&self) -> usize {
        self.n_states.len()
    }

    /// States of each bundle.
    pub(crate) fn n_states(&self) -> &[usize] {
        &self.n_states
    }

    /// The bundle that holds a column.
    pub(crate) fn bundle_of(&self, column: usize) -> usize {
        self.places[column].bundle as usize
    }

    /// Whether the column has its byte for itself, so that state and code are the same.
    pub(crate) fn is_alone(&self, column: usize) -> bool {
        let place = self.places[column];
        self.n_states[place.bundle as usize] == usize::from(place.n_codes)
    }

    /// What a code of the column adds to its bundle's state.
    pub(super) fn factor(&self, column: usize) -> u8 {
        // A factor of 256 leaves room for one code only, whose value is 0.
        self.places[column].factor as u8
    }

    /// The column's code in a state of its bundle.
    pub(crate) fn code(&self, column: usize, state: u8) -> u8 {
        let place = self.places[column];
        (u16::from(state) / place.factor % place.n_codes) as u8
    }

    /// Calls `visit` with the column's code of every state in use and the state's entry of `of_states`.
    pub(crate) fn for_each_code<T>(
        &self,
        column: usize,
        of_states: &[T],
        mut visit: impl FnMut(usize, &T),
    ) {
        let place = self.places[column];
        let (factor, n_codes) = (usize::from(place.factor), usize::from(place.n_codes));
        for of_codes in of_states.chunks(factor * n_codes) {
            for (code, of_code) in of_codes.chunks(factor).enumerate() {
                of_code.iter().for_each(|of_state| visit(code, of_state));
            }
        }
    }

    /// The states whose code of the column is in `codes`.
    pub(crate) fn states_of(&self, column: usize, codes: CodeSet) -> CodeSet {
        if self.is_alone(column) {
            return codes;
        }
        let mut states = CodeSet::default();
        for state in 0..=u8::MAX {
            if codes.contains(self.code(column, state)) {
                states.insert(state);
            }
        }
        states
    }
}
