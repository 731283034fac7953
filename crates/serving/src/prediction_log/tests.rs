//! The log from rows to files and back, through failures.

mod crash;
mod failing;
mod index;
mod sampling;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use segue_dataset::{Feature, Schema, UNSEEN_CATEGORY};

use super::columns::{Column, TableReader, columns, columns_of};
use super::folder::{FileName, Folder};
use super::id::{PredictionId, PredictionIds};
use super::journal::{JournalReader, JournalWriter, Next};
use super::options::PredictionLogOptions;
use super::record::{LoggedVersion, Row, Shape, ShapeFeature, Target, UnseenText};
use super::sealer::{Sealed, Sealer, seal};
use super::{LogMetrics, Recorder};

/// 2026-11-22T16:00Z.
const HOUR: i64 = 498_712;

pub(super) fn shape(n_classes: usize, with_subjects: bool) -> Shape {
    let plans = ["free", "pro", ""].map(str::to_owned).to_vec();
    let feature = |name: &str, vocabulary| ShapeFeature { name: name.to_owned(), vocabulary };
    Shape {
        model: "churn".to_owned(),
        version: 7,
        digest: "d1".to_owned(),
        target: if n_classes == 0 { Target::Binary } else { Target::Multiclass },
        classes: (0..n_classes).map(|class| format!("class {class}")).collect(),
        features: vec![
            feature("age", None),
            feature("plan", Some(plans)),
            // As a fixed column is called.
            feature("score", None),
        ],
        with_subjects,
    }
}

pub(super) fn version() -> Arc<LoggedVersion> {
    let shape = shape(0, false);
    let features = shape.features.iter().map(|feature| match &feature.vocabulary {
        None => Feature::number(&feature.name),
        Some(vocabulary) => Feature::category(&feature.name, vocabulary.clone()),
    });
    let schema = Arc::new(Schema::new(features.collect()).unwrap());
    Arc::new(LoggedVersion { shape, schema, profile: None })
}

/// Logs a prediction made at `time_us`.
pub(crate) fn predicted(recorder: &Recorder, time_us: i64, score: f64) -> PredictionId {
    let id = recorder.ids.next(time_us);
    let mut row = Row::of(id);
    row.time_us = time_us;
    row.scores = vec![score];
    row.values = vec![1.0, 0.0, 2.0];
    recorder.send(&version(), row, true);
    id
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(-0.0),
        Just(f64::MIN_POSITIVE / 2.0),
        any::<f64>().prop_filter("finite", |number| number.is_finite()),
    ]
}

prop_compose! {
    fn row(n_classes: usize)(
        number_of in 0_u64..1 << 40,
        minute in 0_i64..60,
        variant in 0..4_i32,
        segment in "[a-z ]{0,4}",
        scores in prop::collection::vec(number(), 1 + n_classes),
        age in number(),
        plan in prop_oneof![Just(f64::NAN), Just(UNSEEN_CATEGORY), (0..3).prop_map(f64::from)],
        score in number(),
        unseen in prop::option::of(".{0,8}"),
        request_id in ".{0,8}",
        subject in prop::option::of("[^\0]{1,8}"),
    ) -> Row {
        let time_us = HOUR * super::id::HOUR_US + minute * 60_000_000;
        let mut row = Row::of(PredictionIds::new(number_of as i64).next(time_us));
        row.time_us = time_us;
        row.variant = variant;
        row.segment = segment;
        row.scores = scores;
        row.values = vec![age, plan, score];
        let text = |text| UnseenText { column: 1, text };
        row.unseen = unseen.filter(|_| plan == UNSEEN_CATEGORY).map(text).into_iter().collect();
        row.request_id = request_id;
        row.subject = subject;
        row
    }
}

fn file_name() -> FileName {
    let server = PredictionIds::new(1).server();
    FileName { hour: HOUR, model: "churn".into(), version: 7, server, sequence: 0 }
}

/// All rows of a file, column by column.
pub(super) fn read_back(path: &Path) -> (Shape, Vec<Column>) {
    let table = TableReader::open(path).unwrap();
    let names: Vec<String> = columns_of(table.shape()).into_iter().map(|(name, _)| name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(table.n_groups(), 1);
    (table.shape().clone(), table.read(0, &names).unwrap())
}

/// Every NaN is the one missing value.
fn text_of(columns: &[Column]) -> String {
    format!("{columns:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn what_is_logged_is_read_back(
        rows in (0_usize..4).prop_flat_map(|n| (Just(n), prop::collection::vec(row(n), 1..40))),
        with_subjects in any::<bool>(),
    ) {
        let (n_classes, rows) = rows;
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path()).unwrap();
        let (name, shape) = (file_name(), shape(n_classes, with_subjects));
        let mut journal = opened(&folder.journal(&name), &shape);
        for row in &rows {
            journal.push(row);
            journal.flush().unwrap();
        }
        let options = PredictionLogOptions::new(dir.path());
        let sealed = seal(journal.into_file(), &folder, &name, &options).unwrap();
        prop_assert_eq!(sealed, Sealed::Done { n_rows: rows.len() as u64, n_torn_bytes: 0 });
        let (found, read) = read_back(&folder.file(&name));
        prop_assert_eq!(&found, &shape);
        prop_assert_eq!(text_of(&read), text_of(&columns(&rows, &shape)));
        prop_assert!(!folder.journal(&name).exists());
        prop_assert_eq!(folder.files().unwrap().len(), 1);
    }

    #[test]
    fn of_a_cut_journal_the_rows_before_the_cut_are_kept(
        rows in prop::collection::vec(row(0), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path()).unwrap();
        let (name, shape) = (file_name(), shape(0, true));
        let path = folder.journal(&name);
        let mut journal = opened(&path, &shape);
        let mut ends = vec![journal.n_bytes()];
        for row in &rows {
            journal.push(row);
            journal.flush().unwrap();
            ends.push(journal.n_bytes());
        }
        let cut = cut.index(*ends.last().unwrap() as usize) as u64;
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
        let n_whole = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
        let options = PredictionLogOptions::new(dir.path());
        let sealed = seal(journal.into_file(), &folder, &name, &options).unwrap();
        let n_torn_bytes = cut - ends.iter().copied().filter(|end| *end <= cut).max().unwrap_or(0);
        prop_assert_eq!(sealed, Sealed::Done { n_rows: n_whole as u64, n_torn_bytes });
        prop_assert_eq!(folder.file(&name).exists(), n_whole > 0);
        if n_whole > 0 {
            let (_, read) = read_back(&folder.file(&name));
            prop_assert_eq!(text_of(&read), text_of(&columns(&rows[..n_whole], &shape)));
        }
    }
}

fn opened(path: &Path, shape: &Shape) -> JournalWriter {
    JournalWriter::create(path, shape, || Ok(())).unwrap().unwrap()
}

/// A journal of `row` so many times, and where it ended after each.
fn journal_of(row: &Row, n_rows: usize, path: &Path) -> (JournalWriter, Vec<u64>) {
    let mut journal = opened(path, &shape(0, false));
    let ends = (0..n_rows).map(|_| {
        journal.push(row);
        journal.flush().unwrap();
        journal.n_bytes()
    });
    let ends = ends.collect();
    (journal, ends)
}

fn any_row() -> Row {
    let mut row = Row::of(PredictionIds::new(3).next(0));
    row.scores = vec![0.5];
    row.values = vec![1.0; 3];
    row
}

#[test]
fn a_flipped_bit_ends_a_journal_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = Folder::create(dir.path()).unwrap().journal(&file_name());
    let row = any_row();
    let (_, ends) = journal_of(&row, 3, &path);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[ends[0] as usize + 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let mut journal = JournalReader::open(std::fs::File::open(&path).unwrap()).unwrap().unwrap();
    assert!(matches!(journal.next().unwrap(), Next::Row(one) if *one == row));
    assert!(matches!(journal.next().unwrap(), Next::Torn(n) if n == ends[2] - ends[0]));
}

#[test]
fn a_journal_that_is_cut_under_its_reader_is_torn_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = Folder::create(dir.path()).unwrap().journal(&file_name());
    let mut row = any_row();
    // More than a reader has in its buffer.
    row.request_id = "r".repeat(100_000);
    let (_writer, ends) = journal_of(&row, 2, &path);
    let mut reader = JournalReader::open(std::fs::File::open(&path).unwrap()).unwrap().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(ends[0] + 70_000).unwrap();
    assert!(matches!(reader.next().unwrap(), Next::Row(one) if *one == row));
    assert!(matches!(reader.next().unwrap(), Next::Torn(_)));
}

/// Between the start of a child and its becoming its own program, the child has this process's files,
/// and their locks with them. Letting go of a journal did not unlock it then, and a log that ended in
/// such a moment left the journal unsealed until the next start.
#[test]
fn a_journal_is_sealed_though_a_child_still_has_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::create(dir.path()).unwrap();
    let name = file_name();
    let (journal, _) = journal_of(&any_row(), 3, &folder.journal(&name));
    let file = journal.into_file();
    let _of_the_child = file.try_clone().unwrap();
    let options = Arc::new(PredictionLogOptions::new(dir.path()));
    let mut sealer = Sealer::start(folder.clone(), options, LogMetrics::default()).unwrap();
    sealer.seal(name, file);
    sealer.stop();
    assert_eq!((folder.files().unwrap().len(), folder.journals().unwrap().len()), (1, 0));
}

#[test]
fn no_two_columns_have_one_name() {
    let names = ["score", "feature.score", "feature.feature.score", "age", "feature.age", "label"];
    let columns = names.map(super::columns::feature_column);
    let expected = [
        "feature.score",
        "feature.feature.score",
        "feature.feature.feature.score",
        "age",
        "feature.age",
        "feature.label",
    ];
    assert_eq!(columns, expected);
}

#[test]
fn files_too_many_are_removed_from_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::create(dir.path()).unwrap();
    let mut options = PredictionLogOptions::new(dir.path());
    options.max_bytes = 1 << 20;
    let now_hour = crate::scoring_service::now_us() / super::id::HOUR_US;
    let place = |hours_ago: i64| {
        let name = FileName { hour: now_hour - hours_ago, ..file_name() };
        let path = folder.file(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, vec![0; 400 << 10]).unwrap();
        path
    };
    let paths = [24 * 91, 5, 4, 3].map(place);
    let metrics = LogMetrics::default();
    let recorder =
        Recorder::start(Some(&options), Duration::from_secs(3600), metrics.clone()).unwrap();
    recorder.finish();
    assert_eq!(paths.map(|path| path.exists()), [false, false, true, true]);
    assert_eq!((metrics.removed("age").get(), metrics.removed("bytes").get()), (1, 1));
    assert_eq!(metrics.bytes.get(), 800 << 10);
}
