//! The head of the file: outputs and columns.

use std::collections::BTreeMap;

use super::lines::{Entry, Lines};
use super::place::Place;
use crate::exchange::schema::{Column, ColumnKind, Columns};
use crate::exchange::{ImportError, most_width};

/// What splits and the head say of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Info {
    /// `none`, or nothing: constant in training, or not told.
    Unknown,
    Number,
    /// Categories by number.
    Categories(Vec<f64>),
}

impl Info {
    /// A missing value is listed as category -1.
    pub(super) fn of_categories(mut listed: Vec<f64>) -> Self {
        listed.retain(|&category| category >= 0.0);
        Self::Categories(listed)
    }
}

/// The head.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    /// Where the file begins.
    pub(super) start: Place,
    pub(super) version: String,
    pub(super) trees_per_iteration: usize,
    pub(super) average: bool,
    pub(super) names: Vec<String>,
    pub(super) infos: Vec<Info>,
    pub(super) objective: Option<(Place, String)>,
    pub(super) n_tree_sizes: Option<(Place, usize)>,
}

impl Head {
    pub(super) fn read(lines: &mut Lines<'_>, n_bytes: usize) -> Result<Self, ImportError> {
        let start = lines.here("tree");
        if lines.peek() != Some("tree") {
            let detail = "the first line must be \"tree\", which begins the head of a model";
            return Err(start.malformed(detail));
        }
        lines.skip();
        let mut entries: BTreeMap<String, Entry<'_>> = BTreeMap::new();
        while let Some(line) = lines.peek() {
            if line.starts_with("Tree=") || line == "end of trees" || line.ends_with(':') {
                break;
            }
            let Some(entry) = lines.entry() else { break };
            let place = entry.place.clone();
            if !entry.key.is_empty() && entries.insert(entry.key.to_owned(), entry).is_some() {
                return Err(place.malformed("given twice"));
            }
        }
        let end = lines.here("head");
        let need = |key: &str| {
            entries.get(key).ok_or_else(|| end.malformed(format!("the head has no {key:?}")))
        };
        let version = need("version")?;
        check_version(version.value, &version.place)?;
        let per_iteration = match entries.get("num_tree_per_iteration") {
            Some(entry) => entry,
            None => need("num_class")?,
        };
        let trees_per_iteration: usize = per_iteration.number()?;
        check_outputs(trees_per_iteration, n_bytes, &per_iteration.place)?;
        let (names, infos) = columns(need("max_feature_idx")?, need("feature_names")?, &entries)?;
        let n_tree_sizes = entries
            .get("tree_sizes")
            .map(|entry| (entry.place.clone(), entry.value.split_ascii_whitespace().count()));
        let objective =
            entries.get("objective").map(|entry| (entry.place.clone(), entry.value.to_owned()));
        Ok(Self {
            start,
            version: version.value.to_owned(),
            trees_per_iteration,
            average: entries.contains_key("average_output"),
            names,
            infos,
            objective,
            n_tree_sizes,
        })
    }

    pub(super) fn n_columns(&self) -> usize {
        self.names.len()
    }

    /// Whether the column is known to hold categories.
    pub(super) fn is_category(&self, column: usize) -> bool {
        matches!(self.infos[column], Info::Categories(_))
    }

    /// A split compares the column, or looks it up in a set: never both.
    pub(super) fn asked(
        &mut self,
        column: usize,
        in_set: bool,
        place: &Place,
    ) -> Result<(), ImportError> {
        let info = &mut self.infos[column];
        match (&*info, in_set) {
            (Info::Number, false) | (Info::Categories(_), true) => Ok(()),
            (Info::Unknown, false) => {
                *info = Info::Number;
                Ok(())
            }
            (Info::Unknown, true) => {
                *info = Info::Categories(Vec::new());
                Ok(())
            }
            (Info::Number, true) | (Info::Categories(_), false) => {
                let name = &self.names[column];
                let detail = format!("column {name:?} is split as a number and as a category");
                Err(place.unsupported(detail))
            }
        }
    }

    /// The trees that the head announces must be there, or the file was cut short.
    pub(super) fn check_count(&self, found: usize) -> Result<(), ImportError> {
        if let Some((place, expected)) = &self.n_tree_sizes
            && *expected != found
        {
            let detail = format!("sizes of {expected} trees, but the file holds {found}");
            return Err(place.malformed(detail));
        }
        let per_iteration = self.trees_per_iteration;
        if !found.is_multiple_of(per_iteration) {
            let detail = format!("{found} trees, expected a multiple of {per_iteration}");
            return Err(self.start.malformed(detail));
        }
        Ok(())
    }

    /// Columns with the names of their categories, where lists of a frame can be told apart.
    pub(super) fn columns(
        &mut self,
        pandas: Vec<Vec<String>>,
        warnings: &mut Vec<String>,
    ) -> Columns {
        let categories = |info: &Info| matches!(info, Info::Categories(_));
        let unknown = |info: &Info| matches!(info, Info::Unknown);
        let n_categories = self.infos.iter().filter(|info| categories(info)).count();
        let n_unknown = self.infos.iter().filter(|info| unknown(info)).count();
        // A category that was constant in training is told as nothing, but has its list.
        let with_unknown = pandas.len() != n_categories && pandas.len() == n_categories + n_unknown;
        let named = pandas.len() == n_categories || with_unknown;
        if !named && !pandas.is_empty() {
            warnings.push(format!(
                "pandas_categorical has {} lists for {n_categories} categorical columns: categories \
                 keep their numbers as names",
                pandas.len()
            ));
        }
        let mut lists = pandas.into_iter();
        let mut column = |(name, info): (String, Info)| {
            let listed = categories(&info) || (with_unknown && unknown(&info));
            let list = if named && listed { lists.next() } else { None };
            let kind = match (info, list) {
                (_, Some(list)) => ColumnKind::Named(list),
                (Info::Categories(known), None) => ColumnKind::Numbered(known),
                (Info::Number | Info::Unknown, None) => ColumnKind::Number,
            };
            Column { name, kind }
        };
        let (names, infos) = (std::mem::take(&mut self.names), std::mem::take(&mut self.infos));
        Columns(names.into_iter().zip(infos).map(&mut column).collect())
    }
}

pub(super) fn check_version(version: &str, place: &Place) -> Result<(), ImportError> {
    if ["v2", "v3", "v4"].contains(&version) {
        return Ok(());
    }
    let detail = format!("version {version:?}, this build reads v2, v3 and v4");
    Err(place.unsupported(detail))
}

pub(super) fn check_outputs(n: usize, n_bytes: usize, place: &Place) -> Result<(), ImportError> {
    let most = most_width(n_bytes);
    if (1..=most).contains(&n) {
        return Ok(());
    }
    Err(place.malformed(format!("{n}, expected 1 to {most}")))
}

fn columns(
    max_index: &Entry<'_>,
    names: &Entry<'_>,
    entries: &BTreeMap<String, Entry<'_>>,
) -> Result<(Vec<String>, Vec<Info>), ImportError> {
    let n_columns = max_index.number::<usize>()?.saturating_add(1);
    let listed: Vec<String> = names.value.split_ascii_whitespace().map(str::to_owned).collect();
    if listed.len() != n_columns {
        let detail = format!("{} names, max_feature_idx asks for {n_columns}", listed.len());
        return Err(names.place.malformed(detail));
    }
    let Some(infos) = entries.get("feature_infos") else {
        return Ok((listed, vec![Info::Unknown; n_columns]));
    };
    let told: Vec<&str> = infos.value.split_ascii_whitespace().collect();
    if told.len() != n_columns {
        let detail = format!("{} entries, max_feature_idx asks for {n_columns}", told.len());
        return Err(infos.place.malformed(detail));
    }
    let info = |text: &&str| -> Result<Info, ImportError> {
        if *text == "none" {
            return Ok(Info::Unknown);
        }
        if text.starts_with('[') {
            return Ok(Info::Number);
        }
        let number = |word: &str| {
            let shown: String = word.chars().take(40).collect();
            let detail = || format!("{shown:?} is neither a range nor a category");
            word.parse::<i32>().map(f64::from).map_err(|_| infos.place.malformed(detail()))
        };
        Ok(Info::of_categories(text.split(':').map(number).collect::<Result<_, _>>()?))
    };
    Ok((listed, told.iter().map(info).collect::<Result<_, _>>()?))
}
