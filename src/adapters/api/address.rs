//! Where the API server of this node listens, by its manifest's flags: not the kubeconfig's address, behind which another may answer.

use std::net::IpAddr;

use crate::domain::{Component, FlagName, InvalidFlagName, Reason, StaticPod};
use crate::manifest;

/// The port without `--secure-port`.
const DEFAULT_PORT: u16 = 6443;

/// An address to dial, and whom to expect there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address that is dialled.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// The name that the server's certificate must be for: kubeadm's is for the address that the server advertises.
    pub name: String,
}

/// The address of this node's API server. A server that is bound to one address is dialled there, any other at the address that it
/// advertises.
///
/// # Errors
/// When the manifest's flags do not say it.
pub fn local_address(api_server: &StaticPod) -> Result<Address, Reason> {
    let line = manifest::command_line(Component::ApiServer, api_server)
        .map_err(|error| Reason::new(error.to_string()))?;
    let value = |name: &str| -> Result<Option<&str>, Reason> {
        let name: FlagName = name
            .parse()
            .map_err(|error: InvalidFlagName| Reason::new(error.to_string()))?;
        Ok(line.scalar(&name))
    };
    let ip = |name: &str| -> Result<Option<IpAddr>, Reason> {
        let Some(text) = value(name)? else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| Reason::new(format!("kube-apiserver's --{name} \"{text}\" is no IP address")))
    };
    let bound = ip("bind-address")?.filter(|ip| !ip.is_unspecified());
    let advertised = ip("advertise-address")?.filter(|ip| !ip.is_unspecified());
    let dialled = bound.or(advertised).ok_or_else(|| {
        Reason::new("kube-apiserver has neither --advertise-address nor a --bind-address to find it by")
    })?;
    let port = match value("secure-port")? {
        Some(text) => text
            .parse()
            .map_err(|_| Reason::new(format!("kube-apiserver's --secure-port \"{text}\" is no port")))?,
        None => DEFAULT_PORT,
    };
    Ok(Address {
        ip: dialled,
        port,
        name: advertised.unwrap_or(dialled).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(flags: &[&str]) -> Result<Address, Reason> {
        let flags: String = flags.iter().map(|flag| format!("    - \"{flag}\"\n")).collect();
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\nspec:\n  containers:\n  - name: kube-apiserver\n    image: x\n    command:\n    - kube-apiserver\n{flags}"
        );
        local_address(&manifest::parse(text.as_bytes()).unwrap())
    }

    fn address(ip: &str, port: u16, name: &str) -> Result<Address, Reason> {
        Ok(Address {
            ip: ip.parse().unwrap(),
            port,
            name: name.to_owned(),
        })
    }

    #[test]
    fn the_server_is_dialled_where_it_listens_and_named_as_its_certificate_is() {
        assert_eq!(
            asked(&["--advertise-address=192.0.2.11", "--secure-port=16443"]),
            address("192.0.2.11", 16_443, "192.0.2.11")
        );
        assert_eq!(
            asked(&["--advertise-address=192.0.2.11", "--bind-address=0.0.0.0"]),
            address("192.0.2.11", 6443, "192.0.2.11")
        );
        assert_eq!(
            asked(&["--advertise-address=192.0.2.11", "--bind-address=127.0.0.1"]),
            address("127.0.0.1", 6443, "192.0.2.11")
        );
        assert_eq!(
            asked(&["--advertise-address=2001:db8::1"]),
            address("2001:db8::1", 6443, "2001:db8::1")
        );
    }

    #[test]
    fn flags_that_do_not_say_where_are_told() {
        let reason = |flags: &[&str]| asked(flags).unwrap_err().to_string();
        assert_eq!(
            reason(&["--bind-address=::"]),
            "kube-apiserver has neither --advertise-address nor a --bind-address to find it by"
        );
        assert_eq!(
            reason(&["--advertise-address=here"]),
            "kube-apiserver's --advertise-address \"here\" is no IP address"
        );
        assert_eq!(
            reason(&["--advertise-address=192.0.2.11", "--secure-port=0x10"]),
            "kube-apiserver's --secure-port \"0x10\" is no port"
        );
    }
}
