//! The guest's side of the health report, as far as it can be judged without a guest: its text as
//! JSON, and the sockets that it sees, on this machine's own `/proc/net`.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use fortress_qemu::Socket;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../overlays/common/usr/lib/fortress")
}

/// Runs a script with the runner's functions before it.
fn shell(script: &str, argument: &str) -> String {
    let runner = std::fs::read_to_string(folder().join("health")).unwrap();
    let functions = runner.find("\nread_line /proc/cmdline").unwrap();
    let text = format!(
        "{}\nhere={}\nset -f\n{script}",
        &runner[..functions],
        folder().display()
    );
    let output = Command::new("/bin/sh")
        .args(["-c", &text, "sh", argument])
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_script_is_sound() {
    let checks = std::fs::read_dir(folder().join("health.d")).unwrap();
    let mut files: Vec<_> = checks.map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 5);
    files.push(folder().join("health"));
    for file in files {
        let status = Command::new("/bin/sh")
            .arg("-n")
            .arg(&file)
            .status()
            .unwrap();
        assert!(status.success(), "{}", file.display());
    }
}

#[test]
fn text_becomes_json() {
    for text in [
        "",
        "plain",
        "\"quoted\" and \\ and \\\\\"",
        "\\",
        "*",
        "\u{fc}ml\u{e4}ut \u{1f512}",
        "$(touch x) `id` ${HOME} %s \\n",
    ] {
        let quoted = shell("quote \"$1\"; printf %s \"$quoted\"", text);
        let read: String = serde_json::from_str(&quoted).unwrap();
        assert_eq!(read, text, "{quoted}");
    }
    let quoted = shell(
        "quote \"$1\"; printf %s \"$quoted\"",
        "a\tb\nc\u{1b}[0m\u{7f}",
    );
    let read: String = serde_json::from_str(&quoted).unwrap();
    assert_eq!(read, "a b c [0m ");
}

#[test]
fn what_listens_is_seen_and_what_is_not_allowed_fails() {
    let four = TcpListener::bind("127.0.0.3:0").unwrap();
    let six = TcpListener::bind("[::1]:0");
    let udp = UdpSocket::bind("127.0.0.4:0").unwrap();
    let connected = UdpSocket::bind("127.0.0.5:0").unwrap();
    connected.connect("127.0.0.1:9").unwrap();
    let port = |address: std::net::SocketAddr| address.port();
    let said = shell(
        ". \"$here/health.d/40-sockets\" > /dev/null; \
         printf '{\"sockets\":[%s],\"checks\":[%s]}' \"$sockets\" \"$checks\"",
        "",
    );
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let sockets: Vec<Socket> = serde_json::from_value(said["sockets"].clone()).unwrap();
    let names: Vec<String> = sockets.iter().map(ToString::to_string).collect();
    let tcp = format!("tcp 127.0.0.3 {}", port(four.local_addr().unwrap()));
    let udp = format!("udp 127.0.0.4 {}", port(udp.local_addr().unwrap()));
    assert!(names.contains(&tcp) && names.contains(&udp), "{names:?}");
    assert!(
        !names.iter().any(|name| name.contains("127.0.0.5")),
        "{names:?}"
    );
    // A machine without IPv6 has no such sockets to see.
    if let Ok(six) = six {
        let six = format!("tcp {:032x} {}", 1, port(six.local_addr().unwrap()));
        assert!(names.contains(&six), "{names:?}");
    }
    let check = &said["checks"][0];
    assert_eq!(check["outcome"], "failed");
    let detail = check["detail"].as_str().unwrap();
    assert!(detail.contains(&tcp) && detail.contains(&udp), "{detail}");
}
