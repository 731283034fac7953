//! The plain binary table that all runners read, written by `peers/tables.py`.
//!
//! Little-endian: 8 bytes `segtab01`, u64 rows, u64 columns, u64 categories of each column (0 for a
//! number), then f64 labels, then f64 values column by column; NaN is missing. A column of categories
//! holds their codes from 0.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use anyhow::{Context, ensure};

const MAGIC: &[u8; 8] = b"segtab01";

/// A table in memory.
pub(crate) struct Table {
    /// Categories of each column, 0 for a number.
    pub(crate) n_categories: Vec<u64>,
    /// 0 or 1, shape `(n_rows,)`.
    pub(crate) labels: Vec<f64>,
    /// Shape `(n_columns, n_rows)`.
    pub(crate) columns: Vec<Vec<f64>>,
}

impl Table {
    /// Reads a table.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        Self::parse(&mut file).with_context(|| format!("{} is no table", path.display()))
    }

    fn parse(file: &mut impl Read) -> anyhow::Result<Self> {
        let mut magic = [0; 8];
        file.read_exact(&mut magic)?;
        ensure!(&magic == MAGIC, "it begins with {magic:?}");
        let n_rows = usize::try_from(integer(file)?)?;
        let n_columns = usize::try_from(integer(file)?)?;
        let n_categories = (0..n_columns).map(|_| integer(file)).collect::<Result<_, _>>()?;
        let labels = values(file, n_rows)?;
        let columns = (0..n_columns).map(|_| values(file, n_rows)).collect::<Result<_, _>>()?;
        Ok(Self { n_categories, labels, columns })
    }

    /// Number of rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.labels.len()
    }

    /// The values row by row, shape `(n_rows, n_columns)`.
    pub(crate) fn to_rows(&self) -> Vec<f64> {
        let n_columns = self.columns.len();
        let mut rows = vec![0.0; self.n_rows() * n_columns];
        for (at, column) in self.columns.iter().enumerate() {
            for (row, &value) in rows.chunks_exact_mut(n_columns).zip(column) {
                row[at] = value;
            }
        }
        rows
    }
}

fn integer(file: &mut impl Read) -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn values(file: &mut impl Read, n: usize) -> anyhow::Result<Vec<f64>> {
    let mut values = Vec::with_capacity(n);
    let mut bytes = vec![0; 1 << 16];
    while values.len() < n {
        let part = &mut bytes[..((n - values.len()) * 8).min(1 << 16)];
        file.read_exact(part)?;
        values.extend(part.as_chunks().0.iter().map(|&word| f64::from_le_bytes(word)));
    }
    Ok(values)
}

/// Writes values as plain little-endian f64.
pub(crate) fn write_values(path: &Path, values: &[f64]) -> anyhow::Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut file =
        File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(&bytes)?;
    Ok(())
}
