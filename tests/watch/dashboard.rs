//! monitoring/dashboard.json by itself; scrape.rs has Prometheus evaluate it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::files::{are_measured, metrics_in, text};

/// One question of the dashboard.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The panel that asks.
    pub(crate) panel: String,
    /// In PromQL, with Grafana's variables.
    pub(crate) expr: String,
}

/// The dashboard.
pub(crate) fn dashboard() -> Value {
    serde_json::from_str(&text("monitoring/dashboard.json")).unwrap()
}

/// All that it asks.
pub(crate) fn questions() -> Vec<Question> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let questions: Vec<_> = panels
        .iter()
        .flat_map(|panel| {
            let targets = panel["targets"].as_array().cloned().unwrap_or_default();
            targets.into_iter().map(|target| Question {
                panel: panel["title"].as_str().unwrap().to_owned(),
                expr: target["expr"].as_str().unwrap().to_owned(),
            })
        })
        .collect();
    assert!(questions.len() > 40, "{}", questions.len());
    questions
}

#[test]
fn dashboard_asks_for_what_is_measured() {
    let asked: BTreeSet<_> = questions()
        .iter()
        .flat_map(|question| metrics_in(&question.expr))
        .collect();
    assert!(asked.len() > 40, "{asked:?}");
    are_measured(asked);
}

/// With HAProxy alone only the last row may be empty.
#[test]
fn evenkeels_own_metrics_stand_in_the_last_row() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let last_row = panels
        .iter()
        .rposition(|panel| panel["type"] == "row")
        .unwrap();
    for (position, panel) in panels.iter().enumerate() {
        let is_own = panel["targets"].to_string().contains("evenkeel_");
        assert_eq!(
            is_own,
            position > last_row && panel["type"] != "row",
            "{}",
            panel["title"]
        );
    }
}

#[test]
fn dashboard_can_be_imported_anywhere() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["datasource", "job", "instance", "proxy"]);
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "panels share a number");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} lies on another", panel["title"]);
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}");
            let expr = target["expr"].as_str().unwrap();
            assert!(
                expr.contains(r#"job=~"$job", instance=~"$instance""#),
                "{expr}"
            );
        }
    }
}
