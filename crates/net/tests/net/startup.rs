//! What keeps a server from starting is said in one sentence.

use std::convert::Infallible;

use headwater_net::server::{Server, ServerBuilder, ServerError, Tls};
use headwater_net::{Body, Clock};
use http::{Request, Response};

use crate::service::start;

fn refused(builder: ServerBuilder) -> ServerError {
    let service = |_| {
        tower::service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Body::Empty))
        })
    };
    match builder.serve(service) {
        Ok(_) => panic!("started"),
        Err(error) => error,
    }
}

#[test]
fn a_port_in_use_is_named() {
    let server = start();
    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    let error = refused(Server::builder().https(("127.0.0.1", server.port())).tls(tls));
    assert_eq!(
        error.to_string(),
        format!("TCP port {} of 127.0.0.1 is already in use", server.port())
    );
    let error = refused(Server::builder().http(("127.0.0.1", server.plain_port())));
    assert!(matches!(error, ServerError::AddressInUse { transport: "TCP", .. }), "{error}");
}

#[test]
fn a_udp_port_in_use_is_named() {
    // Another test may have the same port over TCP, which is tried first.
    let said = (0..20).find_map(|_| {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
        let error = refused(Server::builder().https(("127.0.0.1", port)).tls(tls)).to_string();
        (error != format!("TCP port {port} of 127.0.0.1 is already in use"))
            .then_some((error, format!("UDP port {port} of 127.0.0.1 is already in use")))
    });
    let (error, expected) = said.unwrap();
    assert_eq!(error, expected);
}

#[test]
fn a_key_of_another_certificate_is_named_and_so_is_a_file_that_is_none() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for dir in &dirs {
        Tls::self_signed(["localhost"], Some(dir.path()), &Clock::system()).unwrap();
    }
    let certificate = dirs[0].path().join("dev-cert.pem");
    let said = |certificate: &std::path::Path, key: &std::path::Path| {
        Tls::from_pem_files(certificate, key).err().unwrap().to_string()
    };
    let key = dirs[1].path().join("dev-key.pem");
    let (c, k) = (certificate.display(), key.display());
    let expected = format!("{k} is not the private key of the certificate in {c}");
    assert_eq!(said(&certificate, &key), expected);
    let missing = dirs[0].path().join("missing.pem");
    let start = format!("cannot use {}: ", missing.display());
    assert!(said(&missing, &key).starts_with(&start));
    assert_eq!(said(&key, &key), format!("{k} holds no certificate in PEM form"));
    assert_eq!(said(&certificate, &certificate), format!("{c} holds no private key in PEM form"));
}

#[test]
fn an_address_of_another_machine_is_named() {
    let error = refused(Server::builder().http("192.0.2.1:0"));
    assert!(error.to_string().starts_with("cannot listen on TCP 192.0.2.1:0: "), "{error}");
}

#[test]
fn missing_parts_are_named() {
    assert_eq!(refused(Server::builder()).to_string(), "the server has no address to listen on");
    let error = refused(Server::builder().https("127.0.0.1:0"));
    assert_eq!(error.to_string(), "an https address needs a certificate: none was given");
    let error = refused(Server::builder().http("nonsense"));
    assert!(matches!(error, ServerError::Address(_)), "{error}");
}
