//! From tensors to rows: one tensor a feature in any order, or one matrix in schema order.

use segue_dataset::{Feature, FeatureKind, Schema, UNSEEN_CATEGORY};

use super::parameters::{Parameters, check_tensor};
use super::tensor::{self, DataType, InputTensor, Values};
use crate::Reason;
use crate::from_proto::{Findings, check_packed, shown};

/// Names of the tensor that holds all features: the one that forest servers made customary, and the
/// plain one.
const MATRIX_NAMES: [&str; 2] = ["input__0", "input"];

/// The rows of a request. Meaningless if anything was found to be bad.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) n_rows: usize,
    /// Row-major, one value a column of the schema; NaN is missing.
    pub(super) values: Vec<f64>,
    /// Whether every number came in single precision, which the answer then has too.
    pub(super) is_single: bool,
}

/// What rows are read for.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) model: &'a str,
    pub(super) schema: &'a Schema,
    pub(super) parameters: &'a Parameters,
    pub(super) max_rows: usize,
}

/// Inputs beyond those of the model that are looked at, to say what is wrong with each.
const MAX_NEEDLESS: usize = 64;

impl Reader<'_> {
    pub(super) fn read(&self, inputs: Vec<InputTensor>, findings: &mut Findings) -> Rows {
        if inputs.is_empty() {
            let description = "no inputs: give one tensor a feature, or all features in input__0";
            findings.bad("inputs".to_owned(), Reason::FeaturesAbsent, description.to_owned());
            return Rows::default();
        }
        let most = self.schema.len() + MAX_NEEDLESS;
        if inputs.len() > most {
            let description = format!("{} inputs, at most {most} are read", inputs.len());
            findings.bad("inputs".to_owned(), Reason::TensorUnknown, description);
            return Rows::default();
        }
        for input in &inputs {
            check_tensor(&input.parameters, &path_of(&input.name), findings);
        }
        match <[InputTensor; 1]>::try_from(inputs) {
            Ok([matrix]) if self.is_matrix(&matrix.name) => self.matrix(matrix, findings),
            Ok([input]) => self.by_name(vec![input], findings),
            Err(inputs) => self.by_name(inputs, findings),
        }
    }

    fn is_matrix(&self, name: &str) -> bool {
        MATRIX_NAMES.contains(&name) && self.schema.index_of(name).is_none()
    }

    /// Shape `[N, F]`, columns in schema order, categories by their codes as in packed features.
    fn matrix(&self, input: InputTensor, findings: &mut Findings) -> Rows {
        let path = path_of(&input.name);
        let datatype = match DataType::parse(&input.datatype) {
            Some(datatype @ (DataType::Fp32 | DataType::Fp64)) => datatype,
            _ => {
                let description = format!(
                    "expected FP32 or FP64 for a tensor of all features, found {:?}",
                    shown(&input.datatype)
                );
                findings.bad(format!("{path}.datatype"), Reason::TensorDatatype, description);
                return Rows::default();
            }
        };
        let features = self.schema.features();
        let n_rows = match input.shape[..] {
            [n_rows, width] if usize::try_from(width) == Ok(features.len()) => n_rows,
            _ => {
                let description = format!(
                    "expected [rows, {}], one column a feature of {:?} in schema order, found {:?}",
                    features.len(),
                    self.model,
                    &input.shape[..input.shape.len().min(8)]
                );
                findings.bad(format!("{path}.shape"), Reason::TensorShape, description);
                return Rows::default();
            }
        };
        let Some(n_rows) = self.n_rows(n_rows, &path, findings) else { return Rows::default() };
        let n_elements = n_rows * features.len();
        let values = match tensor::read(input.data, datatype, n_elements, &path) {
            Ok(Values::Numbers(values)) => values,
            // Of a floating type there are numbers only.
            Ok(Values::Texts(_)) => return Rows::default(),
            Err(violation) => {
                findings.bad(violation.field, violation.reason, violation.description);
                return Rows::default();
            }
        };
        for (row, cells) in values.chunks_exact(features.len().max(1)).enumerate() {
            for (column, (feature, value)) in features.iter().zip(cells).enumerate() {
                check_packed(feature, *value, || format!("{path}[{row},{column}]"), findings);
            }
        }
        Rows { n_rows, values, is_single: datatype == DataType::Fp32 }
    }

    /// Shapes `[N]` or `[N, 1]`, the same N for all.
    fn by_name(&self, inputs: Vec<InputTensor>, findings: &mut Findings) -> Rows {
        let n_features = self.schema.len();
        let mut given = vec![false; n_features];
        let mut columns: Vec<Option<Vec<f64>>> = vec![None; n_features];
        let mut n_rows = None;
        let (mut any_single, mut any_double) = (false, false);
        for input in inputs {
            let path = path_of(&input.name);
            let Some(column) = self.schema.index_of(&input.name) else {
                let description = self.unknown(&input.name);
                findings.bad(path, Reason::TensorUnknown, description);
                continue;
            };
            if std::mem::replace(&mut given[column], true) {
                let description = "the same input is given twice".to_owned();
                findings.bad(path, Reason::TensorRepeated, description);
                continue;
            }
            let feature = &self.schema.features()[column];
            let Some(datatype) = datatype_for(feature, &input.datatype, &path, findings) else {
                continue;
            };
            match datatype {
                DataType::Fp32 => any_single = true,
                DataType::Bytes => {}
                _ => any_double = true,
            }
            let Some(rows) = self.n_rows_of(&input.shape, n_rows, &path, findings) else {
                continue;
            };
            n_rows = Some(rows);
            match tensor::read(input.data, datatype, rows, &path) {
                Ok(values) => columns[column] = Some(self.column(column, values, &path, findings)),
                Err(violation) => {
                    findings.bad(violation.field, violation.reason, violation.description);
                }
            }
        }
        if !self.parameters.allow_missing {
            let absent = self.schema.features().iter().zip(&given).filter(|(_, given)| !**given);
            for (feature, _) in absent {
                let description = format!(
                    "model {:?} needs this feature; send it, with NaN for missing values, or set \
                     the parameter allow_missing",
                    self.model
                );
                findings.bad(path_of(&feature.name), Reason::FeatureMissing, description);
            }
        }
        if findings.is_bad() {
            return Rows::default();
        }
        let n_rows = n_rows.unwrap_or(0);
        let mut values = vec![f64::NAN; n_rows * n_features];
        for (column, cells) in columns.iter().enumerate() {
            for (row, value) in cells.iter().flatten().enumerate() {
                values[row * n_features + column] = *value;
            }
        }
        Rows { n_rows, values, is_single: any_single && !any_double }
    }

    fn column(
        &self,
        column: usize,
        values: Values,
        path: &str,
        findings: &mut Findings,
    ) -> Vec<f64> {
        let feature = &self.schema.features()[column];
        match values {
            Values::Numbers(numbers) => {
                for (row, number) in numbers.iter().enumerate() {
                    check_packed(feature, *number, || format!("{path}[{row}]"), findings);
                }
                numbers
            }
            Values::Texts(texts) => {
                let code = |(row, text): (usize, &prost::bytes::Bytes)| {
                    self.code(column, text, || format!("{path}[{row}]"), findings)
                };
                texts.iter().enumerate().map(code).collect()
            }
        }
    }

    /// An empty text is a missing value, unless the model was trained on it as a category.
    fn code(
        &self,
        column: usize,
        text: &[u8],
        field: impl Fn() -> String,
        findings: &mut Findings,
    ) -> f64 {
        let Ok(text) = std::str::from_utf8(text) else {
            let description = "a category must be UTF-8 text".to_owned();
            findings.bad(field(), Reason::FeatureType, description);
            return f64::NAN;
        };
        let code = self.schema.category_code(column, text);
        if code != UNSEEN_CATEGORY {
            return code;
        }
        if text.is_empty() {
            return f64::NAN;
        }
        if self.parameters.strict {
            let n_known = self.schema.features()[column].vocabulary().map_or(0, <[String]>::len);
            let description =
                format!("{:?} is none of the {n_known} categories seen in training", shown(text));
            findings.bad(field(), Reason::CategoryUnknown, description);
        }
        code
    }

    /// Rows of a tensor of one feature, the same as of those before it.
    fn n_rows_of(
        &self,
        shape: &[i64],
        before: Option<usize>,
        path: &str,
        findings: &mut Findings,
    ) -> Option<usize> {
        let ([n_rows] | [n_rows, 1]) = shape else {
            let description =
                format!("expected [rows] or [rows, 1], found {:?}", &shape[..shape.len().min(8)]);
            findings.bad(format!("{path}.shape"), Reason::TensorShape, description);
            return None;
        };
        let n_rows = self.n_rows(*n_rows, path, findings)?;
        if before.is_some_and(|before| before != n_rows) {
            let before = before.unwrap_or_default();
            let description = format!("{n_rows} rows, but the inputs before it have {before}");
            findings.bad(format!("{path}.shape"), Reason::TensorShape, description);
            return None;
        }
        Some(n_rows)
    }

    /// A number of rows that may be answered.
    fn n_rows(&self, n_rows: i64, path: &str, findings: &mut Findings) -> Option<usize> {
        let field = format!("{path}.shape");
        match usize::try_from(n_rows) {
            Ok(n_rows) if n_rows > self.max_rows => {
                let max = self.max_rows;
                let description =
                    format!("{n_rows} rows, at most {max} are allowed; send several requests");
                findings.bad(field, Reason::BatchTooLarge, description);
                None
            }
            Ok(n_rows) if n_rows > 0 => Some(n_rows),
            _ => {
                let description = format!("{n_rows} rows, at least 1 is needed");
                findings.bad(field, Reason::TensorShape, description);
                None
            }
        }
    }

    fn unknown(&self, name: &str) -> String {
        if MATRIX_NAMES.contains(&name) {
            return "a tensor of all features must be the only input".to_owned();
        }
        let names = self.schema.features().iter().map(|feature| feature.name.as_str());
        format!("model {:?} has no such input; it has {}", self.model, listed(names))
    }
}

/// Where a tensor is found in a request.
pub(super) fn path_of(name: &str) -> String {
    format!("inputs[{:?}]", shown(name))
}

/// The first names of many.
pub(super) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const MOST: usize = 20;
    let n_names = names.len();
    let mut text =
        names.take(MOST).map(|name| shown(name).to_owned()).collect::<Vec<_>>().join(", ");
    if n_names > MOST {
        text.push_str(&format!(" and {} more; ModelMetadata lists them", n_names - MOST));
    }
    text
}

/// The type of a tensor if the feature can have it.
fn datatype_for(
    feature: &Feature,
    found: &str,
    path: &str,
    findings: &mut Findings,
) -> Option<DataType> {
    let datatype = DataType::parse(found);
    let (fits, expected) = match &feature.kind {
        FeatureKind::Number => (
            datatype.is_some_and(|datatype| datatype != DataType::Bytes),
            "FP32, FP64, BOOL, or an INT or UINT of 8 to 64 bits, for a number",
        ),
        FeatureKind::Category { .. } => (datatype == Some(DataType::Bytes), "BYTES for a category"),
    };
    if !fits {
        let description = format!("expected {expected}, found {:?}", shown(found));
        findings.bad(format!("{path}.datatype"), Reason::TensorDatatype, description);
        return None;
    }
    datatype
}
