//! ONNX, with the tensors of its own tests.

use std::fs;
use std::path::Path;

use crate::support::{fixtures, read};

/// Numbers of one array of an uncompressed `.npz`.
fn npz(path: &Path, name: &str) -> Vec<f64> {
    let bytes = fs::read(path).unwrap();
    let find = |from: usize, what: &[u8]| {
        let at = bytes[from..].windows(what.len()).position(|window| window == what);
        from + at.unwrap_or_else(|| panic!("{} has no {}", path.display(), what.escape_ascii()))
    };
    let start = find(find(0, name.as_bytes()), b"\x93NUMPY");
    let n_head = usize::from(u16::from_le_bytes([bytes[start + 8], bytes[start + 9]]));
    let data = start + 10 + n_head;
    let head = String::from_utf8_lossy(&bytes[start + 10..data]);
    let shape = head.split(['(', ')']).nth(1).unwrap();
    let sizes = shape.split(',').filter_map(|size| size.trim().parse::<usize>().ok());
    let n: usize = sizes.product();
    let number = |at: usize| match head.contains("<f8") {
        true => f64::from_le_bytes(bytes[data + 8 * at..][..8].try_into().unwrap()),
        false => f64::from(f32::from_le_bytes(bytes[data + 4 * at..][..4].try_into().unwrap())),
    };
    (0..n).map(number).collect()
}

#[test]
fn onnx_outputs_are_those_of_the_source() {
    let Some(fixtures) = fixtures() else { return };
    for (name, n_columns, n_rows, n_outputs) in
        [("single_tree", 2, 3, 2), ("set_membership", 1, 6, 4)]
    {
        let folder = fixtures.join(format!("onnx/test_ai_onnx_ml_tree_ensemble_{name}"));
        let imported = read(&folder.join("model.onnx"));
        assert_eq!((imported.schema.len(), imported.ensemble.n_outputs()), (n_columns, n_outputs));
        let (rows, expected) =
            (npz(&folder.join("data_0.npz"), "in_0"), npz(&folder.join("data_0.npz"), "out_0"));
        assert_eq!((rows.len(), expected.len()), (n_rows * n_columns, n_rows * n_outputs));
        let mut found = vec![0.0; n_outputs];
        for (row, expected) in rows.chunks(n_columns).zip(expected.chunks(n_outputs)) {
            imported.ensemble.margins(row, &mut found);
            assert_eq!(found, expected, "{name} at {row:?}");
        }
    }
}
