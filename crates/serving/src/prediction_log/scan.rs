//! The log as a whole, whole files and journals alike, each prediction once.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;

use parquet::errors::ParquetError;

use super::columns::{Column, ColumnValues, TableReader, columns};
use super::folder::{FileName, Folder};
use super::id::PredictionId;
use super::journal::{JournalReader, Next};
use super::record::{Row, Shape};

/// Rows of a journal that are looked at together.
const JOURNAL_ROWS: usize = 4096;

/// Some rows of one version: the columns asked for.
#[derive(Debug)]
pub(crate) struct Stretch<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) columns: Vec<Column>,
}

impl Stretch<'_> {
    /// The names of the predictions; one that is no name is `None`.
    pub(crate) fn ids(&self) -> Vec<Option<PredictionId>> {
        let is_id = |column: &&Column| column.name == "prediction_id";
        match self.columns.iter().find(is_id).map(|column| &column.values) {
            Some(ColumnValues::Text(texts)) => {
                let parse = |text: &Option<String>| PredictionId::parse(text.as_deref()?);
                texts.iter().map(parse).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Which predictions are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Scan<'a> {
    pub(crate) model: &'a str,
    pub(crate) version: Option<u64>,
    /// Hours since 1970.
    pub(crate) hours: RangeInclusive<i64>,
}

impl Scan<'_> {
    fn takes(&self, name: &FileName) -> bool {
        name.model == self.model
            && self.version.is_none_or(|version| version == name.version)
            && self.hours.contains(&name.hour)
    }

    /// The files and journals that hold them, in the order of their hours.
    pub(crate) fn names(&self, folder: &Folder) -> io::Result<BTreeSet<FileName>> {
        // Journals first: one that becomes a file meanwhile is then found as such.
        let mut names: BTreeSet<FileName> =
            folder.journals()?.into_iter().map(|(name, _)| name).collect();
        names.extend(folder.names()?.into_iter().map(|(name, _)| name));
        names.retain(|name| self.takes(name));
        Ok(names)
    }
}

/// What the rows of a file or of its journal are of; `None` if it is gone.
pub(crate) fn shape(folder: &Folder, name: &FileName) -> Result<Option<Shape>, ParquetError> {
    if !folder.file(name).exists() {
        match File::open(folder.journal(name)) {
            Ok(file) => {
                return Ok(JournalReader::open(file)?.map(|journal| journal.shape().clone()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        if !folder.file(name).exists() {
            return Ok(None);
        }
    }
    Ok(Some(TableReader::open(&folder.file(name))?.shape().clone()))
}

/// Hands `use_stretch` the rows of a file or of its journal, `wanted` picking the columns.
pub(crate) fn read(
    folder: &Folder,
    name: &FileName,
    wanted: impl Fn(&str) -> bool,
    mut use_stretch: impl FnMut(Stretch<'_>) -> Result<(), ParquetError>,
) -> Result<(), ParquetError> {
    // A journal may become a file between two looks, and never the other way.
    if !folder.file(name).exists() {
        match File::open(folder.journal(name)) {
            Ok(file) => return read_journal(file, wanted, use_stretch),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        // Neither: removed for its age meanwhile.
        if !folder.file(name).exists() {
            return Ok(());
        }
    }
    let table = TableReader::open(&folder.file(name))?;
    let names: Vec<&str> = table.names().filter(|name| wanted(name)).collect();
    for group in 0..table.n_groups() {
        let columns = table.read(group, &names)?;
        use_stretch(Stretch { shape: table.shape(), columns })?;
    }
    Ok(())
}

fn read_journal(
    file: File,
    wanted: impl Fn(&str) -> bool,
    mut use_stretch: impl FnMut(Stretch<'_>) -> Result<(), ParquetError>,
) -> Result<(), ParquetError> {
    let Some(mut journal) = JournalReader::open(file)? else { return Ok(()) };
    let shape = journal.shape().clone();
    let mut hand_over = |rows: &mut Vec<Row>| {
        let mut columns = columns(rows, &shape);
        columns.retain(|column| wanted(&column.name));
        rows.clear();
        use_stretch(Stretch { shape: &shape, columns })
    };
    let mut rows = Vec::new();
    // What is torn may still be being written.
    while let Next::Row(row) = journal.next()? {
        rows.push(*row);
        if rows.len() == JOURNAL_ROWS {
            hand_over(&mut rows)?;
        }
    }
    if rows.is_empty() { Ok(()) } else { hand_over(&mut rows) }
}
