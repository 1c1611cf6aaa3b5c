//! Signatures that are made elsewhere.

use super::{Request, Signer};
use crate::{OwnedRequest, PublicKeys, Requests, Result, Signatures};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Answers with signatures that are known, each checked against its public key, and notes what it
/// does not know: that is signed elsewhere, and known the next time.
#[derive(Debug)]
pub struct Collected<'a> {
    public: &'a PublicKeys,
    known: Signatures,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    missing: BTreeMap<(crate::Role, Vec<u8>), String>,
    used: Signatures,
}

impl<'a> Collected<'a> {
    /// Knows these signatures.
    pub fn new(public: &'a PublicKeys, known: Signatures) -> Self {
        Self {
            public,
            known,
            state: Mutex::default(),
        }
    }

    /// Knows none, so that everything is to be signed later.
    pub fn deferred(public: &'a PublicKeys) -> Self {
        Self::new(public, Signatures::default())
    }

    /// What is to be signed elsewhere, sorted.
    ///
    /// # Errors
    /// When the key set lacks a key that is to sign.
    pub fn requests(&self) -> Result<Requests> {
        let state = self.state();
        let requests = state
            .missing
            .iter()
            .map(|((role, payload), what)| OwnedRequest {
                role: *role,
                what: what.clone(),
                payload: payload.clone(),
            });
        Requests::new(requests, self.public)
    }

    /// Those of the known signatures that were asked for.
    pub fn used(&self) -> Signatures {
        self.state().used.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signer for Collected<'_> {
    fn sign(&self, request: &Request<'_>) -> Result<Vec<u8>> {
        request.check()?;
        let Request {
            role,
            what,
            payload,
        } = *request;
        if let Some(signature) = self.known.get(role, payload) {
            self.public.verify(request, signature)?;
            let signature = signature.to_vec();
            self.state().used.insert(request, &signature);
            return Ok(signature);
        }
        let mut state = self.state();
        let told = state
            .missing
            .entry((role, payload.to_vec()))
            .or_insert_with(|| what.to_owned());
        // Which of several names it gets must not depend on who asks first.
        if what < told.as_str() {
            *told = what.to_owned();
        }
        Ok(vec![0; role.algorithm().signature_length()])
    }

    fn missing(&self) -> usize {
        self.state().missing.len()
    }
}
