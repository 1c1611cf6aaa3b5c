//! The cleartext signature framework (RFC 9580, section 7), read strictly: what is returned is
//! what the signatures cover, and nothing else of the document is ever looked at.

use std::io::{BufReader, Read};

use pgp::armor::Dearmor;
use pgp::packet::{Packet, PacketParser, Signature};

const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// More signatures than this on one document are refused.
const SIGNATURES: usize = 32;

/// A signed text and its signatures, none of them verified yet.
#[derive(Debug)]
pub(crate) struct ClearText {
    /// The text that the signatures cover: lines without white space at their ends, separated
    /// by line feeds.
    pub(crate) text: String,
    /// In the order of the document.
    pub(crate) signatures: Vec<Signature>,
}

/// A line as it is hashed: white space at its end, and the line's ending, do not count.
fn trimmed(line: &str) -> &str {
    line.trim_end_matches([' ', '\t', '\r', '\n'])
}

/// Takes a document apart.
///
/// # Errors
/// In words, when it is not exactly one signed text with one block of signatures.
pub(crate) fn parse(document: &[u8]) -> Result<ClearText, String> {
    let document = std::str::from_utf8(document)
        .map_err(|error| format!("it is not UTF-8 at byte {}", error.valid_up_to()))?;
    let mut lines = document.split_inclusive('\n');
    if lines.next().map(trimmed) != Some(BEGIN_MESSAGE) {
        return Err(format!("it does not begin with {BEGIN_MESSAGE}"));
    }
    loop {
        match lines.next().map(trimmed) {
            Some("") => break,
            Some(line) if line.starts_with("Hash: ") => {}
            Some(line) => return Err(format!("it has the armour header {line:?}")),
            None => return Err("it ends before its text".into()),
        }
    }
    let mut text = String::with_capacity(document.len());
    let mut first = true;
    loop {
        let Some(line) = lines.next().map(trimmed) else {
            return Err("it has no signature".into());
        };
        if line == BEGIN_SIGNATURE {
            break;
        }
        let line = match line.strip_prefix("- ") {
            Some(line) => line,
            // White space at the end of a line that holds nothing else but an escape.
            None if line == "-" => "",
            None if line.starts_with('-') => {
                return Err(format!("its line {line:?} is not dash-escaped"));
            }
            None => line,
        };
        if line.contains(['\r', '\0']) {
            return Err("it has a control character in a line".into());
        }
        if !first {
            text.push('\n');
        }
        text.push_str(line);
        first = false;
    }
    let mut armour = format!("{BEGIN_SIGNATURE}\n");
    loop {
        let Some(line) = lines.next().map(trimmed) else {
            return Err("it ends within its signatures".into());
        };
        armour.push_str(line);
        armour.push('\n');
        if line == END_SIGNATURE {
            break;
        }
    }
    if lines.any(|line| !trimmed(line).is_empty()) {
        return Err("it goes on behind its signatures".into());
    }
    Ok(ClearText {
        text,
        signatures: signatures(&armour)?,
    })
}

/// The packets in an armour. All of them are read at once, and nothing after an error: a reader that is
/// asked again then panics.
pub(crate) fn packets(armour: &str) -> Result<Vec<u8>, String> {
    let mut dearmor = Dearmor::new(armour.as_bytes());
    dearmor.read_header().map_err(|error| error.to_string())?;
    let mut packets = Vec::new();
    match dearmor.read_to_end(&mut packets) {
        Ok(_) => Ok(packets),
        Err(error) => Err(error.to_string()),
    }
}

fn signatures(armour: &str) -> Result<Vec<Signature>, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("its signatures are damaged: {error}");
    let packets = packets(armour).map_err(|error| unreadable(&error))?;
    let mut signatures = Vec::new();
    for packet in PacketParser::new(BufReader::new(&packets[..])) {
        match packet {
            Ok(Packet::Signature(signature)) if signatures.len() < SIGNATURES => {
                signatures.push(signature);
            }
            Ok(Packet::Signature(_)) => return Err(format!("it has over {SIGNATURES} signatures")),
            Ok(_) => return Err("its signature block holds what is not a signature".into()),
            Err(error) => return Err(unreadable(&error)),
        }
    }
    match signatures.is_empty() {
        true => Err("it has no signature".into()),
        false => Ok(signatures),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(document: &str) -> String {
        parse(document.as_bytes()).unwrap_err()
    }

    #[test]
    fn refuses_what_is_around_or_amiss() {
        let signature = format!("{BEGIN_SIGNATURE}\n\nwsBz\n{END_SIGNATURE}\n");
        for (document, reason) in [
            (String::new(), "does not begin"),
            ("Origin: Debian\n".into(), "does not begin"),
            (
                format!("Origin: Evil\n{BEGIN_MESSAGE}\n\n"),
                "does not begin",
            ),
            (format!("{BEGIN_MESSAGE}\n"), "ends before"),
            (
                format!("{BEGIN_MESSAGE}\nOrigin: Evil\n\nx\n{signature}"),
                "armour header",
            ),
            (
                format!("{BEGIN_MESSAGE}\nHash: SHA512\n\nx\n"),
                "no signature",
            ),
            (
                format!("{BEGIN_MESSAGE}\n\n-x\n{signature}"),
                "dash-escaped",
            ),
            (
                format!("{BEGIN_MESSAGE}\n\n{BEGIN_MESSAGE}\n{signature}"),
                "dash-escaped",
            ),
            (
                format!("{BEGIN_MESSAGE}\n\nx\ry\n{signature}"),
                "control character",
            ),
            (
                format!("{BEGIN_MESSAGE}\n\nx\n{signature}Origin: Evil\n"),
                "goes on",
            ),
            (
                format!("{BEGIN_MESSAGE}\n\nx\n{signature}{signature}"),
                "goes on",
            ),
            (
                format!("{BEGIN_MESSAGE}\n\nx\n{BEGIN_SIGNATURE}\n\nwsBz\n"),
                "ends within",
            ),
            (format!("{BEGIN_MESSAGE}\n\nx\n{signature}"), "damaged"),
        ] {
            assert!(
                refusal(&document).contains(reason),
                "{document}: {}",
                refusal(&document)
            );
        }
        assert!(parse(b"-----BEGIN PGP SIGNED MESSAGE-----\n\n\xff\n").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(lines in proptest::collection::vec(
            prop_oneof![
                Just(BEGIN_MESSAGE.to_owned()),
                Just(BEGIN_SIGNATURE.to_owned()),
                Just(END_SIGNATURE.to_owned()),
                Just(String::new()),
                "\\PC{0,40}",
                "[A-Za-z0-9+/=]{0,64}",
            ],
            0..20,
        )) {
            let _ = parse(format!("{BEGIN_MESSAGE}\n\n{}", lines.join("\n")).as_bytes());
            let _ = parse(lines.join("\r\n").as_bytes());
        }

        #[test]
        fn never_panics_on_signature_packets(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let packets = PacketParser::new(bytes.as_slice());
            for packet in packets.take(100) {
                let _ = packet;
            }
        }
    }
}
