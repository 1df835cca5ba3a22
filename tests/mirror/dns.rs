//! A name server for the cache, which looks the public mirrors up itself: every name is 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

/// Starts it; its address. It answers until the test process ends.
pub fn start() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback address has a free port");
    let address = socket.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            if let Some(answer) = answer(&query[..length]) {
                let _ = socket.send_to(&answer, client);
            }
        }
    });
    address
}

/// The answer to a query with one question (RFC 1035, section 4.1): an address of the type A, and none of any other.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    const A: [u8; 2] = [0, 1];
    let name_length = query.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = query.get(12..12 + name_length + 4)?;
    let is_address = question[name_length..name_length + 2] == A;
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    answer.extend(question);
    if is_address {
        // The name is that of the question; class IN; for a minute; four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
