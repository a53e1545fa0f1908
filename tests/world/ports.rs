//! Loopback ports for the components of one world: outside of the range that the kernel gives to clients, so that nobody
//! takes one while its component restarts.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that no other world of this process has, given back when it is dropped.
pub struct Port(u16);

impl Port {
    pub fn take() -> Self {
        let mut taken = TAKEN.lock().expect("no thread panics with it");
        // Test processes that run side by side begin at different places.
        let begin = std::process::id().wrapping_mul(64) % COUNT;
        let port = (0..COUNT)
            .filter_map(|step| u16::try_from(FIRST + (begin + step) % COUNT).ok())
            .find(|port| !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
            .expect("one of 20000 ports is free");
        taken.insert(port);
        Self(port)
    }

    pub const fn number(&self) -> u16 {
        self.0
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        TAKEN.lock().expect("no thread panics with it").remove(&self.0);
    }
}
