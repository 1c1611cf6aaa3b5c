//! How errors look: what, where, why, and what to do next.

use crate::options::Global;
use std::fmt;
use std::process::ExitCode;

/// The exit code of what the owner has not signed.
pub(crate) const NOT_SIGNED: u8 = 20;

/// An error of the command line itself, with its exit code and what to do about it.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: u8,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Said {}

/// Prints an error and gives the exit code that goes with it.
pub(crate) fn report(error: &anyhow::Error, global: &Global) -> ExitCode {
    let (code, hint) = judge(error);
    let mut lines: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // Some errors say their cause in their own words already.
        if !lines.iter().any(|line| line.contains(&text)) {
            lines.push(text);
        }
    }
    if global.json {
        let value = serde_json::json!({ "error": lines, "hint": hint, "exit_code": code });
        eprintln!("{value}");
    } else {
        eprintln!("error: {}", lines.first().map_or("", String::as_str));
        for line in lines.iter().skip(1) {
            eprintln!("  because {}", line.replace('\n', "\n  "));
        }
        if let Some(hint) = hint {
            eprintln!("hint: {hint}");
        }
    }
    ExitCode::from(code)
}

/// The exit code of an error, and what to do about it.
fn judge(error: &anyhow::Error) -> (u8, Option<String>) {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<fortress_recipe::Error>() {
            return (3, error.hint());
        }
        if let Some(error) = cause.downcast_ref::<fortress_pipeline::Error>() {
            return (build_code(error), error.hint());
        }
        if let Some(error) = cause.downcast_ref::<fortress_artefact::Error>() {
            let code = match error {
                fortress_artefact::Error::Cancelled => 130,
                _ => 1,
            };
            return (code, error.hint());
        }
        if let Some(error) = cause.downcast_ref::<fortress_trust::Error>() {
            let code = match error {
                error if error.is_cancelled() => 130,
                fortress_trust::Error::WrongSignature { .. } => NOT_SIGNED,
                _ => 1,
            };
            return (code, error.hint());
        }
        if let Some(error) = cause.downcast_ref::<fortress_store::Error>() {
            let code = match error {
                fortress_store::Error::Cancelled => 130,
                _ => 4,
            };
            return (code, error.hint());
        }
        if let Some(error) = cause.downcast_ref::<fortress_qemu::Error>() {
            let code = match error {
                fortress_qemu::Error::Cancelled => 130,
                _ => fortress_qemu::Error::EXIT_CODE,
            };
            // It says in its own words what to install.
            return (code, None);
        }
        if let Some(error) = cause.downcast_ref::<fortress_flash::Error>() {
            return (error.exit_code(), error.hint());
        }
        if let Some(fortress_verification::Error::Cancelled) = cause.downcast_ref() {
            return (130, None);
        }
        if let Some(Said { code, hint, .. }) = cause.downcast_ref::<Said>() {
            return (*code, hint.clone());
        }
    }
    (1, None)
}

fn build_code(error: &fortress_pipeline::Error) -> u8 {
    use fortress_pipeline::Error;
    match error {
        error if error.is_cancelled() => 130,
        error if error.is_of_recipe() => 3,
        Error::OtherKeys { .. } | Error::Trust(fortress_trust::Error::WrongSignature { .. }) => {
            NOT_SIGNED
        }
        Error::Damaged { .. } => 21,
        Error::Archive(_) | Error::Store(_) | Error::Lock { .. } | Error::Package(_) => 4,
        _ => 1,
    }
}
