//! Cells of a table as text, as number, and as a complaint.

use segue_events::Cell;

use super::RowsError;
use crate::read::{Frame, ReadError};

/// The cell as text; `None` if it is empty.
pub(crate) fn text_of(cell: &Cell<'_>) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Flag(flag) => Some(flag.to_string()),
        Cell::Integer(number) | Cell::Time(number) | Cell::WallTime(number) => {
            Some(number.to_string())
        }
        Cell::Number(number) => Some(number.to_string()),
        Cell::Text(text) => Some(text.as_ref().to_owned()),
    }
}

/// The cell as a finite number; `None` if it is none.
pub(super) fn number_of(cell: &Cell<'_>) -> Option<f64> {
    let number = match cell {
        Cell::Null | Cell::Text(_) => return None,
        Cell::Flag(flag) => f64::from(u8::from(*flag)),
        Cell::Integer(number) | Cell::Time(number) | Cell::WallTime(number) => *number as f64,
        Cell::Number(number) => *number,
    };
    number.is_finite().then_some(number)
}

/// What a cell holds and what was expected there.
pub(super) fn bad_cell(
    frame: &Frame,
    row: usize,
    column: &str,
    cell: &Cell<'_>,
    expected: &str,
) -> RowsError {
    RowsError::Read(ReadError::CellValue {
        path: frame.path().to_owned(),
        line: frame.line_of(row),
        column: column.to_owned(),
        found: text_of(cell).unwrap_or_else(|| "nothing".to_owned()),
        expected: expected.to_owned(),
    })
}
