//! What evenkeel.service, which starts this process as an ordinary user, has to offer to one that needs more.

/// Where the packages put what starts it as root.
const DROP_IN: &str = "/usr/share/doc/evenkeel/examples/haproxy-drop-in.conf";

/// How to have the service start this process as root, in the words of an advice; `None` when systemd did
/// not start it.
pub(crate) fn as_root() -> Option<String> {
    // systemd.exec(5): of the process that it started, and of none that inherits the variable.
    let started = std::env::var("SYSTEMD_EXEC_PID").ok()?;
    (started == std::process::id().to_string()).then(|| {
        format!(
            "have the service start as root: copy {DROP_IN} to \
             /etc/systemd/system/evenkeel.service.d/haproxy.conf, then systemctl daemon-reload"
        )
    })
}
