//! Certificates that do not fit, and servers that speak no TLS or another one: each ends with one line that says
//! what came and what to do.

use super::run::{Place, each};
use crate::support::mirror::Mirror;
use crate::support::ports::Port;
use crate::support::tls::{Certificate, test_ca};

#[test]
fn a_certificate_that_does_not_fit_is_told_in_words() {
    use Certificate::{Expired, NotYetValid, SelfSigned, SelfSignedCa, Valid, WrongName};
    each(
        [
            (Expired, true, ["it expired on 01 Jan 2020, and the clock here says", "if the clock is right"]),
            (
                NotYetValid,
                true,
                ["it is valid from 01 Jan 2090 on, and the clock here says", "check the clock"],
            ),
            (WrongName, true, ["it is for elsewhere.example", "check the host's name"]),
            (SelfSigned, true, ["it is self-signed, or its CA is unknown here", "app-misc/ca-certificates"]),
            (SelfSignedCa, true, ["it is self-signed: a CA's own", "--cacert"]),
            (Valid, false, ["it is self-signed, or its CA is unknown here", "--cacert"]),
        ],
        |(certificate, knows_ca, words)| {
            let place = Place::new();
            let mirror = Mirror::start_tls(*certificate);
            let pem = test_ca().write_pem_files(place.path());
            let ca = if *knows_ca { vec!["--cacert".into(), pem.ca.into_os_string()] } else { Vec::new() };
            let ran = place.racefetch().args(ca).args(["-o", "x", &mirror.url("/x")]).run();
            ran.assert_failed(60, &["the server's certificate is not accepted", words[0], words[1]]);
            let about_clock = matches!(certificate, Expired | NotYetValid);
            assert_eq!(ran.stderr().contains("clock"), about_clock, "{ran:?}");
            assert!(!place.exists("x"));
        },
    );
}

#[test]
fn another_protocol_is_told_in_words() {
    let alert = |code: u8| vec![0x15, 3, 1, 0, 2, 2, code];
    each(
        [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "not TLS; use http://"),
            (b"220 ready\r\n".to_vec(), "not TLS; use http://"),
            (alert(70), "no version of TLS or no cipher that both"),
            (alert(40), "no version of TLS or no cipher that both"),
            (alert(71), "no version of TLS or no cipher that both"),
            (alert(112), "the server knows no host of this name"),
            (alert(80), "the server breaks it off (InternalError)"),
            (Vec::new(), "the connection was closed in the middle"),
            (alert(70)[..4].to_vec(), "the connection was closed in the middle"),
        ],
        |(answer, words)| {
            let port = Port::saying(answer.clone());
            let place = Place::new();
            let url = format!("https://{}/x", port.address());
            place.racefetch().args(["-o", "x", &url]).fails(35, &["TLS handshake failed", words]);
        },
    );
    let place = Place::new();
    let port = Port::resetting();
    let url = format!("https://{}/x", port.address());
    place.racefetch().args(["-o", "x", &url]).fails(35, &["the connection was reset in the middle"]);
    let port = Port::saying(alert(70));
    let url = format!("http://{}/x", port.address());
    place.racefetch().args(["-o", "x", &url]).fails(1, &["the answer is TLS; use https://"]);
}
