//! What processes listen on: their sockets by `/proc/PID/fd`, held against `/proc/PID/net/tcp` and `tcp6`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::{Processes, has_ended, not_understood, text};
use crate::domain::{ProcessId, Reason};

/// `TCP_LISTEN` of `include/net/tcp_states.h`.
const LISTEN: &str = "0A";

impl Processes {
    /// The addresses that a process listens on over TCP; none for one that has ended.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or is not understood.
    pub fn listeners(&self, process: ProcessId) -> Result<Vec<SocketAddr>, Reason> {
        let folder = self.folder(process.pid);
        let mut listening = BTreeMap::new();
        for name in ["net/tcp", "net/tcp6"] {
            let path = folder.join(name);
            // Without version 6 of the protocol there is no such file.
            if let Some(table) = text(&path)? {
                let rows = listening_sockets(&table).ok_or_else(|| not_understood(&path))?;
                listening.extend(rows);
            }
        }
        let mut found = Vec::new();
        for inode in sockets(&folder.join("fd"))? {
            found.extend(listening.get(&inode).copied());
        }
        found.sort_unstable();
        // The number may be another process's by now.
        Ok(if self.runs(process)? { found } else { Vec::new() })
    }
}

/// The inodes of the sockets that a process holds.
fn sockets(folder: &Path) -> Result<Vec<u64>, Reason> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if has_ended(&cause) => return Ok(Vec::new()),
        Err(cause) => {
            return Err(Reason::new(format!("cannot list {}: {cause}", folder.display())));
        }
    };
    let inode = |link: &Path| {
        let name = link.to_str()?.strip_prefix("socket:[")?;
        name.strip_suffix(']')?.parse().ok()
    };
    // A descriptor that is closed meanwhile is none.
    let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    Ok(links.filter_map(|link| inode(&link)).collect())
}

/// The sockets that listen, by inode; `None` when a line is not understood.
fn listening_sockets(table: &str) -> Option<BTreeMap<u64, SocketAddr>> {
    let mut rows = BTreeMap::new();
    for line in table.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        if *state == LISTEN {
            rows.insert(inode.parse().ok()?, address(local)?);
        }
    }
    Some(rows)
}

/// `0100007F:1F90`: words of 32 bits in the machine's own order of bytes, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(host.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip = match host.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            let ip = Ipv6Addr::from(bytes);
            // A socket of version 6 that takes version 4 shows its addresses so.
            ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_that_listen_are_told_by_their_inode() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \u{20}  0: 0100007F:2742 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21 1 0 100 0 0 10 0\n\
            \u{20}  1: 0100007F:C350 0100007F:2742 01 00000000:00000000 00:00000000 00000000     0        0 22 1 0 20 4 30 10 -1\n";
        let listening = listening_sockets(table).unwrap();
        assert_eq!(listening, [(21, "127.0.0.1:10050".parse().unwrap())].into());
        let v6 = |text: &str| address(text).unwrap().to_string();
        assert_eq!(v6("00000000000000000000000000000000:192B"), "[::]:6443");
        assert_eq!(v6("00000000000000000000000001000000:0050"), "[::1]:80");
        assert_eq!(v6("0000000000000000FFFF00000100007F:0050"), "127.0.0.1:80");
        for torn in ["", "0100007F", "01:50", "0100007F:XY"] {
            assert_eq!(address(torn), None, "{torn}");
        }
        assert_eq!(listening_sockets("head\n a b c 0A\n"), None);
    }

    #[test]
    fn a_process_shows_what_it_listens_on() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let start_ticks = super::super::stat(Path::new("/proc/self"))
            .unwrap()
            .unwrap()
            .start_ticks;
        let me = ProcessId { pid, start_ticks };
        let processes = Processes::at(Path::new("/proc"));
        let found = processes.listeners(me).unwrap();
        assert!(found.contains(&listener.local_addr().unwrap()), "{found:?}");
        for (pid, start_ticks) in [(i32::MAX, 0), (pid, start_ticks + 1)] {
            let gone = ProcessId { pid, start_ticks };
            assert_eq!(processes.listeners(gone), Ok(Vec::new()));
        }
    }
}
