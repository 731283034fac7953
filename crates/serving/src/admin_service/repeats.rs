//! Changes of this server that were asked for under a request id, so that a repeat changes nothing.

use std::collections::VecDeque;

use segue_api::v1 as pb;

use crate::{Reason, ServingError};

/// Changes that are known by their ids: as many as the registry looks for an id among.
const MAX_KNOWN: usize = 256;

/// The newest changes that had an id, each with its answer.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    known: VecDeque<(pb::SetLogSamplingRequest, pb::SetLogSamplingResponse)>,
}

impl Repeats {
    /// The answer that the same request was given, if its id is known.
    ///
    /// # Errors
    /// If the id was used for another change.
    pub(super) fn find(
        &self,
        request: &pb::SetLogSamplingRequest,
    ) -> Result<Option<pb::SetLogSamplingResponse>, ServingError> {
        let id = &request.request_id;
        let mut known = self.known.iter();
        match known.find(|(before, _)| !id.is_empty() && before.request_id == *id) {
            None => Ok(None),
            Some((before, answer)) if before == request => Ok(Some(answer.clone())),
            Some(_) => {
                let description = format!("{id:?} was used for another change; use a new one");
                let reason = Reason::RequestIdReused;
                Err(ServingError::invalid("request_id", reason, &description))
            }
        }
    }

    /// The request has been carried out.
    pub(super) fn keep(
        &mut self,
        request: &pb::SetLogSamplingRequest,
        answer: &pb::SetLogSamplingResponse,
    ) {
        if request.request_id.is_empty() {
            return;
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back((request.clone(), answer.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str, basis_points: u32) -> pb::SetLogSamplingRequest {
        let (model, request_id) = ("churn".to_owned(), id.to_owned());
        pb::SetLogSamplingRequest { basis_points, model, request_id }
    }

    #[test]
    fn an_id_is_known_for_a_while_and_for_one_change() {
        let mut repeats = Repeats::default();
        let first = pb::SetLogSamplingResponse { basis_points: 7, ..Default::default() };
        for n in 0..MAX_KNOWN {
            repeats.keep(&request(&format!("r-{n}"), 1), &first);
        }
        assert_eq!(repeats.find(&request("r-0", 1)).unwrap(), Some(first.clone()));
        assert!(repeats.find(&request("r-0", 2)).is_err());
        assert_eq!(repeats.find(&request("r-new", 1)).unwrap(), None);
        repeats.keep(&request("r-new", 1), &first);
        assert_eq!(repeats.find(&request("r-0", 2)).unwrap(), None, "long ago");
        assert_eq!(repeats.known.len(), MAX_KNOWN);
    }

    #[test]
    fn no_id_is_none() {
        let mut repeats = Repeats::default();
        repeats.keep(&request("", 1), &pb::SetLogSamplingResponse::default());
        assert_eq!(repeats.find(&request("", 1)).unwrap(), None);
        assert_eq!(repeats.find(&request("", 2)).unwrap(), None);
    }
}
