//! Values that the tests of this crate start from.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::check::{Action, CheckKind, Connect, Script, Step};
use evenkeel_config::{
    AnswerSince, Backend, Balance, Check, HealthPolicy, InitState, OnMarkedDown, OnMarkedUp,
    OwnPlace, Place, Queueing, Redispatch, Server, ServerAddress, ServerLoad,
};

use crate::Situation;

pub(crate) fn place() -> Place {
    Place {
        file: Arc::from("test.cfg"),
        line: 1,
        column: 1,
    }
}

/// A plain check of nothing in particular, every `inter_ms`.
pub(crate) fn check(inter_ms: u64) -> Check {
    let inter = Duration::from_millis(inter_ms);
    Check {
        script: plain(CheckKind::Connect),
        names: Arc::new(("be".to_owned(), "s1".to_owned())),
        address: ServerAddress::Inet(([127, 0, 0, 1], 9).into()),
        own: OwnPlace::default(),
        inter,
        fastinter: inter,
        downinter: inter,
        rise: 2,
        fall: 3,
        connect_timeout: inter,
        read_timeout: inter,
        answer_since: AnswerSince::Start,
        send_proxy: None,
        source: None,
    }
}

/// The steps of a check that only connects.
pub(crate) fn plain(kind: CheckKind) -> Arc<Script> {
    let connect = Connect {
        address: None,
        port: None,
        tls: None,
        send_proxy: false,
        linger: false,
    };
    let step = Step {
        number: 0,
        comment: String::new(),
        action: Action::Connect(connect),
    };
    Arc::new(Script {
        kind,
        steps: vec![step],
        disable_on_404: false,
        send_state: false,
        node: "node".to_owned(),
    })
}

/// An up server that has nothing to say.
pub(crate) const SITUATION: Situation<'static> = Situation {
    is_up: true,
    state: &String::new,
};

/// A backend with one server per check.
pub(crate) fn backend(checks: Vec<Option<Check>>) -> Backend {
    let servers = checks.into_iter().zip(1..).map(|(check, id)| Server {
        id,
        name: format!("s{id}"),
        place: place(),
        address: ServerAddress::Inet(([127, 0, 0, 1], 9).into()),
        host: String::new(),
        unresolved: false,
        resolution: None,
        weight: 1,
        backup: false,
        disabled: false,
        check,
        agent: None,
        observation: None,
        tcp_user_timeout: None,
        on_marked_down: OnMarkedDown::Keep,
        node_key: evenkeel_config::NodeKey::Id,
        on_marked_up: OnMarkedUp::Keep,
        load: ServerLoad::default(),
        init_state: InitState::Up,
        track: None,
        send_proxy: None,
        source: None,
        fast_open: false,
    });
    Backend {
        position: 0,
        id: 2,
        name: "be".into(),
        place: place(),
        disabled: false,
        health: HealthPolicy::default(),
        balance: Balance::RoundRobin,
        hashing: evenkeel_config::Hashing::default(),
        servers: servers.collect(),
        retries: 3,
        redispatch: Redispatch::WhenFree,
        all_backups: false,
        connect_timeout: None,
        queueing: Queueing::default(),
        saved_state: None,
        server_timeout: None,
        server_fin_timeout: None,
        tunnel_timeout: None,
        server_keepalive: None,
        log: Vec::new(),
        log_tag: "evenkeel".into(),
        rules: evenkeel_config::rules::BackendRules::default(),
    }
}
