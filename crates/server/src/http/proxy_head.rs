//! The head of the PROXY protocol, of either version: what a balancer says of a connection before the client's first
//! byte. It is read from trusted peers only, which is the listener's affair.

use std::io;
use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use ppp::{HeaderResult, PartialResult as _, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The longest head that is read: version 2 has 16 bytes, two addresses, and what balancers add.
const HEAD_BYTES_MAX: usize = 4 * 1024;
/// What a head of version 1 begins with; it is one line.
const LINE_BEGINS: &[u8] = b"PROXY ";
/// The longest line.
const LINE_BYTES_MAX: usize = 107;
/// Says that the client came over TLS, in the first byte of its value's flags.
const CLIENT_SSL: u8 = 1;

/// What a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// Where the client is; nothing, where the balancer speaks for itself.
    pub(crate) address: Option<IpAddr>,
    /// Whether the client came to the balancer over TLS.
    pub(crate) is_secure: bool,
}

/// Reads a head; answers with what came behind it.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Told, Bytes)> {
    let mut buffer = BytesMut::with_capacity(256);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A line that is cut in a number or an address would count as a wrong one.
        let begins = LINE_BEGINS.starts_with(&buffer[..buffer.len().min(LINE_BEGINS.len())]);
        if begins && buffer.len() < LINE_BYTES_MAX && !buffer.contains(&b'\n') {
            continue;
        }
        let head = HeaderResult::parse(&buffer);
        if head.is_complete() {
            let (told, length) = understand(&head)?;
            let rest = buffer.split_off(length).freeze();
            return Ok((told, rest));
        }
        if HEAD_BYTES_MAX <= buffer.len() {
            return Err(malformed("the head of the PROXY protocol is too long"));
        }
    }
}

fn understand(head: &HeaderResult<'_>) -> io::Result<(Told, usize)> {
    match head {
        HeaderResult::V1(Ok(head)) => {
            let address = match head.addresses {
                v1::Addresses::Unknown => None,
                v1::Addresses::Tcp4(of) => Some(of.source_address.into()),
                v1::Addresses::Tcp6(of) => Some(IpAddr::from(of.source_address).to_canonical()),
            };
            Ok((Told { address, is_secure: false }, head.header.len()))
        }
        HeaderResult::V2(Ok(head)) => {
            let address = match (head.command, head.addresses) {
                // The balancer's own look at whether we are well.
                (v2::Command::Local, _) | (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
                (_, v2::Addresses::IPv4(of)) => Some(of.source_address.into()),
                (_, v2::Addresses::IPv6(of)) => Some(IpAddr::from(of.source_address).to_canonical()),
            };
            let of_tls = |part: &v2::TypeLengthValue<'_>| {
                part.kind == v2::Type::SSL as u8
                    && part.value.first().is_some_and(|flags| flags & CLIENT_SSL != 0)
            };
            let is_secure = head.tlvs().any(|part| part.is_ok_and(|part| of_tls(&part)));
            Ok((Told { address, is_secure }, head.len()))
        }
        _ => Err(malformed("a trusted proxy did not begin with the PROXY protocol")),
    }
}

fn malformed(words: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    async fn told(pieces: &[&[u8]]) -> io::Result<(Told, Bytes)> {
        let whole = pieces.concat();
        // A byte at a time, as hostile networks deliver it.
        let (mut here, mut there) = tokio::io::duplex(1);
        let sending = tokio::spawn(async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut here, &whole).await;
        });
        let read = read(&mut there).await;
        drop(there);
        sending.await.unwrap();
        read
    }

    fn at(address: &str, is_secure: bool) -> Told {
        Told { address: Some(address.parse().unwrap()), is_secure }
    }

    #[tokio::test]
    async fn both_versions_are_read() {
        let (v1, _) = told(&[b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 8480\r\n"]).await.unwrap();
        assert_eq!(v1, at("203.0.113.5", false));
        let (v1, _) = told(&[b"PROXY TCP6 2001:db8::1 fd00::1 4711 8480\r\n"]).await.unwrap();
        assert_eq!(v1, at("2001:db8::1", false));
        let (unknown, _) = told(&[b"PROXY UNKNOWN\r\n"]).await.unwrap();
        assert_eq!(unknown.address, None);
        let addresses: &[u8] = &[203, 0, 113, 5, 10, 0, 0, 1, 0x12, 0x67, 0x21, 0x20];
        let (v2, _) = told(&[V2, &[0x21, 0x11, 0, 12], addresses]).await.unwrap();
        assert_eq!(v2, at("203.0.113.5", false));
        let tls = [0x20, 0, 5, 1, 0, 0, 0, 0];
        let (v2, _) = told(&[V2, &[0x21, 0x11, 0, 20], addresses, &tls]).await.unwrap();
        assert_eq!(v2, at("203.0.113.5", true));
        let (local, _) = told(&[V2, &[0x20, 0, 0, 0]]).await.unwrap();
        assert_eq!(local.address, None);
    }

    #[tokio::test]
    async fn what_stands_behind_it_is_kept() {
        let mut whole: &[u8] = b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 8480\r\nGET / HTTP/1.1\r\n";
        let (_, rest) = read(&mut whole).await.unwrap();
        assert_eq!(rest, b"GET / HTTP/1.1\r\n".as_slice());
    }

    #[tokio::test]
    async fn what_is_no_head_is_refused() {
        for wrong in [
            b"GET / HTTP/1.1\r\n\r\n".as_slice(),
            b"PROXY TCP4 here there 1 2\r\n",
            b"PROXY TCP4",
            b"",
            &[b'P'; 2 * HEAD_BYTES_MAX],
        ] {
            assert!(told(&[wrong]).await.is_err(), "{}", String::from_utf8_lossy(wrong));
        }
        assert!(told(&[V2, &[0x21, 0x11, 0xff, 0xff], &[0; HEAD_BYTES_MAX]]).await.is_err());
    }
}
