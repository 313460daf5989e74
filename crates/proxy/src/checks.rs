//! What checks ask of a backend beside their verdict: how it sees a server.

use evenkeel_config::ServerAddress;
use evenkeel_health::Machine;

use crate::backend::Backend;
use crate::fitness::Health;

impl Backend {
    /// `X-Haproxy-Server-State` of the server at `index`, as `http-check send-state` sends it.
    pub(crate) fn state_header(&self, index: usize) -> String {
        let server = &self.servers[index];
        let fitness = server.state.fitness().clone();
        let state = match fitness.machine {
            None => "no check".to_owned(),
            Some(machine) => progress(machine, fitness.health()),
        };
        let address = server.state.address(&server.config.address);
        let (host, port) = match &address {
            ServerAddress::Inet(address) => (address.ip().to_string(), address.port().to_string()),
            ServerAddress::Mapped { ip, .. } => (ip.to_string(), "0".to_owned()),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => {
                ("unix".to_owned(), "unix".to_owned())
            }
        };
        let weights: u32 = self
            .servers
            .iter()
            .map(|server| server.state.fitness())
            .filter(|fitness| fitness.view().is_usable())
            .map(|fitness| u32::from(fitness.weight))
            .sum();
        format!(
            "{state}; address={host}; port={port}; name={}/{}; node={}; weight={}/{weights}; \
             scur={}/{}; qcur=0",
            self.config.name,
            server.config.name,
            server
                .config
                .check
                .as_ref()
                .map_or("", |check| check.script.node.as_str()),
            fitness.weight,
            server.state.stats.open.now(),
            self.state.stats.open.now(),
        )
    }
}

/// `UP`, `UP 1/3`, `DOWN 1/2`, ...: how far it is from another state.
fn progress(machine: Machine, health: Health) -> String {
    let name = match health {
        Health::Up => "UP",
        Health::Stopping => "NOLB",
        Health::Down => "DOWN",
    };
    if !machine.is_up() {
        return match machine.health() {
            0 => "DOWN".to_owned(),
            health => format!("DOWN {health}/{}", machine.rise()),
        };
    }
    if machine.health() == machine.top() {
        return name.to_owned();
    }
    let steps = machine.health() - machine.rise() + 1;
    format!("{name} {steps}/{}", machine.fall())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured from HAProxy 3.0, `rise 2 fall 3`.
    #[test]
    fn progress_is_told_as_haproxy_tells_it() {
        let mut machine = Machine::new(2, 3);
        let mut said = vec![progress(machine, Health::Up)];
        for passed in [true, false, false, false, true] {
            machine.on(passed);
            let health = if machine.is_up() {
                Health::Up
            } else {
                Health::Down
            };
            said.push(progress(machine, health));
        }
        assert_eq!(
            said,
            ["UP 1/3", "UP", "UP 2/3", "UP 1/3", "DOWN", "DOWN 1/2"]
        );
    }
}
