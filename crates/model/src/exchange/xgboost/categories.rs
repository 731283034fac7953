//! Category names, which XGBoost keeps since 3.1 for frames that it was fitted on.

use crate::exchange::ImportError;
use crate::exchange::document::At;

/// Names by column, in code order; `None` where the file has none.
pub(super) fn read(
    model: &At<'_>,
    n_columns: usize,
) -> Result<Vec<Option<Vec<String>>>, ImportError> {
    let Some(encoded) = model.find("cats").and_then(|cats| cats.find("enc")) else {
        return Ok(Vec::new());
    };
    let columns = encoded.items()?;
    if !columns.is_empty() && columns.len() != n_columns {
        let detail = format!("{} columns, num_feature is {n_columns}", columns.len());
        return Err(encoded.malformed(detail));
    }
    columns.iter().map(names).collect()
}

/// Texts lie end to end with their offsets; numbers are just listed.
fn names(column: &At<'_>) -> Result<Option<Vec<String>>, ImportError> {
    let values = column.get("values")?;
    let Some(offsets) = column.find("offsets") else {
        let numbers = values.numbers()?;
        let names = numbers.iter().map(ToString::to_string).collect();
        return Ok((!numbers.is_empty()).then_some(names));
    };
    let bounds = offsets.numbers()?;
    if bounds.len() < 2 {
        return Ok(None);
    }
    // characters are signed in the file
    let bytes: Vec<u8> = values.numbers()?.iter().map(|&byte| (byte as i64 & 0xff) as u8).collect();
    let name = |ends: &[f64]| {
        let range = ends[0] as usize..ends[1] as usize;
        let text = bytes.get(range).and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.map(str::to_owned).ok_or_else(|| {
            offsets.malformed(format!("{} to {} is no text of the values", ends[0], ends[1]))
        })
    };
    Ok(Some(bounds.windows(2).map(name).collect::<Result<_, _>>()?))
}
