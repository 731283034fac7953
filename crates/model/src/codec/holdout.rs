//! holdout.bin.

use segue_dataset::{Dataset, Matrix, RowKeys, Target};

use super::parts::{read_schema, read_target, write_schema, write_target};
use super::{DecodeError, Format, Writer};
use crate::holdout::check_slice;
use crate::{Holdout, SliceColumn};

pub(super) const FORMAT: Format<3> = Format {
    file: "segue holdout",
    magic: *b"SEGUEHLD",
    oldest: 1,
    newest: 1,
    sections: ["schm", "rows", "slic"],
};

impl Holdout {
    /// The bytes of holdout.bin. The same table gives the same bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (mut schema, mut rows, mut slices) =
            (Writer::default(), Writer::default(), Writer::default());
        let dataset = self.dataset();
        write_schema(&mut schema, dataset.schema());
        write_target(&mut rows, &dataset.target().kind);
        rows.f64s(&dataset.target().values);
        match dataset.weight() {
            Some(weight) => {
                rows.u8(1);
                rows.f64s(weight);
            }
            None => rows.u8(0),
        }
        dataset.features().columns().iter().for_each(|column| rows.f64s(column));
        slices.count(self.slices().len());
        for slice in self.slices() {
            slices.text(&slice.name);
            slices.texts(&slice.labels);
            slices.count(slice.codes.len());
            slice.codes.iter().for_each(|&code| slices.u32(code));
        }
        FORMAT.seal(&[schema, rows, slices])
    }

    /// Reads holdout.bin and checks the table as [`Dataset::new`] does.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that are not whole, changed, of another format, or not a table.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [schema, mut rows, mut slices] = FORMAT.open(bytes)?;
        let schema = read_schema(schema)?;
        let kind = read_target(&mut rows)?;
        let values = rows.f64s()?;
        let n_rows = values.len();
        let weight = match rows.u8()? {
            0 => None,
            1 => Some(rows.f64s()?),
            flag => return Err(rows.error(format!("flag {flag}, expected 0 or 1"))),
        };
        let mut columns = Vec::with_capacity(schema.len());
        for _ in 0..schema.len() {
            let column = rows.f64s()?;
            if column.len() != n_rows {
                let found = column.len();
                return Err(rows.error(format!("a column of {found} rows, expected {n_rows}")));
            }
            columns.push(column);
        }
        rows.end()?;
        let table = |detail: String| DecodeError::Table { detail };
        let dataset = Dataset::new(
            schema,
            Matrix::from_columns(n_rows, columns),
            Target { kind, values },
            weight,
            RowKeys::default(),
        )
        .map_err(|error| table(error.to_string()))?;
        let n_slices = slices.count(24)?;
        let mut columns = Vec::with_capacity(n_slices);
        for _ in 0..n_slices {
            let (name, labels) = (slices.text()?, slices.texts()?);
            let n = slices.count(4)?;
            let codes = (0..n).map(|_| slices.u32()).collect::<Result<Vec<_>, _>>()?;
            let slice = SliceColumn { name, labels, codes };
            check_slice(&slice, n_rows).map_err(|error| table(error.to_string()))?;
            columns.push(slice);
        }
        slices.end()?;
        Ok(Self { dataset, slices: columns })
    }
}
