//! Why a signature does not count.

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is none, or zeros in its place: it was left for later.
    #[error("it is not signed yet: zeros are where the signature goes")]
    Unsigned,
    /// It is no signature of the form that it should have.
    #[error("the signature cannot be read: {0}")]
    Malformed(String),
    /// Somebody else signed.
    #[error("it is signed by {signer}, which is none of the keys asked for")]
    Stranger {
        /// Who says to have signed.
        signer: String,
    },
    /// It is a signature of something else.
    #[error("the signature is for something else: it is for {signed}, and this is {found}")]
    OtherContent {
        /// What was signed.
        signed: String,
        /// What is there.
        found: String,
    },
    /// By the right key as it says, and that key does not confirm it.
    #[error("the signature does not fit: it, or what it is for, was changed")]
    Wrong,
}

impl Refusal {
    pub(crate) fn malformed(reason: impl ToString) -> Self {
        Self::Malformed(reason.to_string())
    }
}
