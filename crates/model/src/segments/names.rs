//! Which names a condition uses, read off its syntax tree.

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::{Segment, SegmentError};

/// What a name with members stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Features,
    Scores,
    ClassScores,
    Traits,
}

impl Root {
    const ALL: [Self; 4] = [Self::Features, Self::Scores, Self::ClassScores, Self::Traits];

    /// As conditions write it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Features => "features",
            Self::Scores => "scores",
            Self::ClassScores => "class_scores",
            Self::Traits => "traits",
        }
    }
}

/// Members that conditions use, by root.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_root: [BTreeSet<String>; 4],
}

const SCORE: &str = "score";

/// Functions of the language that conditions may call; operators and macros are always there.
const FUNCTIONS: [&str; 13] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
];

impl Names {
    /// Collects the names of a compiled condition.
    pub(super) fn of(segment: &Segment, expression: &IdedExpr) -> Result<Self, SegmentError> {
        let mut walk = Walk { segment, names: Self::default(), locals: Vec::new() };
        walk.expression(expression)?;
        Ok(walk.names)
    }

    pub(super) fn of_root(&self, root: Root) -> &BTreeSet<String> {
        &self.by_root[root as usize]
    }

    pub(super) fn extend(&mut self, other: &Self) {
        for (names, others) in self.by_root.iter_mut().zip(&other.by_root) {
            names.extend(others.iter().cloned());
        }
    }
}

/// Every used name must be one of `known`.
pub(super) fn check(
    segment: &Segment,
    used: &BTreeSet<String>,
    kind: &'static str,
    known: &[&str],
) -> Result<(), SegmentError> {
    match used.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(unknown(segment, name, kind, known)),
        None => Ok(()),
    }
}

fn unknown(segment: &Segment, name: &str, kind: &'static str, known: &[&str]) -> SegmentError {
    let likeness = |other: &&&str| strsim::jaro_winkler(name, other);
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)).then(b.cmp(a)));
    SegmentError::Unknown {
        segment: segment.name.clone(),
        name: name.to_owned(),
        kind,
        nearest: nearest.map(|&nearest| nearest.to_owned()),
    }
}

struct Walk<'a> {
    segment: &'a Segment,
    names: Names,
    /// Variables bound by the macros around the current expression.
    locals: Vec<String>,
}

impl Walk<'_> {
    fn expression(&mut self, at: &IdedExpr) -> Result<(), SegmentError> {
        match &at.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => match self.root_of(&select.operand) {
                Some(root) => {
                    self.member(root, &select.field);
                    Ok(())
                }
                None => self.deep_member(at).unwrap_or_else(|| self.expression(&select.operand)),
            },
            Expr::Call(call) => {
                if let Some(member) = self.index(&call.func_name, &call.args) {
                    return member;
                }
                self.function(&call.func_name)?;
                call.target.iter().try_for_each(|target| self.expression(target))?;
                call.args.iter().try_for_each(|arg| self.expression(arg))
            }
            Expr::Comprehension(of) => {
                self.expression(&of.iter_range)?;
                self.expression(&of.accu_init)?;
                let outside = self.locals.len();
                self.locals.extend([of.iter_var.clone(), of.accu_var.clone()]);
                self.locals.extend(of.iter_var2.clone());
                let inside = [&of.loop_cond, &of.loop_step, &of.result];
                inside.into_iter().try_for_each(|part| self.expression(part))?;
                self.locals.truncate(outside);
                Ok(())
            }
            Expr::List(list) => list.elements.iter().try_for_each(|part| self.expression(part)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(of) => of.entries.iter().try_for_each(|entry| self.entry(&entry.expr)),
        }
    }

    fn entry(&mut self, entry: &EntryExpr) -> Result<(), SegmentError> {
        match entry {
            EntryExpr::StructField(field) => self.expression(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.expression(&entry.key)?;
                self.expression(&entry.value)
            }
        }
    }

    /// The root that an expression names, unless a macro's variable hides it.
    fn root_of(&self, at: &IdedExpr) -> Option<Root> {
        let Expr::Ident(name) = &at.expr else { return None };
        let hidden = self.locals.iter().any(|local| local == name);
        Root::ALL.into_iter().find(|root| root.word() == name).filter(|_| !hidden)
    }

    fn member(&mut self, root: Root, name: &str) {
        self.names.by_root[root as usize].insert(name.to_owned());
    }

    /// `features.a.b`: a name with a dot in it has to be quoted.
    fn deep_member(&self, at: &IdedExpr) -> Option<Result<(), SegmentError>> {
        let (mut at, mut path) = (at, Vec::new());
        while let Expr::Select(select) = &at.expr {
            path.push(select.field.as_str());
            at = &select.operand;
        }
        let root = self.root_of(at)?.word();
        path.reverse();
        let name = path.join(".");
        Some(Err(self.fault(format!("write {root}[\"{name}\"] instead of {root}.{name}"))))
    }

    /// `features["name"]`.
    fn index(&mut self, function: &str, args: &[IdedExpr]) -> Option<Result<(), SegmentError>> {
        let [of, key] = args else { return None };
        let root = self.root_of(of).filter(|_| function == operators::INDEX)?;
        let Expr::Literal(LiteralValue::String(name)) = &key.expr else {
            return Some(Err(self.whole(root)));
        };
        self.member(root, name.inner());
        Some(Ok(()))
    }

    fn variable(&self, name: &str) -> Result<(), SegmentError> {
        let local = name.starts_with('@') || self.locals.iter().any(|local| local == name);
        if local || name == SCORE {
            return Ok(());
        }
        if let Some(root) = Root::ALL.into_iter().find(|root| root.word() == name) {
            return Err(self.whole(root));
        }
        let [a, b, c, d] = Root::ALL.map(Root::word);
        let known = [SCORE, a, b, c, d];
        Err(unknown(self.segment, name, "variable", &known))
    }

    fn function(&self, name: &str) -> Result<(), SegmentError> {
        let operator = name.contains(['_', '@', '!']);
        if operator || FUNCTIONS.contains(&name) {
            return Ok(());
        }
        Err(unknown(self.segment, name, "function", &FUNCTIONS))
    }

    fn whole(&self, root: Root) -> SegmentError {
        let root = root.word();
        self.fault(format!("{root} must be followed by one name, as in {root}[\"name\"],"))
    }

    fn fault(&self, detail: String) -> SegmentError {
        SegmentError::Condition {
            segment: self.segment.name.clone(),
            when: self.segment.when.clone(),
            detail,
        }
    }
}
