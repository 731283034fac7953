//! model.bin.

use super::parts::{read_schema, read_target, write_schema, write_target};
use super::{DecodeError, Format, Reader, Writer};
use crate::courtesy::giving_way;
use crate::{
    Calibration, CategorySet, Child, Combine, Ensemble, Link, MissingRule, Model, ModelParts, Node,
    Split, Tree,
};

pub(super) const FORMAT: Format<4> = Format {
    file: "segue model",
    magic: *b"SEGUEMDL",
    oldest: 1,
    newest: 1,
    sections: ["schm", "task", "tree", "calb"],
};

/// Set in an encoded child if it is a leaf.
const LEAF: u32 = 1 << 31;
/// Fewest bytes of a node: feature, missing, kind, set length or threshold, children, gain, cover.
const NODE_BYTES: usize = 4 + 1 + 1 + 8 + 4 + 4 + 8 + 8;
/// Fewest bytes of a tree: output, width, node count, one leaf value and one leaf cover.
const TREE_BYTES: usize = 4 + 4 + 8 + 8 + 8;

impl Model {
    /// The bytes of model.bin. The same model gives the same bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (mut schema, mut task) = (Writer::default(), Writer::default());
        let (mut trees, mut calibration) = (Writer::default(), Writer::default());
        write_schema(&mut schema, self.schema());
        task.text(self.task());
        write_target(&mut task, self.target());
        task.texts(self.behaviours());
        match self.feature_set_hash() {
            Some(hash) => {
                task.u8(1);
                task.text(hash);
            }
            None => task.u8(0),
        }
        write_ensemble(&mut trees, self.ensemble());
        write_calibration(&mut calibration, self.calibration());
        FORMAT.seal(&[schema, task, trees, calibration])
    }

    /// Reads model.bin and checks the model as [`Model::new`] does.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that are not whole, changed, of another format, or not a model.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [schema, mut task, trees, calibration] = FORMAT.open(bytes)?;
        let schema = read_schema(schema)?;
        let name = task.text()?;
        let target = read_target(&mut task)?;
        let behaviours = task.texts()?;
        let feature_set_hash = match task.u8()? {
            0 => None,
            1 => Some(task.text()?),
            flag => return Err(task.error(format!("flag {flag}, expected 0 or 1"))),
        };
        task.end()?;
        let ensemble = read_ensemble(trees)?;
        let calibration = read_calibration(calibration)?;
        let task = name;
        Ok(Self::new(ModelParts {
            schema,
            target,
            task,
            ensemble,
            calibration,
            behaviours,
            feature_set_hash,
        })?)
    }
}

fn write_ensemble(out: &mut Writer, ensemble: &Ensemble) {
    out.u8(match ensemble.combine {
        Combine::Sum => 0,
        Combine::Mean => 1,
    });
    out.u8(match ensemble.link {
        Link::Identity => 0,
        Link::Logistic => 1,
        Link::Softmax => 2,
        Link::Exp => 3,
    });
    out.f64s(&ensemble.base);
    out.count(ensemble.trees.len());
    for (tree, &output) in ensemble.trees.iter().zip(&ensemble.tree_output) {
        out.u32(output);
        out.u32(tree.leaf_width);
        out.count(tree.nodes.len());
        tree.nodes.iter().for_each(|node| write_node(out, node));
        // Their counts follow from the number of nodes and the width.
        tree.leaf_values.iter().for_each(|&value| out.f64(value));
        tree.leaf_cover.iter().for_each(|&cover| out.f64(cover));
    }
}

fn write_node(out: &mut Writer, node: &Node) {
    out.u32(node.feature);
    out.u8(match node.missing {
        MissingRule::Left => 0,
        MissingRule::Right => 1,
        MissingRule::AsZero => 2,
        MissingRule::ZeroLeft => 3,
        MissingRule::ZeroRight => 4,
    });
    match &node.split {
        Split::AtMost(threshold) => {
            out.u8(0);
            out.f64(*threshold);
        }
        Split::Below(threshold) => {
            out.u8(1);
            out.f64(*threshold);
        }
        Split::In(set) => {
            out.u8(2);
            out.count(set.words().len());
            set.words().iter().for_each(|&word| out.u64(word));
        }
    }
    for child in [node.left, node.right] {
        out.u32(match child {
            Child::Node(node) => node,
            Child::Leaf(leaf) => LEAF | leaf,
        });
    }
    out.f64(node.gain);
    out.f64(node.cover);
}

fn read_ensemble(mut reader: Reader<'_>) -> Result<Ensemble, DecodeError> {
    let combine = match reader.u8()? {
        0 => Combine::Sum,
        1 => Combine::Mean,
        code => return Err(reader.error(format!("combine {code}, expected 0 or 1"))),
    };
    let link = match reader.u8()? {
        0 => Link::Identity,
        1 => Link::Logistic,
        2 => Link::Softmax,
        3 => Link::Exp,
        code => return Err(reader.error(format!("link {code}, expected 0 to 3"))),
    };
    let base = reader.f64s()?;
    let n_trees = reader.count(TREE_BYTES)?;
    let (mut trees, mut tree_output) = (Vec::with_capacity(n_trees), Vec::with_capacity(n_trees));
    for _ in giving_way(0..n_trees) {
        tree_output.push(reader.u32()?);
        trees.push(read_tree(&mut reader)?);
    }
    reader.end()?;
    Ok(Ensemble { trees, tree_output, base, combine, link })
}

fn read_tree(reader: &mut Reader<'_>) -> Result<Tree, DecodeError> {
    let leaf_width = reader.u32()?;
    let n_nodes = reader.count(NODE_BYTES)?;
    let mut nodes = Vec::with_capacity(n_nodes);
    for _ in 0..n_nodes {
        nodes.push(read_node(reader)?);
    }
    let n_leaves = n_nodes + 1;
    // The width may be a lie, and then the bytes are not there.
    let leaf_values = reader.n_f64s(n_leaves.saturating_mul(leaf_width as usize))?;
    let leaf_cover = reader.n_f64s(n_leaves)?;
    Ok(Tree { nodes, leaf_values, leaf_cover, leaf_width })
}

fn read_node(reader: &mut Reader<'_>) -> Result<Node, DecodeError> {
    let feature = reader.u32()?;
    let missing = match reader.u8()? {
        0 => MissingRule::Left,
        1 => MissingRule::Right,
        2 => MissingRule::AsZero,
        3 => MissingRule::ZeroLeft,
        4 => MissingRule::ZeroRight,
        code => return Err(reader.error(format!("missing rule {code}, expected 0 to 4"))),
    };
    let split = match reader.u8()? {
        0 => Split::AtMost(reader.f64()?),
        1 => Split::Below(reader.f64()?),
        2 => {
            let n = reader.count(8)?;
            Split::In(CategorySet::from_words(reader.n_u64s(n)?))
        }
        code => return Err(reader.error(format!("split {code}, expected 0, 1 or 2"))),
    };
    let (left, right) = (read_child(reader)?, read_child(reader)?);
    let (gain, cover) = (reader.f64()?, reader.f64()?);
    Ok(Node { feature, split, missing, left, right, gain, cover })
}

fn read_child(reader: &mut Reader<'_>) -> Result<Child, DecodeError> {
    let code = reader.u32()?;
    Ok(if code & LEAF == 0 { Child::Node(code) } else { Child::Leaf(code & !LEAF) })
}

fn write_calibration(out: &mut Writer, calibration: &Calibration) {
    match calibration {
        Calibration::None => out.u8(0),
        Calibration::Platt { slope, intercept } => {
            out.u8(1);
            out.f64(*slope);
            out.f64(*intercept);
        }
        Calibration::Isotonic { knots, values } => {
            out.u8(2);
            out.f64s(knots);
            out.f64s(values);
        }
        Calibration::Linear { slope, intercept } => {
            out.u8(3);
            out.f64(*slope);
            out.f64(*intercept);
        }
        Calibration::PerClass(classes) => {
            out.u8(4);
            out.count(classes.len());
            classes.iter().for_each(|class| write_calibration(out, class));
        }
    }
}

fn read_calibration(mut reader: Reader<'_>) -> Result<Calibration, DecodeError> {
    let calibration = match reader.u8()? {
        4 => {
            let n = reader.count(1)?;
            let class = |_| {
                let code = reader.u8()?;
                read_one_calibration(&mut reader, code)
            };
            Calibration::PerClass((0..n).map(class).collect::<Result<Vec<_>, _>>()?)
        }
        code => read_one_calibration(&mut reader, code)?,
    };
    reader.end()?;
    Ok(calibration)
}

/// Anything but a list, so that lists cannot nest.
fn read_one_calibration(reader: &mut Reader<'_>, code: u8) -> Result<Calibration, DecodeError> {
    Ok(match code {
        0 => Calibration::None,
        1 => Calibration::Platt { slope: reader.f64()?, intercept: reader.f64()? },
        2 => Calibration::Isotonic { knots: reader.f64s()?, values: reader.f64s()? },
        3 => Calibration::Linear { slope: reader.f64()?, intercept: reader.f64()? },
        code => return Err(reader.error(format!("calibration {code}, expected 0 to 3"))),
    })
}
