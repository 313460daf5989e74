//! Over 600 lines because it holds the table of fetches and what the rows are made of.
//!
//! Fetches: where a sample comes from (HAProxy manual, sections 7.3.2 to 7.3.6). What there is is
//! a row of a table, here for what a connection and the process know of themselves, in
//! [`content`](super::content) for what needs bytes of the client.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::call::Call;
use super::content::{self, Content, Http};
use super::known;
use super::sample::{Kind, Sample};
use super::{Acl, Checkpoint, Context, FrontendId};
use crate::BackendId;
use crate::resolve::did_you_mean;

/// Where a sample comes from. Names are linked, constants are constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Fetch {
    /// Always this.
    Constant(Sample<'static>),
    /// Nothing: there is never such a sample in a proxy that does not terminate TLS.
    Absent,
    /// `src`, `dst` and their kin.
    Address(End, Side),
    /// `src_port`, `dst_port`.
    Port(End, Side),
    /// `src_is_local`, `dst_is_local`: whether an address is one of this machine.
    IsLocal(End, Side),
    /// `fc_rcvd_proxy`: whether a PROXY protocol header came first.
    CameByProxyProtocol,
    /// `dst_conn`: open connections of the listening socket.
    SocketConnections,
    /// `so_id`: the number of the listening socket.
    SocketId,
    /// `so_name`: its name.
    SocketName,
    /// A number about a frontend; `None`: the session's.
    Frontend(FrontendFact, Option<FrontendId>),
    /// A number about a backend; `None`: the session's.
    Backend(BackendFact, Option<BackendId>),
    /// A number about a server.
    Server(ServerFact, ServerId),
    /// `srv_name`: the name of the session's server.
    ServerName,
    /// `srv_id`: its number.
    ServerNumber,
    /// `bc_src`, `bc_dst`: an end of the connection to it.
    ServerAddress(End),
    /// `bc_src_port`, `bc_dst_port`.
    ServerPort(End),
    /// `act_conn`: open connections of the process.
    Connections,
    /// `stopping`.
    IsStopping,
    /// `thread`: which thread it is, from 0.
    Thread,
    /// `rand`: below this, or of 32 bits.
    Random(Option<u32>),
    /// `date`, in this unit, moved by so much.
    Date(Unit, i64),
    /// `accept_date`, in this unit.
    AcceptDate(Unit),
    /// `uuid`: a random one (version 4).
    Uuid,
    /// `acl`: whether all of these hold, or, where `true` stands, do not.
    Acls(Vec<(bool, Arc<Acl>)>),
    /// What the client sends, as bytes.
    Content(Content),
    /// What the client sends, as an HTTP request.
    Http(Http),
    /// Something that HAProxy knows and nothing here does: which, and why.
    Unsupported(String, &'static str),
}

/// One of the two addresses of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client.
    Source,
    /// Where it connected to.
    Destination,
}

/// Which addresses count where a PROXY protocol header came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those of the header.
    Announced,
    /// Those of the connection (`fc_src`).
    Connection,
}

/// What is asked of a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontendFact {
    /// `fe_conn`: open connections.
    Connections,
    /// `fe_sess_rate`: sessions of the last second.
    SessionRate,
    /// `fe_id`.
    Id,
    /// `fe_name`.
    Name,
    /// `fe_defbe`: the name of its default backend.
    DefaultBackend,
    /// `fe_client_timeout`, in milliseconds.
    ClientTimeout,
}

/// What is asked of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendFact {
    /// `be_conn`: open connections.
    Connections,
    /// `be_conn_free`: how many more its servers take; -1: no limit.
    FreeConnections,
    /// `be_sess_rate`: sessions of the last second.
    SessionRate,
    /// `be_id`.
    Id,
    /// `be_name`.
    Name,
    /// `be_server_timeout`, in milliseconds.
    ServerTimeout,
    /// `be_tunnel_timeout`, in milliseconds.
    TunnelTimeout,
    /// `nbsrv`: usable servers.
    UsableServers,
    /// `connslots`: connections and places in queues that are left; -1: no limit.
    Slots,
    /// `queue`: connections that wait.
    Queue,
    /// `avg_queue`: those, divided by the usable servers.
    AverageQueue,
}

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerFact {
    /// `srv_conn`: open connections.
    Connections,
    /// `srv_conn_free`: how many more it takes; -1: no limit.
    FreeConnections,
    /// `srv_is_up`: whether it takes connections.
    IsUp,
    /// `srv_queue`: connections that wait for it.
    Queue,
    /// `srv_sess_rate`: sessions of the last second.
    SessionRate,
    /// `srv_weight`: in force.
    Weight,
    /// `srv_iweight`: of the configuration.
    InitialWeight,
    /// `srv_uweight`: as set last, before slow start.
    UserWeight,
}

/// A server by its place in its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerId {
    /// Its backend.
    pub backend: BackendId,
    /// Its index there.
    pub index: usize,
}

/// In what a date is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `s`.
    Seconds,
    /// `ms`.
    Milliseconds,
    /// `us`.
    Microseconds,
}

impl Unit {
    /// A time since 1970 in this unit.
    #[must_use]
    pub fn count(self, time: Duration) -> i64 {
        let count = match self {
            Self::Seconds => u128::from(time.as_secs()),
            Self::Milliseconds => time.as_millis(),
            Self::Microseconds => time.as_micros(),
        };
        i64::try_from(count).unwrap_or(i64::MAX)
    }
}

/// Where a fetch finds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    /// Once the client's bytes can be read, until they are sent on.
    Request,
    /// Once the backend is chosen.
    Chosen,
    /// Once the server answers.
    Response,
}

impl When {
    pub(crate) fn admits(self, at: Checkpoint) -> bool {
        use Checkpoint::{
            BackendContent, BackendHttpRequest, Connection, ListenHttpRequest, Response, Session,
            UseServer,
        };
        match self {
            Self::Always => true,
            Self::Request => !matches!(at, Connection | Session | Response),
            Self::Chosen => matches!(
                at,
                BackendContent | UseServer | Response | ListenHttpRequest | BackendHttpRequest
            ),
            Self::Response => at == Response,
        }
    }
}

/// One row: what it is called, what it finds and when, how it is made of its arguments.
pub(crate) struct Row {
    pub(crate) names: &'static [&'static str],
    pub(crate) kind: Kind,
    pub(crate) when: When,
    pub(crate) make: fn(&Call, &Context<'_>) -> Result<Fetch, String>,
}

const fn row(
    names: &'static [&'static str],
    kind: Kind,
    make: fn(&Call, &Context<'_>) -> Result<Fetch, String>,
) -> Row {
    Row {
        names,
        kind,
        when: When::Always,
        make,
    }
}

const fn chosen(
    names: &'static [&'static str],
    kind: Kind,
    make: fn(&Call, &Context<'_>) -> Result<Fetch, String>,
) -> Row {
    Row {
        when: When::Chosen,
        ..row(names, kind, make)
    }
}

const fn reached(
    names: &'static [&'static str],
    kind: Kind,
    make: fn(&Call, &Context<'_>) -> Result<Fetch, String>,
) -> Row {
    Row {
        when: When::Response,
        ..row(names, kind, make)
    }
}

/// What a connection, a proxy and the process know of themselves.
#[rustfmt::skip]
static ROWS: &[Row] = &[
    row(&["src"], Kind::Ip, |c, _| plain(c, Fetch::Address(End::Source, Side::Announced))),
    row(&["dst"], Kind::Ip, |c, _| plain(c, Fetch::Address(End::Destination, Side::Announced))),
    row(&["src_port"], Kind::Int, |c, _| plain(c, Fetch::Port(End::Source, Side::Announced))),
    row(&["dst_port"], Kind::Int, |c, _| plain(c, Fetch::Port(End::Destination, Side::Announced))),
    row(&["src_is_local"], Kind::Bool, |c, _| plain(c, Fetch::IsLocal(End::Source, Side::Announced))),
    row(&["dst_is_local"], Kind::Bool, |c, _| plain(c, Fetch::IsLocal(End::Destination, Side::Announced))),
    row(&["fc_src"], Kind::Ip, |c, _| plain(c, Fetch::Address(End::Source, Side::Connection))),
    row(&["fc_dst"], Kind::Ip, |c, _| plain(c, Fetch::Address(End::Destination, Side::Connection))),
    row(&["fc_src_port"], Kind::Int, |c, _| plain(c, Fetch::Port(End::Source, Side::Connection))),
    row(&["fc_dst_port"], Kind::Int, |c, _| plain(c, Fetch::Port(End::Destination, Side::Connection))),
    row(&["fc_src_is_local"], Kind::Bool, |c, _| plain(c, Fetch::IsLocal(End::Source, Side::Connection))),
    row(&["fc_dst_is_local"], Kind::Bool, |c, _| plain(c, Fetch::IsLocal(End::Destination, Side::Connection))),
    row(&["fc_rcvd_proxy"], Kind::Bool, |c, _| plain(c, Fetch::CameByProxyProtocol)),
    row(&["dst_conn"], Kind::Int, |c, _| plain(c, Fetch::SocketConnections)),
    row(&["so_id"], Kind::Int, |c, _| plain(c, Fetch::SocketId)),
    row(&["so_name"], Kind::Text, |c, _| plain(c, Fetch::SocketName)),
    row(&["fe_conn"], Kind::Int, |c, x| frontend(c, x, FrontendFact::Connections)),
    row(&["fe_sess_rate"], Kind::Int, |c, x| frontend(c, x, FrontendFact::SessionRate)),
    row(&["fe_id"], Kind::Int, |c, _| plain(c, Fetch::Frontend(FrontendFact::Id, None))),
    row(&["fe_name"], Kind::Text, |c, _| plain(c, Fetch::Frontend(FrontendFact::Name, None))),
    row(&["fe_defbe"], Kind::Text, |c, _| plain(c, Fetch::Frontend(FrontendFact::DefaultBackend, None))),
    row(&["fe_client_timeout"], Kind::Int, |c, _| plain(c, Fetch::Frontend(FrontendFact::ClientTimeout, None))),
    row(&["be_conn"], Kind::Int, |c, x| backend(c, x, BackendFact::Connections)),
    row(&["be_conn_free"], Kind::Int, |c, x| backend(c, x, BackendFact::FreeConnections)),
    row(&["be_sess_rate"], Kind::Int, |c, x| backend(c, x, BackendFact::SessionRate)),
    row(&["nbsrv"], Kind::Int, |c, x| backend(c, x, BackendFact::UsableServers)),
    row(&["connslots"], Kind::Int, |c, x| backend(c, x, BackendFact::Slots)),
    row(&["queue"], Kind::Int, |c, x| backend(c, x, BackendFact::Queue)),
    row(&["avg_queue"], Kind::Int, |c, x| backend(c, x, BackendFact::AverageQueue)),
    chosen(&["be_id"], Kind::Int, |c, _| plain(c, Fetch::Backend(BackendFact::Id, None))),
    chosen(&["be_name"], Kind::Text, |c, _| plain(c, Fetch::Backend(BackendFact::Name, None))),
    chosen(&["be_server_timeout"], Kind::Int, |c, _| plain(c, Fetch::Backend(BackendFact::ServerTimeout, None))),
    chosen(&["be_tunnel_timeout"], Kind::Int, |c, _| plain(c, Fetch::Backend(BackendFact::TunnelTimeout, None))),
    row(&["srv_conn"], Kind::Int, |c, x| server(c, x, ServerFact::Connections)),
    row(&["srv_conn_free"], Kind::Int, |c, x| server(c, x, ServerFact::FreeConnections)),
    row(&["srv_is_up"], Kind::Bool, |c, x| server(c, x, ServerFact::IsUp)),
    row(&["srv_queue"], Kind::Int, |c, x| server(c, x, ServerFact::Queue)),
    row(&["srv_sess_rate"], Kind::Int, |c, x| server(c, x, ServerFact::SessionRate)),
    row(&["srv_weight"], Kind::Int, |c, x| server(c, x, ServerFact::Weight)),
    row(&["srv_iweight"], Kind::Int, |c, x| server(c, x, ServerFact::InitialWeight)),
    row(&["srv_uweight"], Kind::Int, |c, x| server(c, x, ServerFact::UserWeight)),
    reached(&["srv_name"], Kind::Text, |c, _| plain(c, Fetch::ServerName)),
    reached(&["srv_id"], Kind::Int, |c, _| plain(c, Fetch::ServerNumber)),
    reached(&["bc_src"], Kind::Ip, |c, _| plain(c, Fetch::ServerAddress(End::Source))),
    reached(&["bc_dst"], Kind::Ip, |c, _| plain(c, Fetch::ServerAddress(End::Destination))),
    reached(&["bc_src_port"], Kind::Int, |c, _| plain(c, Fetch::ServerPort(End::Source))),
    reached(&["bc_dst_port"], Kind::Int, |c, _| plain(c, Fetch::ServerPort(End::Destination))),
    row(&["act_conn"], Kind::Int, |c, _| plain(c, Fetch::Connections)),
    row(&["stopping"], Kind::Bool, |c, _| plain(c, Fetch::IsStopping)),
    row(&["thread"], Kind::Int, |c, _| plain(c, Fetch::Thread)),
    row(&["proc", "nbproc"], Kind::Int, |c, _| plain(c, Fetch::Constant(Sample::Int(1)))),
    row(&["pid"], Kind::Int, |c, _| plain(c, Fetch::Constant(Sample::Int(i64::from(std::process::id()))))),
    row(&["prio_class", "prio_offset"], Kind::Int, |c, _| plain(c, Fetch::Constant(Sample::Int(0)))),
    row(&["quic_enabled"], Kind::Bool, |c, _| plain(c, Fetch::Constant(Sample::Bool(false)))),
    row(&["always_true"], Kind::Bool, |c, _| plain(c, Fetch::Constant(Sample::Bool(true)))),
    row(&["always_false"], Kind::Bool, |c, _| plain(c, Fetch::Constant(Sample::Bool(false)))),
    row(&["hostname"], Kind::Text, |c, x| plain(c, text(x.environment.hostname))),
    row(&["env"], Kind::Text, env),
    row(&["int"], Kind::Int, int),
    row(&["str"], Kind::Text, |c, _| { c.at_most(1)?; Ok(text(c.required(0, "the text")?)) }),
    row(&["bool"], Kind::Bool, boolean),
    row(&["ipv4", "ipv6"], Kind::Ip, ip),
    row(&["rand"], Kind::Int, random),
    row(&["date"], Kind::Int, date),
    row(&["date_us"], Kind::Int, |c, _| plain(c, Fetch::Date(Unit::Microseconds, 0))),
    row(&["accept_date"], Kind::Int, accept_date),
    row(&["uuid"], Kind::Text, uuid),
    row(&["acl"], Kind::Bool, acl),
    // No TLS is terminated, so there is none on a client's connection.
    row(&["ssl_fc", "ssl_c_used", "ssl_fc_has_crt", "ssl_fc_has_sni", "ssl_fc_has_early",
        "ssl_fc_is_resumed"], Kind::Bool, |c, _| plain(c, Fetch::Constant(Sample::Bool(false)))),
];

/// What HAProxy can tell and nothing here can, by how the names begin.
const UNSUPPORTED: &[(&[&str], &str)] = &[
    (
        &[
            "sc_",
            "sc0_",
            "sc1_",
            "sc2_",
            "src_bytes_",
            "src_clr_",
            "src_conn_",
            "src_get_",
            "src_glitch_",
            "src_gpc",
            "src_http_",
            "src_inc_",
            "src_kbytes_",
            "src_sess_",
            "src_updt_",
            "table_",
        ],
        "it reads a stick table, and none are kept",
    ),
    (&["var"], "variables are not kept"),
    (
        &[
            "cpu_",
            "lat_",
            "last_rule_",
            "txn.",
            "bytes_in",
            "bytes_out",
            "cur_",
            "fc_rtt",
            "fc_err",
            "fc_fackets",
            "fc_glitches",
            "fc_http_major",
            "fc_lost",
            "fc_nb_streams",
            "fc_pp_",
            "fc_reordering",
            "fc_retrans",
            "fc_sacked",
            "fc_settings_",
            "fc_unacked",
            "fc.timer.",
            "fs.",
            "bin",
            "meth",
            "fe_req_rate",
            "internal.",
            "res.timer.",
        ],
        "nothing here knows it",
    ),
];

/// What is only known once a server answers.
const RESPONSES: &[&str] = &[
    "bc_",
    "bc.",
    "bs.",
    "res.",
    "rep_ssl",
    "shdr",
    "scook",
    "set-cookie",
    "status",
    "server_status",
    "ssl_bc",
    "resp_ver",
];

/// A fetch, its kind, where it works, and the matching method that its name implies.
pub(crate) struct Found {
    pub(crate) fetch: Fetch,
    pub(crate) kind: Kind,
    pub(crate) when: When,
    pub(crate) method: Option<super::pattern::Method>,
}

/// What every row of the table is called.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().flat_map(|row| row.names.iter().copied())
}

/// The fetch that a name and its arguments stand for.
pub(crate) fn find(call: &Call, context: &Context<'_>) -> Result<Found, String> {
    let name = call.name.as_str();
    if let Some(row) = ROWS.iter().find(|row| row.names.contains(&name)) {
        let fetch = (row.make)(call, context)?;
        return Ok(Found {
            fetch,
            kind: row.kind,
            when: row.when,
            method: None,
        });
    }
    if let Some(found) = content::find(call, context) {
        return found;
    }
    let begins = |with: &&str| name.starts_with(*with) && known::is_known(name);
    if RESPONSES.iter().any(begins) {
        let fetch = Fetch::Absent;
        return Ok(Found {
            fetch,
            kind: Kind::Text,
            when: When::Response,
            method: None,
        });
    }
    if begins(&"ssl_") {
        let fetch = Fetch::Absent;
        return Ok(Found {
            fetch,
            kind: Kind::Text,
            when: When::Always,
            method: None,
        });
    }
    for (names, reason) in UNSUPPORTED {
        if names.iter().any(begins) {
            let fetch = Fetch::Unsupported(name.to_owned(), reason);
            let is_untyped = name == "var" || name == "bin";
            let kind = if is_untyped { Kind::Binary } else { Kind::Int };
            return Ok(Found {
                fetch,
                kind,
                when: When::Always,
                method: None,
            });
        }
    }
    let known = ROWS.iter().flat_map(|row| row.names.iter().copied());
    let hint = did_you_mean(name, known.chain(content::names()).chain(known::all()));
    Err(match name {
        "" => "missing fetch method, such as src or dst_port".to_owned(),
        _ => format!("unknown fetch method '{name}'{hint}"),
    })
}

fn plain(call: &Call, fetch: Fetch) -> Result<Fetch, String> {
    call.at_most(0).map(|()| fetch)
}

fn text(text: &str) -> Fetch {
    Fetch::Constant(Sample::Text(Cow::Owned(text.as_bytes().to_vec())))
}

fn frontend(call: &Call, context: &Context<'_>, fact: FrontendFact) -> Result<Fetch, String> {
    call.at_most(1)?;
    let id = match call.argument(0) {
        Some(name) => context.frontend_named(name).ok_or_else(|| {
            let known = context
                .frontends
                .iter()
                .map(|frontend| frontend.name.as_str());
            format!(
                "'{}': there is no frontend '{name}'{}",
                call.name,
                did_you_mean(name, known)
            )
        })?,
        None => context.frontend.ok_or_else(|| {
            format!(
                "'{}' needs the name of a frontend: '{}' is none",
                call.name, context.proxy
            )
        })?,
    };
    Ok(Fetch::Frontend(fact, Some(id)))
}

fn backend(call: &Call, context: &Context<'_>, fact: BackendFact) -> Result<Fetch, String> {
    call.at_most(1)?;
    let id = match call.argument(0) {
        Some(name) => named_backend(call, context, name)?,
        None => context.backend.ok_or_else(|| {
            format!(
                "'{}' needs the name of a backend: '{}' is none",
                call.name, context.proxy
            )
        })?,
    };
    Ok(Fetch::Backend(fact, Some(id)))
}

fn named_backend(call: &Call, context: &Context<'_>, name: &str) -> Result<BackendId, String> {
    context.backend_named(name).ok_or_else(|| {
        let known = context.backends.iter().map(|backend| backend.name.as_str());
        format!(
            "'{}': there is no backend '{name}'{}",
            call.name,
            did_you_mean(name, known)
        )
    })
}

fn server(call: &Call, context: &Context<'_>, fact: ServerFact) -> Result<Fetch, String> {
    call.at_most(1)?;
    let argument = call.required(0, "a server, as in srv_is_up(BACKEND/SERVER),")?;
    let (backend, name) = match argument.split_once('/') {
        Some((backend, name)) => (named_backend(call, context, backend)?, name),
        None => {
            let own = context.backend.ok_or_else(|| {
                format!("'{0}' needs a backend before '{argument}', as in {0}(BACKEND/{argument}): '{1}' is none",
                    call.name, context.proxy)
            })?;
            (own, argument)
        }
    };
    let index = context.server_named(backend, name).ok_or_else(|| {
        let found = &context.backends[backend.0];
        let known = found.servers.iter().map(|server| server.name.as_str());
        format!(
            "'{}': there is no server '{name}' in backend '{}'{}",
            call.name,
            found.name,
            did_you_mean(name, known)
        )
    })?;
    Ok(Fetch::Server(fact, ServerId { backend, index }))
}

fn env(call: &Call, context: &Context<'_>) -> Result<Fetch, String> {
    call.at_most(1)?;
    let name = call.required(0, "the name of a variable")?;
    let value = (context.environment.variable)(name);
    Ok(value.map_or(Fetch::Absent, |value| text(&value)))
}

fn int(call: &Call, _: &Context<'_>) -> Result<Fetch, String> {
    call.at_most(1)?;
    let text = call.required(0, "a whole number")?;
    let value = text
        .parse()
        .map_err(|_| format!("'int' needs a whole number, not '{text}'"))?;
    Ok(Fetch::Constant(Sample::Int(value)))
}

fn boolean(call: &Call, _: &Context<'_>) -> Result<Fetch, String> {
    call.at_most(1)?;
    match call.required(0, "true or false")? {
        "true" | "1" => Ok(Fetch::Constant(Sample::Bool(true))),
        "false" | "0" => Ok(Fetch::Constant(Sample::Bool(false))),
        other => Err(format!("'bool' expects true, false, 0 or 1, not '{other}'")),
    }
}

fn ip(call: &Call, _: &Context<'_>) -> Result<Fetch, String> {
    call.at_most(1)?;
    let text = call.required(0, "an address")?;
    let ip: Option<IpAddr> = text.parse().ok();
    let fitting = ip.filter(|ip| ip.is_ipv4() == (call.name == "ipv4"));
    let ip = fitting.ok_or_else(|| format!("'{text}' is no address for '{}'", call.name))?;
    Ok(Fetch::Constant(Sample::Ip(ip)))
}

fn random(call: &Call, _: &Context<'_>) -> Result<Fetch, String> {
    call.at_most(1)?;
    let range = call.argument(0).map(str::parse).transpose();
    let range = range.map_err(|_| "'rand' needs a whole number in parentheses, or nothing")?;
    Ok(Fetch::Random(range.filter(|range| *range > 0)))
}

fn unit(call: &Call, index: usize) -> Result<Unit, String> {
    match call.argument(index) {
        None | Some("s") => Ok(Unit::Seconds),
        Some("ms") => Ok(Unit::Milliseconds),
        Some("us") => Ok(Unit::Microseconds),
        Some(other) => Err(format!(
            "'{}' counts in s, ms or us, not in '{other}'",
            call.name
        )),
    }
}

fn date(call: &Call, _: &Context<'_>) -> Result<Fetch, String> {
    call.at_most(2)?;
    let offset = call.argument(0).map_or(Ok(0), str::parse);
    let offset = offset.map_err(|_| "'date' is moved by a whole number")?;
    Ok(Fetch::Date(unit(call, 1)?, offset))
}

fn accept_date(call: &Call, _: &Context<'_>) -> Result<Fetch, String> {
    call.at_most(1)?;
    Ok(Fetch::AcceptDate(unit(call, 0)?))
}

fn uuid(call: &Call, _: &Context<'_>) -> Result<Fetch, String> {
    call.at_most(1)?;
    match call.argument(0) {
        None | Some("4") => Ok(Fetch::Uuid),
        Some("7") => Ok(Fetch::Unsupported(
            "uuid(7)".to_owned(),
            "only random ones are made; write uuid(4)",
        )),
        Some(other) => Err(format!(
            "there is no UUID version '{other}' here; write uuid(4)"
        )),
    }
}

fn acl(call: &Call, context: &Context<'_>) -> Result<Fetch, String> {
    call.required(0, "the name of an acl")?;
    let names = call.arguments.iter().map(|name| {
        let (is_negated, name) = match name.strip_prefix('!') {
            Some(name) => (true, name),
            None => (false, name.as_str()),
        };
        let acl = context
            .acl(name)
            .ok_or_else(|| format!("acl: there is no acl '{name}'"))?;
        Ok((is_negated, acl))
    });
    Ok(Fetch::Acls(names.collect::<Result<_, String>>()?))
}
