//! What commands change of a running proxy. All of it happens on the control thread, in the
//! generation in force; what of it outlives a reload is the server's own matter.

use crate::fitness::AdminState;
use crate::proxy::Proxy;

impl Proxy {
    /// The backend of this name.
    #[must_use]
    pub fn backend_named(&self, name: &str) -> Option<usize> {
        let mut backends = self.current.backends.iter();
        backends.position(|backend| backend.config.name == name)
    }

    /// The server of this name in the backend at `backend`.
    #[must_use]
    pub fn server_named(&self, backend: usize, name: &str) -> Option<usize> {
        let backend = self.current.backends.get(backend)?;
        let mut servers = backend.servers.iter();
        servers.position(|server| server.config.name == name)
    }

    /// `set server ... state`, `enable server`, `disable server`.
    pub fn set_server_admin(&mut self, backend: usize, server: usize, state: AdminState) {
        if let Some(backend) = self.current.backends.get(backend) {
            backend.set_admin(server, state);
        }
    }
}
