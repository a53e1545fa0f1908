//! The health endpoints of a component: a listener on the loopback that answers what it is told to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A listener that is closed when it is dropped.
pub struct HealthServer {
    address: SocketAddr,
    answer: Arc<AtomicU16>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HealthServer {
    /// Listens; answers 500 until it is told otherwise.
    pub fn open(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let answer = Arc::new(AtomicU16::new(500));
        let closing = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name(format!("health-{port}"))
            .spawn({
                let (answer, closing) = (Arc::clone(&answer), Arc::clone(&closing));
                move || serve(&listener, &answer, &closing)
            })?;
        Ok(Self {
            address,
            answer,
            closing,
            thread: Some(thread),
        })
    }

    /// The status code of every answer from now on.
    pub fn answer(&self, code: u16) {
        self.answer.store(code, Ordering::SeqCst);
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the thread out of its accept.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the health server does not panic");
        }
    }
}

fn serve(listener: &TcpListener, answer: &AtomicU16, closing: &AtomicBool) {
    while let Ok((connection, _)) = listener.accept() {
        if closing.load(Ordering::SeqCst) {
            return;
        }
        // A client that goes away is its own affair.
        drop(reply(connection, answer.load(Ordering::SeqCst)));
    }
}

fn reply(mut connection: TcpStream, code: u16) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_millis(300)))?;
    connection.set_write_timeout(Some(Duration::from_millis(300)))?;
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < 16_384 {
        let read = connection.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        request.extend_from_slice(&buffer[..read]);
    }
    let line = String::from_utf8_lossy(&request);
    let target = line.split(' ').nth(1).unwrap_or("/");
    let path = target.split('?').next().unwrap_or("/");
    let (code, body) = match (path, code) {
        ("/livez" | "/readyz" | "/healthz", 200) => (200, "ok"),
        ("/livez" | "/readyz" | "/healthz", 401) => (401, "Unauthorized"),
        ("/livez" | "/readyz" | "/healthz", code) => (code, "[-]poststarthook/start failed: reason withheld"),
        _ => (404, "404 page not found"),
    };
    write!(
        connection,
        "HTTP/1.1 {code} -\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    connection.flush()
}
