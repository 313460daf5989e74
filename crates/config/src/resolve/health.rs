//! Agents, and connects that count like checks.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Resolver, value};
use crate::draft::{HealthDraft, ServerDraft};
use crate::{Agent, HealthPolicy, Observation, OnError, ServerAddress};

const DEFAULT_AGENT_INTER: Duration = Duration::from_secs(2);
const DEFAULT_ERROR_LIMIT: u32 = 10;

pub(super) fn policy(draft: &HealthDraft) -> HealthPolicy {
    HealthPolicy {
        log_changes: value(draft.log_changes.clone()).unwrap_or(false),
        fail_open: value(draft.fail_open.clone()).unwrap_or(false),
    }
}

/// Only a server that is checked is observed, as in HAProxy.
pub(super) fn observation(draft: &ServerDraft) -> Option<Observation> {
    let health = &draft.options.health;
    let is_checked = value(draft.options.check.clone()).unwrap_or(false);
    let is_observed = value(health.observe.clone()).unwrap_or(false);
    (is_checked && is_observed).then(|| Observation {
        error_limit: value(health.error_limit.clone()).unwrap_or(DEFAULT_ERROR_LIMIT),
        on_error: value(health.on_error.clone()).unwrap_or(OnError::FailCheck),
    })
}

impl Resolver<'_> {
    pub(super) fn agent(
        &mut self,
        draft: &ServerDraft,
        server: &ServerAddress,
        connect_timeout: Option<Duration>,
        check_timeout: Option<Duration>,
    ) -> Option<Agent> {
        let health = draft.options.health.clone();
        let on = health.agent.filter(|agent| agent.value)?;
        let Some(port) = health.agent_port.or(draft.options.check_port.clone()) else {
            let message = format!(
                "server '{}' does not have an agent port; add 'agent-port N'",
                draft.name.value
            );
            self.error(&on.place, message);
            return None;
        };
        let own = match server {
            ServerAddress::Inet(address) => Some(address.ip()),
            ServerAddress::Mapped { ip, .. } => Some(*ip),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => None,
        };
        let address = health.agent_address.as_ref();
        let address = address.or(draft.options.check_address.as_ref());
        let own_ip = match address {
            None => None,
            Some(text) => match self.check_host(&text.value) {
                Ok((ip, _)) => Some(ip),
                Err(message) => {
                    self.error(&text.place, format!("'agent-addr': {message}"));
                    return None;
                }
            },
        };
        let Some(ip) = own_ip.or(own) else {
            let message = format!(
                "server '{}' has no IP address to find its agent at; add 'agent-addr'",
                draft.name.value
            );
            self.error(&on.place, message);
            return None;
        };
        let inter = value(health.agent_inter).unwrap_or(DEFAULT_AGENT_INTER);
        Some(Agent {
            address: SocketAddr::new(ip, port.value),
            own_ip,
            inter,
            connect_timeout: match (check_timeout, connect_timeout) {
                (Some(_), Some(connect)) => connect.min(inter),
                _ => inter,
            },
            read_timeout: check_timeout.unwrap_or(inter),
            send: value(health.agent_send).unwrap_or_default().into_bytes(),
        })
    }
}
