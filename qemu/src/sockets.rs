//! Sockets on which a guest listens, and which of them are allowed.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Socket {
    /// Its protocol.
    pub protocol: Protocol,
    /// The address it is bound to: dotted for IPv4, else 32 hexadecimal digits, in network order.
    pub address: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} {}",
            self.protocol, self.address, self.port
        )
    }
}

/// A socket that may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedSocket {
    /// Its protocol.
    pub protocol: Protocol,
    /// The one address that it may be bound to; any when `None`.
    pub address: Option<String>,
    /// Its port.
    pub port: u16,
}

impl AllowedSocket {
    /// What the images of this project may listen on: WireGuard's port, and those on which answers of
    /// DHCP servers come, for IPv4 and IPv6.
    pub fn usual() -> Vec<Self> {
        let port = |port| Self {
            protocol: Protocol::Udp,
            address: None,
            port,
        };
        [51820, 68, 546].map(port).to_vec()
    }

    /// Whether this allows that socket.
    pub fn allows(&self, socket: &Socket) -> bool {
        self.protocol == socket.protocol
            && self.port == socket.port
            && self
                .address
                .as_ref()
                .is_none_or(|address| *address == socket.address)
    }
}
