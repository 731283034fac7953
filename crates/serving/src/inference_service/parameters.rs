//! Parameters: the few that mean something here. One that a client counts on and that is not served
//! must not pass in silence.

use std::collections::BTreeMap;
use std::time::Duration;

use segue_api::inference as pb;
use segue_api::inference::infer_parameter::ParameterChoice;

use crate::from_proto::{Findings, check_length, shown};
use crate::{Reason, ServingError};

type Given = BTreeMap<String, pb::InferParameter>;

/// The most that the answer may take, in microseconds; 0 for no bound of its own.
pub(super) const TIMEOUT: &str = "timeout";
const SCHEMA_DIGEST: &str = "schema_digest";
const STRICT: &str = "strict";
const ALLOW_MISSING: &str = "allow_missing";
const ROUTING_KEY: &str = "routing_key";
const SUBJECT_ID: &str = "subject_id";

/// What a request asks for beside tensors.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// The schema that the client thinks it packs for.
    pub(super) schema_digest: Option<String>,
    /// Unseen categories are errors.
    pub(super) strict: bool,
    /// Features without a tensor are missing values.
    pub(super) allow_missing: bool,
    routing_key: String,
    /// Whom all rows of the request are about; empty for nobody.
    pub(super) subject_id: String,
}

impl Parameters {
    /// What a split of the traffic hashes, for all rows of the request; empty for none.
    pub(super) fn routing_key(&self) -> &str {
        if self.routing_key.is_empty() { &self.subject_id } else { &self.routing_key }
    }

    /// Reads the parameters of a request. The timeout is read by [`timeout`].
    pub(super) fn read(given: &Given, findings: &mut Findings) -> Self {
        let mut parameters = Self::default();
        for (name, value) in given {
            let choice = value.parameter_choice.as_ref();
            let expected = match (name.as_str(), choice) {
                (TIMEOUT, choice) if micros(choice).is_some() => continue,
                (SCHEMA_DIGEST, Some(ParameterChoice::StringParam(digest))) => {
                    parameters.schema_digest = Some(digest.clone());
                    continue;
                }
                (ROUTING_KEY, Some(ParameterChoice::StringParam(key))) => {
                    parameters.routing_key.clone_from(key);
                    continue;
                }
                (SUBJECT_ID, Some(ParameterChoice::StringParam(subject))) => {
                    parameters.subject_id.clone_from(subject);
                    continue;
                }
                (STRICT, Some(ParameterChoice::BoolParam(strict))) => {
                    parameters.strict = *strict;
                    continue;
                }
                (ALLOW_MISSING, Some(ParameterChoice::BoolParam(allow_missing))) => {
                    parameters.allow_missing = *allow_missing;
                    continue;
                }
                (TIMEOUT, _) => "expected a whole number of microseconds, 0 or more".to_owned(),
                (SCHEMA_DIGEST | ROUTING_KEY | SUBJECT_ID, _) => "expected a string".to_owned(),
                (STRICT | ALLOW_MISSING, _) => "expected a bool".to_owned(),
                (name, _) if is_reserved(name) => {
                    format!("reserved by the protocol and not served here; {KNOWN}")
                }
                _ => format!("not a parameter of this server; {KNOWN}"),
            };
            let field = format!("parameters[{:?}]", shown(name));
            findings.bad(field, Reason::ParameterInvalid, expected);
        }
        for (name, id) in
            [(ROUTING_KEY, &parameters.routing_key), (SUBJECT_ID, &parameters.subject_id)]
        {
            check_length(id, || format!("parameters[{name:?}]"), findings);
        }
        parameters
    }
}

const KNOWN: &str = "there are timeout, schema_digest, strict, allow_missing, routing_key and \
                     subject_id";

/// Names that Triton keeps for sequences, priorities, headers and encodings.
fn is_reserved(name: &str) -> bool {
    name.starts_with("sequence_")
        || name.starts_with("triton_")
        || ["priority", "headers", "binary_data_output"].contains(&name)
}

fn micros(choice: Option<&ParameterChoice>) -> Option<u64> {
    match choice? {
        ParameterChoice::Int64Param(micros) => u64::try_from(*micros).ok(),
        ParameterChoice::Uint64Param(micros) => Some(*micros),
        _ => None,
    }
}

/// The cap that a request sets for itself, if it does and says it well.
pub(super) fn timeout(given: &Given) -> Option<Duration> {
    let micros = micros(given.get(TIMEOUT)?.parameter_choice.as_ref())?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

/// No tensor takes parameters: shared memory and classification are not served.
pub(super) fn check_tensor(given: &Given, tensor: &str, findings: &mut Findings) {
    for name in given.keys() {
        let field = format!("{tensor}.parameters[{:?}]", shown(name));
        let description = "tensors take no parameters here; shared memory and classification are \
                           not served";
        findings.bad(field, Reason::ParameterInvalid, description.to_owned());
    }
}

/// Loading takes no parameters: a published version cannot be configured.
pub(super) fn check_none<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), ServingError> {
    let mut findings = Findings::default();
    for name in names {
        let field = format!("parameters[{:?}]", shown(name));
        let description = "a published version never changes: neither its configuration nor its \
                           files can be replaced when it is loaded";
        findings.bad(field, Reason::ParameterInvalid, description.to_owned());
    }
    findings.check()
}
