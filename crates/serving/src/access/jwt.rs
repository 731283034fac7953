//! JSON Web Tokens, signed by keys of a file.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::file::grants;
use super::identity::Identity;
use super::role::Grant;
use super::{Digest, Known, ring_jwt, sha256, unauthenticated};
use crate::ServingError;
use crate::reload::now_seconds;

/// `[jwt]` of the access file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JwtRules {
    /// A file with a JSON Web Key Set.
    pub(super) jwks: String,
    issuer: String,
    audience: Vec<String>,
    #[serde(default = "default_roles_claim")]
    roles_claim: String,
    #[serde(default = "default_name_claim")]
    name_claim: String,
    #[serde(default = "default_leeway")]
    leeway_seconds: u64,
    /// Roles by what the claim says. Without it the claim says roles itself.
    roles: Option<HashMap<String, Vec<String>>>,
}

fn default_roles_claim() -> String {
    "roles".to_owned()
}

fn default_name_claim() -> String {
    "sub".to_owned()
}

fn default_leeway() -> u64 {
    30
}

/// What makes tokens good.
#[derive(Debug)]
pub(super) struct Jwt {
    keys: Vec<TokenKey>,
    issuer: String,
    audience: Vec<String>,
    roles_claim: String,
    name_claim: String,
    leeway_seconds: u64,
    roles: Option<HashMap<String, Vec<Grant>>>,
    /// Tokens that were found good, because a signature costs more than a score.
    known: ArcSwap<HashMap<Digest, Known>>,
}

#[derive(Debug)]
struct TokenKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Tokens remembered; then the list begins anew.
const MAX_KNOWN: usize = 1024;

impl Jwt {
    /// Reads the key set.
    pub(super) fn new(rules: JwtRules, key_set: &[u8]) -> Result<Self, String> {
        ring_jwt::install();
        let set: JwkSet = serde_json::from_slice(key_set)
            .map_err(|error| format!("not a JSON Web Key Set: {error}"))?;
        let keys: Vec<TokenKey> = set
            .keys
            .iter()
            .filter_map(|key| token_key(key).transpose())
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            let expected = "expected Ed25519 (EdDSA), P-256 (ES256) or RSA (RS256) keys";
            return Err(format!("no key that can verify a token; {expected}"));
        }
        if rules.audience.is_empty() {
            return Err("[jwt] audience must have one name at least".to_owned());
        }
        let JwtRules { issuer, audience, roles_claim, name_claim, leeway_seconds, .. } = rules;
        let roles = rules.roles.map(|roles| {
            let roles = roles.into_iter();
            roles.map(|(said, roles)| Ok((said, grants(&roles)?))).collect::<Result<_, String>>()
        });
        let roles = roles.transpose()?;
        let known = ArcSwap::default();
        Ok(Self { keys, issuer, audience, roles_claim, name_claim, leeway_seconds, roles, known })
    }

    /// The bearer of a token.
    pub(super) fn identity(&self, token: &[u8]) -> Result<Known, ServingError> {
        let digest = sha256(token);
        if let Some(known) = self.known.load().get(&digest) {
            if known.expires.is_none_or(|at| at > now_seconds()) {
                return Ok(known.clone());
            }
            return Err(unauthenticated("TOKEN_EXPIRED", "the token has expired; get a new one"));
        }
        let known = self.verify(token)?;
        self.known.rcu(|all| {
            let mut all = if all.len() < MAX_KNOWN { (**all).clone() } else { HashMap::new() };
            all.insert(digest, known.clone());
            all
        });
        Ok(known)
    }

    fn verify(&self, token: &[u8]) -> Result<Known, ServingError> {
        let invalid = |detail: String| unauthenticated("TOKEN_INVALID", detail);
        // Among other things there is no algorithm "none".
        let header = decode_header(token)
            .map_err(|error| invalid(format!("the token's header cannot be read: {error}")))?;
        let mut of_algorithm = self.keys.iter().filter(|key| key.algorithm == header.alg);
        let found = match &header.kid {
            Some(id) => of_algorithm.find(|key| key.id.as_ref() == Some(id)),
            // Without a name there must be no choice.
            None => of_algorithm.next().filter(|_| of_algorithm.next().is_none()),
        };
        let Some(TokenKey { algorithm, key, .. }) = found else {
            let detail = "no key of the key set is for the token's algorithm and key id";
            return Err(unauthenticated("TOKEN_KEY_UNKNOWN", detail));
        };
        let mut rules = Validation::new(*algorithm);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&self.audience);
        rules.validate_nbf = true;
        rules.leeway = self.leeway_seconds;
        let claims = decode::<Map<String, Value>>(token, key, &rules).map_err(|error| {
            use jsonwebtoken::errors::ErrorKind;
            match error.kind() {
                ErrorKind::ExpiredSignature => {
                    unauthenticated("TOKEN_EXPIRED", "the token has expired; get a new one")
                }
                _ => invalid(format!("the token is not good here: {error}")),
            }
        })?;
        let claims = claims.claims;
        let Some(name) = claims.get(&self.name_claim).and_then(Value::as_str) else {
            return Err(invalid(format!("the token has no text in claim {:?}", self.name_claim)));
        };
        let identity = Identity::new(&format!("jwt:{name}"), self.grants(&claims));
        let leeway = i64::try_from(self.leeway_seconds).unwrap_or(0);
        let expires = claims.get("exp").and_then(Value::as_f64).unwrap_or(0.0) as i64;
        let expires = Some(expires.saturating_add(leeway));
        Ok(Known { identity: Arc::new(identity), expires })
    }

    /// What the roles claim says; words that mean nothing here are for other services.
    fn grants(&self, claims: &Map<String, Value>) -> Vec<Grant> {
        // `realm_access.roles` is a claim within a claim, unless it is the name of one.
        let claim = claims.get(&self.roles_claim).or_else(|| {
            let mut path = self.roles_claim.split('.');
            let first = claims.get(path.next()?)?;
            path.try_fold(first, |value, name| value.get(name))
        });
        let words: Vec<&str> = match claim {
            Some(Value::String(text)) => text.split_whitespace().collect(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        match &self.roles {
            Some(roles) => {
                words.iter().filter_map(|word| roles.get(*word)).flatten().cloned().collect()
            }
            None => words.iter().filter_map(|word| Grant::parse(word).ok()).collect(),
        }
    }
}

/// `None` for keys that are not for signatures, or of another kind than is read here.
fn token_key(jwk: &Jwk) -> Result<Option<TokenKey>, String> {
    if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return Ok(None);
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        _ => return Ok(None),
    };
    if jwk.common.key_algorithm.is_some_and(|named| named.to_string() != format!("{algorithm:?}")) {
        return Ok(None);
    }
    let id = jwk.common.key_id.clone();
    let key = DecodingKey::from_jwk(jwk).map_err(|error| format!("key {id:?}: {error}"))?;
    Ok(Some(TokenKey { id, algorithm, key }))
}
