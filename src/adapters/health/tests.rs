#![expect(
    clippy::disallowed_methods,
    reason = "how long a probe takes is what one of these tests is about"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream as StdStream};
use std::sync::mpsc;
use std::time::Instant;

use super::*;

/// Takes one connection, tells the request's head, and answers with these bytes.
fn serve(answer: &'static str) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        sender.send(head(&mut stream)).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
    });
    (port, requests)
}

fn head(stream: &mut StdStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

fn endpoint(scheme: Scheme, port: u16) -> HealthEndpoint {
    HealthEndpoint {
        scheme,
        host: "127.0.0.1".to_owned(),
        port,
        path: "/readyz?verbose".to_owned(),
    }
}

fn ask(scheme: Scheme, port: u16) -> Health {
    HealthProbe::new(Duration::from_secs(5)).ask(&endpoint(scheme, port))
}

fn failing(port: u16, why: &str) -> Health {
    Health::Failing(Reason::new(format!(
        "http://127.0.0.1:{port}/readyz?verbose: {why}"
    )))
}

#[test]
fn an_answer_of_200_is_healthy_and_the_question_a_plain_get() {
    let (port, requests) = serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(ask(Scheme::Http, port), Health::Ok);
    let request = requests.recv().unwrap();
    assert!(
        request.starts_with("GET /readyz?verbose HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains(&format!("host: 127.0.0.1:{port}\r\n")),
        "{request}"
    );
}

#[test]
fn a_redirect_is_healthy_and_not_followed() {
    let (port, _requests) = serve("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n");
    assert_eq!(ask(Scheme::Http, port), Health::Ok);
}

#[test]
fn a_failing_answer_is_told_with_the_beginning_of_its_body_in_printable_letters() {
    let (port, _requests) = serve(
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 31\r\n\r\n[-]etcd failed\n\x1b[31mreason held",
    );
    assert_eq!(
        ask(Scheme::Http, port),
        failing(
            port,
            "it answered 500 Internal Server Error: [-]etcd failed  [31mreason held"
        )
    );
}

#[test]
fn of_a_long_answer_only_the_first_bytes_are_told() {
    let long: &'static str = format!("HTTP/1.1 503 Service Unavailable\r\n\r\n{}", "x".repeat(5000)).leak();
    let (port, _requests) = serve(long);
    assert_eq!(
        ask(Scheme::Http, port),
        failing(
            port,
            &format!("it answered 503 Service Unavailable: {}", "x".repeat(200))
        )
    );
}

#[test]
fn a_path_that_is_not_served_is_failing() {
    let (port, _requests) = serve("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        ask(Scheme::Http, port),
        failing(port, "it answered 404 Not Found")
    );
}

#[test]
fn a_closed_port_is_told_apart_from_a_server_that_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert_eq!(
        ask(Scheme::Http, port),
        Health::Closed(Reason::new(format!(
            "http://127.0.0.1:{port}/readyz?verbose: nothing listens there"
        )))
    );
}

#[test]
fn a_server_that_hangs_is_failing_at_the_deadline_whatever_it_hangs_in() {
    // Accepted by the kernel's backlog, never answered: HTTP waits for the answer, HTTPS for the handshake.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let probe = HealthProbe::new(Duration::from_millis(150));
    for scheme in [Scheme::Http, Scheme::Https] {
        let asked = Instant::now();
        let endpoint = endpoint(scheme, port);
        assert_eq!(
            probe.ask(&endpoint),
            Health::Failing(Reason::new(format!("{endpoint}: no answer within 150ms")))
        );
        assert!(asked.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn a_server_that_hangs_up_is_failing() {
    let (port, _requests) = serve("");
    assert_eq!(
        ask(Scheme::Http, port),
        failing(
            port,
            "no whole answer came: connection closed before message completed"
        )
    );
}

#[test]
fn a_self_signed_certificate_for_another_name_is_taken() {
    let made = rcgen::generate_simple_self_signed(vec!["somewhere.else".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"GET /readyz"));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    });
    assert_eq!(ask(Scheme::Https, port), Health::Ok);
    server.join().unwrap();
}

#[test]
fn plain_http_to_a_tls_question_is_failing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let Health::Failing(reason) = ask(Scheme::Https, port) else {
        panic!("healthy");
    };
    assert!(reason.as_str().contains("the TLS handshake failed"), "{reason}");
}
