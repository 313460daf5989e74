//! monitoring/alerts.yaml by itself.

use std::collections::BTreeSet;

use crate::files::{are_measured, have, metrics_in, promtool, text};

/// Names after `- alert:`.
fn alerts() -> Vec<String> {
    let names: Vec<_> = text("monitoring/alerts.yaml")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .map(str::to_owned)
        .collect();
    assert!(names.len() > 20, "{names:?}");
    names
}

#[test]
fn rules_are_sound_and_fire_when_they_should() {
    if !have("promtool", "monitoring/alerts.yaml by promtool") {
        return;
    }
    let checked = promtool(&["check", "rules", "alerts.yaml"], "");
    assert!(
        checked.contains(&format!("{} rules found", alerts().len())),
        "{checked}"
    );
    promtool(&["check", "config", "prometheus.yaml"], "");
    promtool(&["test", "rules", "alerts.test.yaml"], "");
}

#[test]
fn every_alert_has_its_test_and_its_section_of_the_manual() {
    let rules = text("monitoring/alerts.yaml");
    let tests = text("monitoring/alerts.test.yaml");
    let manual = text("docs/troubleshoot.md");
    for name in alerts() {
        let anchor = format!("docs/troubleshoot.md#{}\n", name.to_lowercase());
        assert!(rules.contains(&anchor), "{name} leads to no {anchor}");
        assert!(
            manual.lines().any(|line| line == format!("### {name}")),
            "docs/troubleshoot.md has no section {name}"
        );
        let is_tested = tests.contains(&format!("alertname: {name}\n"))
            || tests.contains(&format!("alertname=\"{name}\""));
        assert!(is_tested, "{name} has no test in alerts.test.yaml");
    }
    for needed in ["severity:", "summary:", "description:", "runbook_url:"] {
        assert_eq!(rules.matches(needed).count(), alerts().len(), "{needed}");
    }
}

#[test]
fn alerts_ask_for_what_is_measured() {
    let asked: BTreeSet<_> = text("monitoring/alerts.yaml")
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(metrics_in)
        .collect();
    assert!(asked.len() > 20, "{asked:?}");
    are_measured(asked);
}
