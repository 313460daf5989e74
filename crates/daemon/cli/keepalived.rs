//! The options of `evenkeel keepalived`.

use std::net::IpAddr;

use super::admin_address;
use super::choice::Choice;
use super::health::door;
use crate::keepalived::{Vip, Wanted};

/// Longest name that the kernel gives an interface.
const LONGEST_INTERFACE: usize = 15;

/// Every option.
pub(crate) const CHOICES: &[Choice<Wanted>] = &[
    Choice {
        name: "--interface",
        argument: "NAME",
        help: "the interface that the addresses are to be on, e.g. eth0",
        take: |wanted, name| {
            let is_name =
                |c: char| !c.is_whitespace() && !matches!(c, '/' | '"' | '#' | '!' | '{' | '}');
            if name.is_empty() || name.len() > LONGEST_INTERFACE || !name.chars().all(is_name) {
                return Err(format!("'{name}' is no name of an interface"));
            }
            wanted.interface = name.to_owned();
            Ok(())
        },
    },
    Choice {
        name: "--peer",
        argument: "ADDRESS",
        help: "the other node's own address; once for each node and each family of addresses",
        take: |wanted, text| {
            wanted.peers.push(host(text)?);
            Ok(())
        },
    },
    Choice {
        name: "--vip",
        argument: "ADDRESS[/PREFIX]",
        help: "an address that is to move; without it, those that the file binds",
        take: |wanted, text| {
            wanted.vips.push(vip(text)?);
            Ok(())
        },
    },
    Choice {
        name: "--address",
        argument: "ADDRESS",
        help: "this node's own address, if it has several; with --peer swapped, the other node's file \
               is printed",
        take: |wanted, text| {
            wanted.addresses.push(host(text)?);
            Ok(())
        },
    },
    Choice {
        name: "--priority",
        argument: "NUMBER",
        help: "1 to 254; if not given, the node with the lowest address has the highest",
        take: |wanted, text| {
            wanted.priority = Some(number(text, 254)?);
            Ok(())
        },
    },
    Choice {
        name: "--router-id",
        argument: "NUMBER",
        help: "the VRID, 1 to 255; if not given, the last part of the first VIP",
        take: |wanted, text| {
            wanted.router_id = Some(number(text, 255)?);
            Ok(())
        },
    },
    Choice {
        name: "-f",
        argument: "FILE",
        help: "the balancer's file: its bind lines name the VIPs, its admin address is asked",
        take: |wanted, file| {
            wanted.files.push(file.into());
            Ok(())
        },
    },
    Choice {
        name: "--admin",
        argument: "ADDRESS",
        help: "what 'evenkeel health' is to ask, if not the file's admin address",
        take: |wanted, text| {
            let address = admin_address(text)?;
            wanted
                .health
                .extend(["--admin".to_owned(), address.to_string()]);
            Ok(())
        },
    },
    Choice {
        name: "-S",
        argument: "SOCKET",
        help: "the same, the master's socket or a stats socket",
        take: |wanted, text| {
            let door = door(text)?.to_string();
            wanted.health.extend(["-S".to_owned(), word(&door)?]);
            Ok(())
        },
    },
    Choice {
        name: "--user",
        argument: "NAME",
        help: "who runs 'evenkeel health'; evenkeel, or nobody where there is no such user",
        take: |wanted, name| {
            wanted.user = Some(word(name)?);
            Ok(())
        },
    },
];

fn host(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| format!("'{text}' is not an IP address, e.g. 10.0.1.9"))?;
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
        return Err(format!("{address} is no address of one node on a network"));
    }
    Ok(address)
}

fn vip(text: &str) -> Result<Vip, String> {
    let (ip, prefix) = match text.split_once('/') {
        Some((ip, prefix)) => (ip, Some(prefix)),
        None => (text, None),
    };
    let ip = host(ip)?;
    let bits = Vip::bits(ip);
    let prefix = match prefix {
        None => bits,
        Some(prefix) => prefix
            .parse()
            .ok()
            .filter(|prefix| (1..=bits).contains(prefix))
            .ok_or_else(|| format!("'/{prefix}' is no prefix of {ip}: 1 to {bits}"))?,
    };
    Ok(Vip { ip, prefix })
}

fn number(text: &str, most: u8) -> Result<u8, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| format!("'{text}' is not a number from 1 to {most}"))
}

/// What stands in the file as it is must be one word there.
fn word(text: &str) -> Result<String, String> {
    let breaks = |c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '#' | '!' | '{' | '}')
    };
    match text.is_empty() || text.contains(breaks) {
        true => Err(format!("'{text}' is not one word")),
        false => Ok(text.to_owned()),
    }
}
