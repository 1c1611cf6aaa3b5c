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

/// Most characters of a foreign text that are told.
const LONGEST: usize = 300;

impl Refusal {
    pub(crate) fn malformed(reason: impl ToString) -> Self {
        Self::Malformed(tellable(&reason.to_string()))
    }

    pub(crate) fn stranger(signer: impl ToString) -> Self {
        Self::Stranger {
            signer: tellable(&signer.to_string()),
        }
    }
}

/// A text that somebody else may have written, fit for a terminal.
fn tellable(text: &str) -> String {
    let plain = |letter: char| match letter.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => letter,
    };
    text.chars().take(LONGEST).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_do_nothing_to_a_terminal() {
        let said = Refusal::stranger("CN=\x1b]0;title\x07\r\n").to_string();
        assert!(!said.chars().any(char::is_control), "{said:?}");
        assert!(said.contains("CN=\u{fffd}]0;title"), "{said}");
        let long = "x".repeat(70_000);
        assert!(Refusal::malformed(long).to_string().len() < 400);
    }
}
