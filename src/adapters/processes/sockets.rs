//! What processes listen on, and who is connected to them: their sockets by `/proc/PID/fd`, held against `/proc/PID/net/tcp` and `tcp6`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Processes, has_ended, not_understood, text};
use crate::domain::{EtcdClient, ProcessId, Reason};

/// `TCP_LISTEN` of `include/net/tcp_states.h`.
const LISTEN: &str = "0A";
/// `TCP_ESTABLISHED`.
const ESTABLISHED: &str = "01";

/// So many sockets are looked at: anybody can open as many as they may.
const MOST: usize = 200_000;

/// A socket of the table: its own end, the other end, and whether it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    listens: bool,
}

/// One look at the sockets of the node.
///
/// The table of a network is read once for all processes in it: the kernel goes through all of its table for each reader, which takes
/// milliseconds, and the components of a control plane share the network of the host.
#[derive(Debug)]
pub struct Sockets<'a> {
    processes: &'a Processes,
    tables: BTreeMap<Network, Table>,
}

/// The sockets that listen or are connected, by inode.
type Table = BTreeMap<u64, Socket>;

/// The network that a process is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Network {
    /// By the name that the kernel gives to its namespace.
    Named(PathBuf),
    /// That of this process, where the kernel does not tell.
    Of(i32),
}

impl Socket {
    /// True when the other end is in this network, and so in the same table.
    fn is_within(&self) -> bool {
        self.remote.ip().is_loopback() || self.remote.ip() == self.local.ip()
    }
}

impl Processes {
    /// Begins a look at the sockets of the node.
    pub const fn sockets(&self) -> Sockets<'_> {
        Sockets {
            processes: self,
            tables: BTreeMap::new(),
        }
    }

    fn sockets_of(&self, pid: i32) -> Result<BTreeSet<u64>, Reason> {
        sockets(&self.folder(pid).join("fd"))
    }

    fn network_of(&self, process: ProcessId) -> Network {
        let named = std::fs::read_link(self.folder(process.pid).join("ns/net"));
        named.map_or(Network::Of(process.pid), Network::Named)
    }

    /// The sockets of the network that a process is in.
    fn table(&self, process: ProcessId) -> Result<Table, Reason> {
        let folder = self.folder(process.pid);
        let mut all = BTreeMap::new();
        for name in ["net/tcp", "net/tcp6"] {
            let path = folder.join(name);
            // Without version 6 of the protocol there is no such file.
            if let Some(table) = text(&path)? {
                all.extend(rows(&table).ok_or_else(|| not_understood(&path))?);
            }
        }
        Ok(all)
    }

    /// Which process holds each of these sockets; looked for only where there is one.
    fn holders(&self, wanted: &BTreeSet<u64>) -> Result<BTreeMap<u64, Holder>, Reason> {
        let mut found = BTreeMap::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        // The file, and not its name: a container has files of any name.
        let exe = |pid: &str| {
            let facts = std::fs::metadata(self.proc_folder.join(pid).join("exe")).ok()?;
            Some((facts.dev(), facts.ino()))
        };
        let own = exe("self");
        let mut left = MOST;
        for pid in self.pids()? {
            let sockets = self.sockets_of(pid)?;
            left = left.checked_sub(sockets.len()).ok_or_else(|| {
                Reason::new(format!(
                    "more than {MOST} sockets are open, and are not all looked at"
                ))
            })?;
            let its: Vec<u64> = sockets.intersection(wanted).copied().collect();
            if its.is_empty() {
                continue;
            }
            let name = text(&self.folder(pid).join("comm"))?.unwrap_or_default();
            let program = exe(&pid.to_string());
            for inode in its {
                let holder = if program.is_some() && program == own {
                    Holder::Own
                } else {
                    Holder::Program(name.trim().to_owned())
                };
                found.insert(inode, holder);
            }
        }
        Ok(found)
    }
}

impl Sockets<'_> {
    /// The addresses that a process listens on over TCP; none for one that has ended.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or is not understood.
    pub fn listeners(&mut self, process: ProcessId) -> Result<Vec<SocketAddr>, Reason> {
        let processes = self.processes;
        let table = self.table(process)?;
        let mut found: Vec<SocketAddr> = processes
            .sockets_of(process.pid)?
            .iter()
            .filter_map(|inode| table.get(inode))
            .filter(|socket| socket.listens)
            .map(|socket| socket.local)
            .collect();
        found.sort_unstable();
        // The number may be another process's by now.
        Ok(if processes.runs(process)? {
            found
        } else {
            Vec::new()
        })
    }

    /// Who is connected to the ports that a process listens on, but for these processes, and for this program itself.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or is not understood.
    pub fn clients(&mut self, process: ProcessId, but_for: &[ProcessId]) -> Result<Vec<EtcdClient>, Reason> {
        let processes = self.processes;
        let table = self.table(process)?;
        let own = processes.sockets_of(process.pid)?;
        let own = || own.iter().filter_map(|inode| table.get(inode));
        let ports: BTreeSet<u16> = own()
            .filter(|socket| socket.listens)
            .map(|socket| socket.local.port())
            .collect();
        let mut others: Vec<&Socket> = own()
            .filter(|socket| !socket.listens && ports.contains(&socket.local.port()))
            .collect();
        let mut known = BTreeSet::new();
        for process in but_for {
            known.extend(processes.sockets_of(process.pid)?);
        }
        // The other end of a connection within this network stands in the same table.
        let ends: BTreeMap<(SocketAddr, SocketAddr), u64> = table
            .iter()
            .filter(|(_, socket)| !socket.listens && ports.contains(&socket.remote.port()))
            .map(|(inode, socket)| ((socket.local, socket.remote), *inode))
            .collect();
        let end = |socket: &Socket| ends.get(&(socket.remote, socket.local)).copied();
        others.retain(|socket| end(socket).is_none_or(|inode| !known.contains(&inode)));
        let wanted: BTreeSet<u64> = others.iter().filter_map(|socket| end(socket)).collect();
        let holders = processes.holders(&wanted)?;
        let mut clients: Vec<EtcdClient> = Vec::new();
        for socket in others {
            let program = match end(socket).map(|inode| holders.get(&inode)) {
                // The table is not read in one moment: it has just begun, or closes.
                None if socket.is_within() => continue,
                None => None,
                Some(Some(Holder::Program(name))) => Some(name.clone()),
                Some(Some(Holder::Own)) => continue,
                // It has just ended, or closes.
                Some(None) => continue,
            };
            clients.push(EtcdClient {
                address: socket.remote.ip(),
                port: socket.local.port(),
                program,
            });
        }
        clients.sort_unstable();
        clients.dedup();
        Ok(if processes.runs(process)? {
            clients
        } else {
            Vec::new()
        })
    }

    fn table(&mut self, process: ProcessId) -> Result<&Table, Reason> {
        match self.tables.entry(self.processes.network_of(process)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => Ok(unknown.insert(self.processes.table(process)?)),
        }
    }
}

/// Who holds a socket.
enum Holder {
    /// This program, as a command or as the daemon.
    Own,
    /// Another one.
    Program(String),
}

/// The inodes of the sockets that a process holds.
fn sockets(folder: &Path) -> Result<BTreeSet<u64>, Reason> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if has_ended(&cause) => return Ok(BTreeSet::new()),
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

/// The sockets that listen or are connected, by inode; `None` when a line is not understood.
fn rows(table: &str) -> Option<Table> {
    let mut rows = BTreeMap::new();
    for line in table.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, remote) = (fields.get(1)?, fields.get(2)?);
        let (state, inode) = (*fields.get(3)?, fields.get(9)?);
        if [LISTEN, ESTABLISHED].contains(&state) {
            let socket = Socket {
                local: address(local)?,
                remote: address(remote)?,
                listens: state == LISTEN,
            };
            rows.insert(inode.parse().ok()?, socket);
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
        let socket = |local: &str, remote: &str, listens| Socket {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            listens,
        };
        let expected = [
            (21, socket("127.0.0.1:10050", "0.0.0.0:0", true)),
            (22, socket("127.0.0.1:50000", "127.0.0.1:10050", false)),
        ];
        assert_eq!(rows(table), Some(expected.into()));
        for (local, remote, within) in [
            ("127.0.0.1:2379", "127.0.0.1:50000", true),
            ("192.0.2.11:2379", "192.0.2.11:50000", true),
            ("192.0.2.11:2379", "192.0.2.12:50000", false),
        ] {
            assert_eq!(socket(local, remote, false).is_within(), within, "{remote}");
        }
        let v6 = |text: &str| address(text).unwrap().to_string();
        assert_eq!(v6("00000000000000000000000000000000:192B"), "[::]:6443");
        assert_eq!(v6("00000000000000000000000001000000:0050"), "[::1]:80");
        assert_eq!(v6("0000000000000000FFFF00000100007F:0050"), "127.0.0.1:80");
        for torn in ["", "0100007F", "01:50", "0100007F:XY"] {
            assert_eq!(address(torn), None, "{torn}");
        }
        assert_eq!(rows("head\n a b c 0A\n"), None);
    }

    #[test]
    #[expect(clippy::disallowed_types, reason = "it takes another program to be connected")]
    fn who_is_connected_is_told_by_program_unless_it_is_this_one_or_known() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pid = i32::try_from(std::process::id()).unwrap();
        let start_ticks = |pid: i32| {
            let stat = super::super::stat(Path::new(&format!("/proc/{pid}"))).unwrap();
            stat.unwrap().start_ticks
        };
        let me = ProcessId {
            pid,
            start_ticks: start_ticks(pid),
        };
        let processes = Processes::at(Path::new("/proc"));
        let of_port = |but_for: &[ProcessId]| {
            let mut clients = processes.sockets().clients(me, but_for).unwrap();
            clients.retain(|client| client.port == port);
            clients
        };
        let own = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let accepted = listener.accept().unwrap();
        assert_eq!(of_port(&[]), [], "this program itself");
        drop((own, accepted));

        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; read -r line <&3");
        let mut other = std::process::Command::new("bash")
            .args(["-c", &script])
            .spawn()
            .unwrap();
        let accepted = listener.accept().unwrap();
        let stranger = i32::try_from(other.id()).unwrap();
        let expected = EtcdClient {
            address: IpAddr::from([127, 0, 0, 1]),
            port,
            program: Some("bash".to_owned()),
        };
        assert_eq!(of_port(&[]), [expected]);
        let known = ProcessId {
            pid: stranger,
            start_ticks: start_ticks(stranger),
        };
        assert_eq!(of_port(&[known]), []);
        drop(accepted);
        other.wait().unwrap();
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
        let found = processes.sockets().listeners(me).unwrap();
        assert!(found.contains(&listener.local_addr().unwrap()), "{found:?}");
        for (pid, start_ticks) in [(i32::MAX, 0), (pid, start_ticks + 1)] {
            let gone = ProcessId { pid, start_ticks };
            assert_eq!(processes.sockets().listeners(gone), Ok(Vec::new()));
        }
    }
}
