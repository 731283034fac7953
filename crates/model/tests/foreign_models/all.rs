//! No fixture is forgotten: each file is imported, or refused in words that are known here.

use std::fs;
use std::path::{Path, PathBuf};

use segue_model::exchange::{ImportError, import};

use crate::support::fixtures;

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Imported,
    /// Refused with this in the error.
    Refused(&'static str),
    /// No model: a table, a script, a text about it.
    NoModel,
}

const PICKLE: Fate = Fate::Refused("this is a Python pickle: a program, which is never run here");
const NO_HEAD: Fate = Fate::Refused("the first line must be \"tree\"");

/// By name: a file that is not told of here fails the test.
fn fate(path: &Path) -> Option<Fate> {
    let name = path.file_name()?.to_str()?;
    let extension = path.extension().and_then(|extension| extension.to_str());
    Some(match (name, extension) {
        ("xgblin_agaricus.model", _) => Fate::Refused("is a linear model without trees"),
        ("sk_iris.model" | "sk_gradient_boosting_classifier.model", _) => PICKLE,
        ("lg_1tree.json", _) => Fate::Refused("leaf_index 3, num_leaves is 3"),
        ("lg_1tree_1leaf.json", _) => Fate::Refused("1 names, max_feature_idx asks for 41"),
        ("tree_1leaf.txt" | "tree_2leaves.txt" | "tree_3leaves.txt", _) => NO_HEAD,
        ("model_small.txt", _) => Fate::Refused("sizes of 1000 trees"),
        ("LICENSE" | "PROVENANCE.txt", None | Some("txt")) => Fate::NoModel,
        (_, Some("libsvm" | "tsv" | "npz" | "py" | "md" | "test" | "pred" | "margin")) => {
            Fate::NoModel
        }
        (name, Some("txt")) if name.contains("_data") || name.contains("_predictions") => {
            Fate::NoModel
        }
        (_, Some("model" | "json" | "txt" | "onnx")) => Fate::Imported,
        _ => return None,
    })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.collect();
    paths.sort();
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    paths.into_iter().flat_map(below).collect()
}

#[test]
fn every_fixture_is_imported_or_refused() {
    let Some(fixtures) = fixtures() else { return };
    let (mut n_imported, mut n_refused) = (0, 0);
    for path in files(&fixtures) {
        let shown = path.display();
        let fate = fate(&path).unwrap_or_else(|| panic!("{shown}: what is it?"));
        let read = import(&fs::read(&path).unwrap(), None);
        match (fate, read) {
            (Fate::Imported, Ok(imported)) => {
                imported.into_model("fixture").unwrap();
                n_imported += 1;
            }
            (Fate::Refused(words), Err(error)) => {
                let error = error.to_string();
                assert!(error.contains(words), "{shown}: {error}");
                n_refused += 1;
            }
            (Fate::NoModel, Err(_)) => {}
            (fate, read) => panic!("{shown}: {fate:?}, but {:?}", read.map(|read| read.source)),
        }
    }
    println!("{n_imported} imported, {n_refused} refused");
    assert_eq!((n_imported, n_refused), (28, 9));
}

/// The scikit-learn models are programs, and what to do instead is told.
#[test]
fn pickles_are_refused_unread() {
    let Some(fixtures) = fixtures() else { return };
    for file in ["sk_iris.model", "sk_gradient_boosting_classifier.model"] {
        let bytes = fs::read(fixtures.join("leaves").join(file)).unwrap();
        let error = import(&bytes, None).unwrap_err();
        assert_eq!(error, ImportError::Pickle, "{file}");
        assert!(error.to_string().contains("export a scikit-learn model to ONNX"), "{error}");
    }
}
