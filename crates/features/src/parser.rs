//! The grammar of conditions, by recursive descent:
//!
//! ```text
//! any        = all { "||" all }
//! all        = not { "&&" not }
//! not        = "!" not | "(" any ")" | operand comparison operand
//! operand    = number | op "(" [ argument { "," argument } ] ")"
//! argument   = text up to a comma or bracket | quoted text | key "=" argument
//! ```

use toml::{Table, Value};

use crate::error::FeatureError;
use crate::operator::{CalendarPart, Measure};
use crate::spec::FeatureSpec;

/// Brackets and negations deeper than this are refused, so that no text overflows the stack.
const MAX_DEPTH: usize = 64;

/// A condition whose calls are columns of a plan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Not(Box<Expression>),
    Compare(Operand, Comparison, Operand),
}

/// A side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Number(f64),
    Column(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// Longer spellings first.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Below),
    (">", Comparison::Above),
];

/// Reads a condition; the features are its calls in order.
pub(crate) fn parse(text: &str) -> Result<(Expression, Vec<FeatureSpec>), FeatureError> {
    let mut parser = Parser { text, at: 0, depth: 0, specs: Vec::new() };
    let expression = parser.any()?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.error("&&, || or the end"));
    }
    Ok((expression, parser.specs))
}

struct Parser<'t> {
    text: &'t str,
    /// Byte offset, always between characters.
    at: usize,
    depth: usize,
    specs: Vec<FeatureSpec>,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn error(&self, expected: &str) -> FeatureError {
        let found = match self.rest().split_whitespace().next() {
            Some(word) => format!("{:?}", word.chars().take(24).collect::<String>()),
            None => "the end".to_owned(),
        };
        FeatureError::Condition {
            text: self.text.to_owned(),
            position: self.text[..self.at].chars().count() + 1,
            found,
            expected: expected.to_owned(),
        }
    }

    fn any(&mut self) -> Result<Expression, FeatureError> {
        let mut parts = vec![self.all()?];
        while self.eat("||") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, FeatureError> {
        let mut parts = vec![self.not()?];
        while self.eat("&&") {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Expression::All))
    }

    fn not(&mut self) -> Result<Expression, FeatureError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("at most 64 brackets and negations inside each other"));
        }
        let expression = if self.eat("!") {
            Expression::Not(Box::new(self.not()?))
        } else if self.eat("(") {
            let inner = self.any()?;
            if !self.eat(")") {
                return Err(self.error("&&, || or )"));
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn comparison(&mut self) -> Result<Expression, FeatureError> {
        let left = self.operand()?;
        self.skip_space();
        let found = COMPARISONS.iter().find(|(token, _)| self.rest().starts_with(token));
        let Some(&(token, comparison)) = found else {
            return Err(self.error("one of == != < <= > >="));
        };
        self.at += token.len();
        Ok(Expression::Compare(left, comparison, self.operand()?))
    }

    fn operand(&mut self) -> Result<Operand, FeatureError> {
        self.skip_space();
        let start = self.at;
        let in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let in_number = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
        if self.rest().starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
            let length = self.rest().find(|c| !in_number(c)).unwrap_or(self.rest().len());
            return match self.rest()[..length].parse::<f64>() {
                Ok(number) if number.is_finite() => {
                    self.at += length;
                    Ok(Operand::Number(number))
                }
                _ => Err(self.error("a number")),
            };
        }
        let length = self.rest().find(|c| !in_word(c)).unwrap_or(self.rest().len());
        let op = &self.rest()[..length];
        if op.is_empty() {
            return Err(self.error("a number or a call such as count(conversion, lifetime)"));
        }
        self.at += length;
        if !self.eat("(") {
            return Err(self.error("( and the arguments of the operator"));
        }
        let (mut positional, mut named) = (Vec::new(), Table::new());
        if !self.eat(")") {
            loop {
                self.argument(&mut positional, &mut named)?;
                if self.eat(")") {
                    break;
                }
                if !self.eat(",") {
                    return Err(self.error(", or )"));
                }
            }
        }
        let call = self.text[start..self.at].to_owned();
        let spec = self.spec(op, &call, positional, named)?;
        self.specs.push(spec);
        Ok(Operand::Column(self.specs.len() - 1))
    }

    fn argument(
        &mut self,
        positional: &mut Vec<String>,
        named: &mut Table,
    ) -> Result<(), FeatureError> {
        let (first, quoted) = self.word()?;
        if quoted || !self.eat("=") {
            positional.push(first);
            return Ok(());
        }
        let (value, quoted) = self.word()?;
        let value = match (value.parse::<i64>(), value.parse::<f64>()) {
            _ if quoted => Value::String(value),
            (Ok(number), _) => Value::Integer(number),
            (_, Ok(number)) => Value::Float(number),
            _ => Value::String(value),
        };
        named.insert(first, value);
        Ok(())
    }

    /// A text and whether it was quoted.
    fn word(&mut self) -> Result<(String, bool), FeatureError> {
        self.skip_space();
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|first| ['"', '\''].contains(first)) {
            let Some(length) = rest[1..].find(quote) else {
                return Err(self.error("a text that ends with its quote"));
            };
            self.at += length + 2;
            return Ok((rest[1..=length].to_owned(), true));
        }
        let length = rest.find([',', '(', ')', '=']).unwrap_or(rest.len());
        let word = rest[..length].trim();
        if word.is_empty() {
            return Err(self.error("an argument"));
        }
        self.at += length;
        Ok((word.to_owned(), false))
    }

    fn spec(
        &self,
        op: &str,
        call: &str,
        positional: Vec<String>,
        mut table: Table,
    ) -> Result<FeatureSpec, FeatureError> {
        let is_calendar = CalendarPart::ALL.iter().any(|(name, _)| *name == op);
        let keys: &[&str] = match (op, positional.len()) {
            ("history_days", 0) => &[],
            ("trait", 1) => &["key"],
            (_, 0 | 1) if is_calendar => &["time_zone"],
            (_, 2) => &["events", "window"],
            (_, 3) => &["events", "property", "window"],
            _ => {
                let expected = format!("{op}(events, window) or {op}(events, property, window)");
                return Err(FeatureError::Condition {
                    text: self.text.to_owned(),
                    position: self.text[..self.at - call.len()].chars().count() + 1,
                    found: call.to_owned(),
                    expected,
                });
            }
        };
        table.insert("op".to_owned(), Value::String(op.to_owned()));
        for (key, text) in keys.iter().zip(positional) {
            table.insert((*key).to_owned(), Value::String(text));
        }
        let spec = FeatureSpec::from_table(call, table)?;
        match spec.measure {
            Measure::Request { .. } => Err(FeatureError::BadValue {
                feature: call.to_owned(),
                key: "op".to_owned(),
                found: "\"request\"".to_owned(),
                expected: "an operator over events, for a condition has no request".to_owned(),
            }),
            _ => Ok(spec),
        }
    }
}

fn one_or(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}
