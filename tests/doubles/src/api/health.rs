//! `/livez`, `/readyz`, `/healthz` and `/version`, which need nobody's name.

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;

use super::Api;
use super::serve::{Answer, Ask};
use crate::{faults, version};

/// How long a server takes after its port is open, as measured of the real one.
const ALIVE: Duration = Duration::from_millis(700);
const READY: Duration = Duration::from_millis(1500);

pub fn answer(api: &Api, ask: &Ask) -> Option<Answer> {
    match ask.path.trim_end_matches('/') {
        "/version" => {
            let release = version("kubeadm");
            Some(Answer::json(
                200,
                &json!({
                    "major": "1", "minor": release.split('.').nth(1), "gitVersion": release,
                    "gitCommit": "double", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
                    "goVersion": "go1.26.4", "compiler": "gc", "platform": "linux/amd64",
                }),
            ))
        }
        "/livez" => Some(check(api, ask, "livez", ALIVE)),
        "/healthz" => Some(check(api, ask, "healthz", ALIVE)),
        "/readyz" => {
            let slow = faults::on("slow-readyz").and_then(|text| text.parse().ok());
            Some(check(
                api,
                ask,
                "readyz",
                slow.map_or(READY, Duration::from_secs),
            ))
        }
        _ => None,
    }
}

fn check(api: &Api, ask: &Ask, name: &str, after: Duration) -> Answer {
    let has_etcd = api.store.read().is_ok();
    let has_begun = api.began.elapsed() >= after;
    let checks = [
        ("ping", true),
        ("log", true),
        ("etcd", has_etcd),
        ("etcd-readiness", has_etcd),
        ("informer-sync", has_begun),
        ("poststarthook/start-apiserver-admission-initializer", true),
        ("poststarthook/rbac/bootstrap-roles", has_begun),
        (
            "poststarthook/scheduling/bootstrap-system-priority-classes",
            has_begun,
        ),
        ("shutdown", true),
    ];
    let excluded: Vec<&str> = ask
        .query
        .iter()
        .filter(|(key, _)| key == "exclude")
        .map(|(_, value)| value.as_str())
        .collect();
    let mut lines = String::new();
    let mut is_well = true;
    for (check, holds) in checks {
        if check == "etcd-readiness" && name != "readyz" {
            continue;
        }
        if excluded.contains(&check) {
            let _ = writeln!(lines, "[+]{check} excluded: ok");
        } else if holds {
            let _ = writeln!(lines, "[+]{check} ok");
        } else {
            is_well = false;
            let _ = writeln!(lines, "[-]{check} failed: reason withheld");
        }
    }
    if !is_well {
        return Answer::text(500, &format!("{lines}{name} check failed\n"));
    }
    if ask.query("verbose").is_some() {
        return Answer::text(200, &format!("{lines}{name} check passed\n"));
    }
    Answer::text(200, "ok")
}
