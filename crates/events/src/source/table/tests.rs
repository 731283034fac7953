//! A table in one go against the same rows one by one.

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::{
    AssembleOptions, EventLog, MapperOptions, PlainMapping, Record, RejectReason, TimeUnit,
};

/// What a cell of the table may hold.
#[derive(Debug, Clone)]
enum Held {
    Null,
    Flag(bool),
    Integer(i64),
    Number(f64),
    Text(&'static str),
}

#[derive(Debug, Clone)]
struct Rows {
    names: Vec<String>,
    rows: Vec<Vec<Held>>,
}

impl Table for Rows {
    fn n_rows(&self) -> usize {
        self.rows.len()
    }

    fn names(&self) -> &[String] {
        &self.names
    }

    fn cell(&self, column: usize, row: usize) -> Cell<'_> {
        match self.rows[row][column] {
            Held::Null => Cell::Null,
            Held::Flag(flag) => Cell::Flag(flag),
            Held::Integer(value) => Cell::Integer(value),
            Held::Number(value) => Cell::Number(value),
            Held::Text(text) => Cell::Text(Cow::Borrowed(text)),
        }
    }
}

struct OneRow<'a>(&'a Rows, usize);

impl Record for OneRow<'_> {
    fn cell(&self, key: &str) -> Option<Cell<'_>> {
        let column = self.0.names.iter().position(|name| name == key)?;
        Some(self.0.cell(column, self.1))
    }

    fn visit(&self, visit: &mut dyn FnMut(&str, Cell<'_>)) {
        for (column, name) in self.0.names.iter().enumerate() {
            visit(name, self.0.cell(column, self.1));
        }
    }
}

/// Few ids and times, so that ties and duplicates abound, and everything that a row can lack.
fn held() -> impl Strategy<Value = Held> {
    prop_oneof![
        1 => Just(Held::Null),
        1 => any::<bool>().prop_map(Held::Flag),
        6 => (0..4i64).prop_map(|hour| Held::Integer(1_700_000_000 + hour * 3_600)),
        1 => Just(Held::Number(f64::NAN)),
        1 => (0..3i32).prop_map(|n| Held::Number(f64::from(n) / 2.0)),
        4 => prop::sample::select(vec!["a", " b ", "c", "", " ", "null", "0", "7"])
            .prop_map(Held::Text),
    ]
}

const COLUMNS: [&str; 9] =
    ["user", "device", "event", "time", "known", "id", "order", "visit", "amount"];

fn rows() -> impl Strategy<Value = Rows> {
    let row = prop::collection::vec(held(), COLUMNS.len());
    prop::collection::vec(row, 0..40).prop_map(|rows| {
        let time = |row: &mut Vec<Held>| {
            // Most rows have to be good ones.
            if !matches!(row[3], Held::Text(_)) {
                row[3] = Held::Integer(1_700_000_000);
            }
        };
        let mut rows = rows;
        rows.iter_mut().for_each(time);
        Rows { names: COLUMNS.map(str::to_owned).to_vec(), rows }
    })
}

fn mapper(named: [bool; 7], listed: bool, excluded: bool) -> Mapper {
    let [anonymous, event, known, id, order, visit, _] = named;
    let column = |is_named: bool, name: &str| is_named.then(|| name.to_owned());
    let plain = PlainMapping {
        user: column(true, "user"),
        anonymous: column(anonymous, "device"),
        event: column(event, "event"),
        event_name: column(!event, "seen"),
        time: column(true, "time"),
        known_time: column(known, "known"),
        event_id: column(id, "id"),
        seq: column(order, "order"),
        session: column(visit, "visit"),
        time_unit: Some(TimeUnit::Seconds),
        properties: listed.then(|| ["visit", "amount", "amount"].map(str::to_owned).to_vec()),
        ..PlainMapping::default()
    };
    let exclude_properties = if excluded { vec!["am*".to_owned()] } else { Vec::new() };
    let options = MapperOptions { exclude_properties, ..MapperOptions::default() };
    Mapper::new(SourceFormat::Plain, Some(plain), options).unwrap()
}

fn text(log: &EventLog) -> Vec<String> {
    let line = |history: &crate::History, at: usize| {
        let property = |&(key, value): &(Symbol, Scalar)| match value {
            Scalar::Text(text) => format!("{}={:?}", log.symbols.text(key), log.symbols.text(text)),
            Scalar::Number(number) => format!("{}={number:?}", log.symbols.text(key)),
            Scalar::Flag(flag) => format!("{}={flag}", log.symbols.text(key)),
        };
        format!(
            "{} {} {} {:?} {} [{}] {:?}",
            log.symbols.text(history.user()),
            history.event_ts()[at],
            history.known_ts()[at],
            history.kind(at),
            log.symbols.text(history.name()[at]),
            log.symbols.text(history.session(at)),
            history.properties(at).iter().map(property).collect::<Vec<_>>(),
        )
    };
    let histories = log.histories.iter();
    histories.flat_map(|history| (0..history.len()).map(move |at| line(history, at))).collect()
}

type Refused = Vec<(usize, RejectReason)>;

fn one_by_one(mapper: &Mapper, rows: &Rows, which: &[usize], into: &mut LogBuilder) -> Refused {
    let mut refused = Vec::new();
    for &row in which {
        match mapper.map(&OneRow(rows, row)) {
            Ok(event) => into.push(event),
            Err(reject) => refused.push((row, reject.reason)),
        }
    }
    refused
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(11),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_table_is_mapped_as_its_rows_are(
        rows in rows(),
        named in any::<[bool; 7]>(),
        listed in any::<bool>(),
        excluded in any::<bool>(),
        cut in 0..40usize,
        n_threads in 1..4usize,
    ) {
        let single = mapper(named, listed, excluded);
        let all: Vec<usize> = (0..rows.rows.len()).collect();
        let mut builder = LogBuilder::new(AssembleOptions::default());
        let expected_refused = one_by_one(&single, &rows, &all, &mut builder);
        let expected = builder.finish();

        // In two parts that are put together, the later one first.
        let whole = mapper(named, listed, excluded);
        let cut = cut.min(rows.rows.len());
        let mut refused = Vec::new();
        let mut together = LogBuilder::new(AssembleOptions::default());
        for part in [cut..rows.rows.len(), 0..cut] {
            let own = Rows { rows: rows.rows[part.clone()].to_vec(), ..rows.clone() };
            let mut builder = LogBuilder::new(AssembleOptions::default());
            let left = whole.map_table(&own, &mut builder);
            let found = one_by_one(&whole, &own, &left, &mut builder);
            refused.extend(found.into_iter().map(|(row, reason)| (row + part.start, reason)));
            together.absorb(builder);
        }
        refused.sort_unstable();
        let log = together.finish_on(n_threads);
        prop_assert_eq!(refused, expected_refused);
        prop_assert_eq!(text(&log), text(&expected));
        prop_assert_eq!(log.counts, expected.counts);
        prop_assert_eq!(whole.notes(), single.notes());
        let spans = [&log, &expected].map(|log| (log.first_ts, log.last_ts, log.last_known_ts));
        prop_assert_eq!(spans[0], spans[1]);
    }
}

#[test]
fn only_rows_that_are_not_in_order_are_left() {
    let mapper = mapper([false, true, false, false, false, false, false], true, false);
    let row = |user, time| {
        let mut row = vec![Held::Null; COLUMNS.len()];
        (row[0], row[2], row[3]) = (Held::Text(user), Held::Text("seen"), time);
        row
    };
    let good = Held::Integer(1_700_000_000);
    let rows = vec![
        row("ann", good.clone()),
        row("null", good.clone()),
        row("bob", Held::Text("soon")),
        row("bob", good),
    ];
    let table = Rows { names: COLUMNS.map(str::to_owned).to_vec(), rows };
    let mut builder = LogBuilder::new(AssembleOptions::default());
    assert_eq!(mapper.map_table(&table, &mut builder), [1, 2]);
    assert_eq!(builder.len(), 2);
}
