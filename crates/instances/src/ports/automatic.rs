//! Automatic ports: for one name the same each time, as long as no one else has them.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;

use base::digest;
use tokio::net::TcpSocket;

/// Below what operating systems give to connections (from 32768 on Linux), so that a port is still free at the next start.
const RANGE: Range<u16> = 20_000..30_000;

/// Digits of a digest that choose where the search begins.
const DIGITS: usize = 8;

/// Finds a port for `name` that can be bound and is not in `avoid`, and binds it by `bind`. Where none is left in the range, the
/// operating system chooses.
///
/// # Errors
/// When the operating system gives no port.
pub(super) fn take(
    name: &str,
    avoid: &BTreeSet<u16>,
    bind: impl Fn(u16) -> io::Result<TcpSocket>,
) -> io::Result<TcpSocket> {
    let free = candidates(name).filter(|port| !avoid.contains(port)).find_map(|port| bind(port).ok());
    free.map_or_else(|| bind(0), Ok)
}

/// Every port of the range, from one on that depends on the name.
fn candidates(name: &str) -> impl Iterator<Item = u16> {
    let digits = digest::of_bytes(name.as_bytes()).first_digits(DIGITS);
    let number = u32::from_str_radix(&digits, 16).unwrap_or_default();
    let first = number % u32::from(RANGE.end - RANGE.start);
    let first = RANGE.start + u16::try_from(first).unwrap_or_default();
    (first..RANGE.end).chain(RANGE.start..first)
}

#[cfg(test)]
mod tests {
    use super::super::held;
    use super::*;

    fn port(socket: &TcpSocket) -> u16 {
        socket.local_addr().unwrap().port()
    }

    #[test]
    fn a_name_has_the_same_port_again_and_another_while_it_is_in_use() {
        let none = BTreeSet::new();
        let first = take("one/backend", &none, held).unwrap();
        let number = port(&first);
        assert!(RANGE.contains(&number));
        let second = take("one/backend", &none, held).unwrap();
        assert_ne!(port(&second), number);
        drop(first);
        assert_eq!(port(&take("one/backend", &none, held).unwrap()), number);
        assert_ne!(port(&take("one/backend", &BTreeSet::from([number]), held).unwrap()), number);
        assert_ne!(candidates("one/dashboard").next(), candidates("one/backend").next());
    }

    #[test]
    fn every_port_of_the_range_is_tried_before_the_system_is_asked() {
        let tried: BTreeSet<u16> = candidates("any").collect();
        assert_eq!(tried.len(), RANGE.len());
        let socket = take("any", &tried, held).unwrap();
        assert!(!RANGE.contains(&port(&socket)));
    }
}
