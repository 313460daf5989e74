//! Numbers of listening sockets, and what a check's connection begins with.

use std::collections::BTreeSet;

use super::{Resolver, value};
use crate::draft::{BindDraft, ServerOptions};
use crate::{Bind, SendProxy};

impl Resolver<'_> {
    /// Gives each of a frontend's sockets its number: the one that it asks for, else the next free
    /// one.
    pub(super) fn number_binds(&mut self, drafts: &[BindDraft], binds: &mut [Bind]) {
        let mut taken = BTreeSet::new();
        for id in drafts.iter().filter_map(|draft| draft.net.id.as_ref()) {
            if !taken.insert(id.value) {
                let message = format!("'bind': id {} belongs to another socket", id.value);
                self.error(&id.place, message);
            }
        }
        let mut seen = BTreeSet::new();
        for bind in binds.iter().filter(|bind| bind.id > 0) {
            if !seen.insert(bind.id) && drafts.len() < binds.len() {
                let message = format!(
                    "'bind': id {} would belong to several sockets; give each address a line of \
                     its own",
                    bind.id
                );
                self.error(&bind.place, message);
                break;
            }
        }
        let mut next = 1;
        for bind in binds.iter_mut().filter(|bind| bind.id == 0) {
            while taken.contains(&next) {
                next += 1;
            }
            bind.id = next;
            next += 1;
        }
    }
}

/// A check's header: as the server's connections have it, unless checks go elsewhere;
/// `check-send-proxy` asks for one in any case.
pub(super) fn check_header(options: &ServerOptions) -> Option<SendProxy> {
    let is_elsewhere = options.check_port.is_some() || options.check_address.is_some();
    let own = options.net.send_proxy.resolved();
    if value(options.net.check_send_proxy.clone()).unwrap_or(false) {
        own.or(Some(SendProxy::V1))
    } else {
        own.filter(|_| !is_elsewhere)
    }
}
