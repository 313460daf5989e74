//! Choices that are spelt as one word, the same in haproxy.cfg and TOML.

use crate::{
    AccessLevel, BusyPolling, Capability, CheckKind, HashFunction, HashMethod, InitState,
    IpVersions, LogFormat, NodeKey, OnError, OnMarkedDown, OnMarkedUp, Prefer, RelayMethod,
    SessionLogFormat,
};

/// A choice that is spelt as one word.
pub(crate) trait Word: Copy + 'static {
    /// Every choice and its word.
    const ALL: &'static [(&'static str, Self)];

    /// The word of this choice.
    fn word(self) -> &'static str;

    /// The choice of this word.
    fn of(word: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == word)?;
        Some(found.1)
    }
}

macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl Word for $type {
            const ALL: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

words!(AccessLevel { User = "user", Operator = "operator", Admin = "admin" });
words!(BusyPolling { Auto = "auto", On = "on", Off = "off" });
words!(Capability {
    NetRaw = "cap_net_raw",
    NetAdmin = "cap_net_admin",
    NetBindService = "cap_net_bind_service",
    SysAdmin = "cap_sys_admin",
});
words!(CheckKind {
    Connect = "connect",
    TcpCheck = "tcp-check",
    Http = "http",
    SslHello = "ssl-hello",
    Smtp = "smtp",
    Mysql = "mysql",
    Pgsql = "pgsql",
    Redis = "redis",
    Ldap = "ldap",
});
words!(HashFunction {
    Sdbm = "sdbm",
    Djb2 = "djb2",
    Wt6 = "wt6",
    Crc32 = "crc32",
    None = "none",
});
words!(HashMethod { MapBased = "map-based", Consistent = "consistent" });
words!(NodeKey { Id = "id", Address = "addr", AddressPort = "addr-port" });
words!(IpVersions { System = "system", V4V6 = "v4v6", V6Only = "v6only" });
words!(InitState { Up = "up", FullyUp = "fully-up", Down = "down", FullyDown = "fully-down" });
words!(OnMarkedUp { Keep = "keep", ShutdownBackupSessions = "shutdown-backup-sessions" });
words!(OnError {
    FastInter = "fastinter",
    FailCheck = "fail-check",
    SuddenDeath = "sudden-death",
    MarkDown = "mark-down",
});
words!(OnMarkedDown { Keep = "keep", ShutdownSessions = "shutdown-sessions" });
words!(Prefer { V4 = "ipv4", V6 = "ipv6" });
words!(RelayMethod { Auto = "auto", Copy = "copy", Splice = "splice" });
words!(SessionLogFormat { Connect = "connect", Tcp = "tcplog", TcpClf = "tcplog-clf",
    Http = "httplog" });
words!(LogFormat {
    Rfc3164 = "rfc3164",
    Rfc5424 = "rfc5424",
    Raw = "raw",
    Short = "short",
    Iso = "iso",
    Local = "local",
    Priority = "priority",
    Timed = "timed",
    Auto = "auto",
});

/// Syslog's facilities; the number is the index.
pub(crate) const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2",
    "ftp", "ntp", "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// Syslog's levels; the number is the index.
pub(crate) const LEVELS: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];
