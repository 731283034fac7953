//! New number properties as arithmetic over others: `revenue = "quantity * unit_price"`.

use std::collections::BTreeMap;

use cel::{Context, Program, Value as Cel};
use segue_events::{Event, Value};

use super::ReadError;

/// Compiled expressions, by the name of the property that each makes.
pub(super) struct Derive {
    programs: Vec<(String, Program, Vec<String>)>,
}

impl Derive {
    /// Compiles CEL expressions over properties, all read as numbers.
    pub(super) fn compile(derive: &BTreeMap<String, String>) -> Result<Self, ReadError> {
        let programs = derive.iter().map(|(name, text)| {
            let program = Program::compile(text).map_err(|error| ReadError::Derive {
                name: name.clone(),
                message: format!("{text:?} is not an expression: {error}"),
            })?;
            let inputs: Vec<String> =
                program.references().variables().into_iter().map(str::to_owned).collect();
            // whole numbers are another type in CEL, so a trial run finds `price * 2` at once
            let trial = run(&program, inputs.iter().map(|input| (input.as_str(), 1.0)));
            trial.map_err(|message| ReadError::Derive {
                name: name.clone(),
                message: format!(
                    "{text:?}: {message}; numbers are written with a point, such as 2.0"
                ),
            })?;
            Ok((name.clone(), program, inputs))
        });
        Ok(Self { programs: programs.collect::<Result<_, _>>()? })
    }

    /// Whether nothing is derived.
    pub(super) fn is_empty(&self) -> bool {
        self.programs.is_empty()
    }

    /// Adds each derived property whose inputs are all there; a result that is not finite is left out.
    pub(super) fn apply(&self, event: &mut Event) {
        for (name, program, inputs) in &self.programs {
            let number = |key: &String| {
                event.properties.iter().find(|(name, _)| name == key).and_then(|(_, value)| {
                    match value {
                        Value::Number(number) => Some(*number),
                        Value::Flag(flag) => Some(f64::from(u8::from(*flag))),
                        Value::Text(text) => text.trim().parse().ok(),
                    }
                })
            };
            let Some(values) = inputs.iter().map(number).collect::<Option<Vec<f64>>>() else {
                continue;
            };
            let result = run(program, inputs.iter().map(String::as_str).zip(values));
            if let Ok(result) = result
                && result.is_finite()
            {
                event.properties.retain(|(key, _)| key != name);
                event.properties.push((name.clone(), Value::Number(result)));
            }
        }
    }
}

fn run<'a>(program: &Program, inputs: impl Iterator<Item = (&'a str, f64)>) -> Result<f64, String> {
    let mut context = Context::empty();
    for (name, value) in inputs {
        context.add_variable_from_value(name, value);
    }
    match program.execute(&context) {
        Ok(Cel::Float(number)) => Ok(number),
        Ok(Cel::Int(number)) => Ok(number as f64),
        Ok(Cel::UInt(number)) => Ok(number as f64),
        Ok(other) => Err(format!("gives {other:?}, expected a number")),
        Err(error) => Err(error.to_string()),
    }
}
