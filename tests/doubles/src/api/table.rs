//! Objects as the rows that kubectl prints.

use serde_json::{Value, json};

use super::resources::Kind;
use crate::faults;

/// Whether the client asks for a table.
pub fn is_wanted(accept: &str) -> bool {
    accept.contains("as=Table") && accept.contains("v=v1")
}

type Column = (&'static str, u8, fn(&Value) -> String);

const NODES: &[Column] = &[
    ("Name", 0, name),
    ("Status", 0, node_status),
    ("Roles", 0, node_roles),
    ("Age", 0, age),
    ("Version", 0, |node| {
        text(&node["status"]["nodeInfo"]["kubeletVersion"])
    }),
    ("Internal-IP", 1, |node| node_address(node, "InternalIP")),
    ("External-IP", 1, |node| node_address(node, "ExternalIP")),
    ("OS-Image", 1, |node| {
        text(&node["status"]["nodeInfo"]["osImage"])
    }),
    ("Kernel-Version", 1, |node| {
        text(&node["status"]["nodeInfo"]["kernelVersion"])
    }),
    ("Container-Runtime", 1, |node| {
        text(&node["status"]["nodeInfo"]["containerRuntimeVersion"])
    }),
];

const PODS: &[Column] = &[
    ("Name", 0, name),
    ("Ready", 0, pod_ready),
    ("Status", 0, |pod| text(&pod["status"]["phase"])),
    ("Restarts", 0, |_| "0".to_owned()),
    ("Age", 0, age),
    ("IP", 1, |pod| text(&pod["status"]["podIP"])),
    ("Node", 1, |pod| text(&pod["spec"]["nodeName"])),
    ("Nominated Node", 1, |_| "<none>".to_owned()),
    ("Readiness Gates", 1, |_| "<none>".to_owned()),
];

const OTHERS: &[Column] = &[("Name", 0, name), ("Age", 0, age)];

pub fn table(kind: &Kind, items: &[Value], revision: &str) -> Value {
    let columns = match kind.plural {
        "nodes" => NODES,
        "pods" => PODS,
        _ => OTHERS,
    };
    let definitions: Vec<Value> = columns
        .iter()
        .map(|(name, priority, _)| {
            let format = if *name == "Name" { "name" } else { "" };
            json!({"name": name, "type": "string", "format": format, "description": "", "priority": priority})
        })
        .collect();
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let cells: Vec<String> = columns.iter().map(|(_, _, cell)| cell(item)).collect();
            json!({
                "cells": cells,
                "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                    "metadata": item["metadata"],
                },
            })
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": revision},
        "columnDefinitions": definitions, "rows": rows,
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("<none>").to_owned()
}

fn name(object: &Value) -> String {
    text(&object["metadata"]["name"])
}

fn age(object: &Value) -> String {
    let created = object["metadata"]["creationTimestamp"].as_str();
    let Some(created) = created.and_then(|text| text.parse::<jiff::Timestamp>().ok()) else {
        return "<unknown>".to_owned();
    };
    duration((faults::now().as_second() - created.as_second()).max(0))
}

/// As Kubernetes shortens a time: two units at most, fewer as it grows.
pub fn duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    if seconds < 120 {
        return format!("{seconds}s");
    }
    if minutes < 10 {
        let rest = seconds % 60;
        return if rest == 0 {
            format!("{minutes}m")
        } else {
            format!("{minutes}m{rest}s")
        };
    }
    if minutes < 180 {
        return format!("{minutes}m");
    }
    if hours < 8 {
        let rest = minutes % 60;
        return if rest == 0 {
            format!("{hours}h")
        } else {
            format!("{hours}h{rest}m")
        };
    }
    if hours < 48 {
        return format!("{hours}h");
    }
    format!("{days}d")
}

fn node_status(node: &Value) -> String {
    let ready = node["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Ready");
    let mut status = match ready.map(|ready| ready["status"].as_str()) {
        Some(Some("True")) => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if node["spec"]["unschedulable"] == true {
        status += ",SchedulingDisabled";
    }
    status
}

fn node_roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object();
    let roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(label, _)| label.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    if roles.is_empty() {
        "<none>".to_owned()
    } else {
        roles.join(",")
    }
}

fn node_address(node: &Value, kind: &str) -> String {
    let address = node["status"]["addresses"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|address| address["type"] == kind);
    address.map_or_else(|| "<none>".to_owned(), |address| text(&address["address"]))
}

fn pod_ready(pod: &Value) -> String {
    let containers = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    let ready = pod["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|container| container["ready"] == true)
        .count();
    format!("{ready}/{containers}")
}
