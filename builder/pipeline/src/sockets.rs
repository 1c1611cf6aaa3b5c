//! Sockets that may listen, as recipes write them and as the image's health check reads them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A socket that may listen: `udp:51820`, `tcp:127.0.0.1:631` or `tcp:[::1]:631` in a recipe and
/// in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListeningSocket {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The one address that it may be bound to, as the health report writes it: dotted for IPv4,
    /// else 32 hexadecimal digits in network order. Any when `None`.
    pub address: Option<String>,
    /// Its port.
    pub port: u16,
}

/// A text that names no socket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no socket; one is written like udp:51820 or tcp:127.0.0.1:631")]
pub struct NoSocket(String);

impl FromStr for ListeningSocket {
    type Err = NoSocket;

    fn from_str(text: &str) -> Result<Self, NoSocket> {
        read(text).ok_or_else(|| NoSocket(text.into()))
    }
}

fn read(text: &str) -> Option<ListeningSocket> {
    let (protocol, rest) = text.split_once(':')?;
    let (address, port) = match rest.rsplit_once(':') {
        Some((address, port)) => (Some(in_report(address)?), port),
        None => (None, rest),
    };
    ["tcp", "udp"]
        .contains(&protocol)
        .then_some(ListeningSocket {
            protocol: protocol.to_owned(),
            address,
            port: port.parse().ok()?,
        })
}

/// An address as the health report writes it.
fn in_report(address: &str) -> Option<String> {
    let inner = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => {
            let address: Ipv6Addr = inner.parse().ok()?;
            Some(format!("{:032x}", address.to_bits()))
        }
        None => Some(address.parse::<Ipv4Addr>().ok()?.to_string()),
    }
}

impl ListeningSocket {
    /// Its line in `/usr/lib/fortress/sockets.d`, which the image's health check reads.
    pub fn line(&self) -> String {
        let address = self.address.as_deref().unwrap_or("any");
        format!("{} {address} {}\n", self.protocol, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_health_check() {
        for (text, line) in [
            ("udp:51820", "udp any 51820\n"),
            ("tcp:127.0.0.1:631", "tcp 127.0.0.1 631\n"),
            (
                "tcp:[::1]:631",
                "tcp 00000000000000000000000000000001 631\n",
            ),
        ] {
            assert_eq!(text.parse::<ListeningSocket>().unwrap().line(), line);
        }
        for text in [
            "",
            "udp",
            "sctp:1",
            "udp:65536",
            "tcp:localhost:1",
            "tcp:::1:1",
        ] {
            assert!(text.parse::<ListeningSocket>().is_err(), "{text}");
        }
    }
}
