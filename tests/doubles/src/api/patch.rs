//! The kinds of patches.

use serde_json::Value;

use crate::yaml;

pub enum Patch {
    /// JSON merge patch (RFC 7386).
    Merge(Value),
    /// Strategic merge, and server-side apply, whose lists are merged by key.
    Strategic(Value),
    /// JSON patch (RFC 6902).
    Steps(Vec<Value>),
}

impl Patch {
    pub fn parse(kind: &str, body: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(body);
        let value = || {
            yaml::documents(&text)?
                .into_iter()
                .next()
                .ok_or_else(|| "an empty patch".to_owned())
        };
        match kind.split(';').next().unwrap_or_default() {
            "application/json-patch+json" => serde_json::from_slice(body)
                .map(Self::Steps)
                .map_err(|error| error.to_string()),
            "application/merge-patch+json" => Ok(Self::Merge(value()?)),
            "application/strategic-merge-patch+json" | "application/apply-patch+yaml" => {
                Ok(Self::Strategic(value()?))
            }
            other => Err(format!(
                "the body of the request was in an unknown format - accepted media types do not include {other}"
            )),
        }
    }

    pub fn apply(&self, object: &mut Value) {
        match self {
            Self::Merge(patch) => merge(object, patch, false),
            Self::Strategic(patch) => merge(object, patch, true),
            Self::Steps(steps) => {
                for step in steps {
                    run(object, step);
                }
            }
        }
    }
}

fn merge(object: &mut Value, patch: &Value, by_key: bool) {
    match patch {
        Value::Object(fields) => {
            if !object.is_object() {
                *object = Value::Object(serde_json::Map::new());
            }
            for (name, change) in fields {
                if by_key && name.starts_with('$') {
                    directive(object, name, change);
                    continue;
                }
                if change.is_null() {
                    object.as_object_mut().unwrap().remove(name);
                    continue;
                }
                match (change, key_of(name)) {
                    (Value::Array(items), Some(key))
                        if by_key && items.iter().all(Value::is_object) =>
                    {
                        merge_list(&mut object[name], items, key);
                    }
                    _ => merge(&mut object[name], change, by_key),
                }
            }
        }
        other => *object = other.clone(),
    }
}

/// What elements of a list are told apart by.
fn key_of(field: &str) -> Option<&'static str> {
    match field {
        "conditions" | "addresses" => Some("type"),
        "containers" | "initContainers" | "volumes" | "env" | "imagePullSecrets" => Some("name"),
        "taints" => Some("key"),
        "ownerReferences" => Some("uid"),
        "ports" => Some("containerPort"),
        "volumeMounts" => Some("mountPath"),
        _ => None,
    }
}

fn merge_list(list: &mut Value, items: &[Value], key: &str) {
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    let list = list.as_array_mut().unwrap();
    for item in items {
        if item["$patch"] == "replace" {
            list.clear();
            continue;
        }
        let place = list.iter().position(|old| old[key] == item[key]);
        match place {
            Some(place) if item["$patch"] == "delete" => {
                list.remove(place);
            }
            Some(place) => merge(&mut list[place], item, true),
            None if item["$patch"] == "delete" => {}
            None => list.push(item.clone()),
        }
    }
}

/// `$deleteFromPrimitiveList/FIELD`; the others only order things.
fn directive(object: &mut Value, name: &str, change: &Value) {
    if let (Some(field), Some(gone)) = (
        name.strip_prefix("$deleteFromPrimitiveList/"),
        change.as_array(),
    ) && let Some(list) = object[field].as_array_mut()
    {
        list.retain(|item| !gone.contains(item));
    }
}

fn run(object: &mut Value, step: &Value) {
    let path = step["path"].as_str().unwrap_or_default();
    let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
    let last = last.replace("~1", "/").replace("~0", "~");
    let Some(parent) = object.pointer_mut(parent) else {
        return;
    };
    let value = step["value"].clone();
    match (step["op"].as_str().unwrap_or_default(), parent) {
        ("add" | "replace", Value::Object(fields)) => {
            fields.insert(last, value);
        }
        ("remove", Value::Object(fields)) => {
            fields.remove(&last);
        }
        ("add", Value::Array(items)) if last == "-" => items.push(value),
        ("add", Value::Array(items)) => {
            if let Ok(index) = last.parse::<usize>() {
                items.insert(index.min(items.len()), value);
            }
        }
        ("replace", Value::Array(items)) => {
            if let Some(item) = last
                .parse()
                .ok()
                .and_then(|index: usize| items.get_mut(index))
            {
                *item = value;
            }
        }
        ("remove", Value::Array(items)) => {
            if let Ok(index) = last.parse::<usize>()
                && index < items.len()
            {
                items.remove(index);
            }
        }
        _ => {}
    }
}
