//! etcdctl, as it is called in etcd's pod, and curl, as far as it is used to ask etcd: both ask the member
//! of this machine, with the certificates that they are given.

use std::fs;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::Client;

/// A command line whose flags have values, by `--name value` or `--name=value`.
struct Line {
    words: Vec<String>,
    flags: Vec<(String, String)>,
}

impl Line {
    fn read(arguments: &[String], switches: &[&str]) -> Self {
        let mut line = Self {
            words: Vec::new(),
            flags: Vec::new(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if switches.contains(&argument.as_str()) {
                continue;
            }
            match (argument.strip_prefix('-'), argument.split_once('=')) {
                (None, _) => line.words.push(argument.clone()),
                (Some(_), Some((name, value))) => {
                    line.flags.push((name.to_owned(), value.to_owned()))
                }
                (Some(_), None) => {
                    let value = rest.next().cloned().unwrap_or_default();
                    line.flags.push((argument.clone(), value));
                }
            }
        }
        line
    }

    fn flag(&self, name: &str) -> Option<&str> {
        let found = self.flags.iter().find(|(flag, _)| flag == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Who asks the server at `url`, and the path of it.
    fn client(&self, url: &str) -> Result<(Client, String), String> {
        let read = |name: &str| {
            let path = self.flag(name).unwrap_or_default();
            fs::read_to_string(path).map_err(|error| format!("open {path}: {error}"))
        };
        let address = url.trim_start_matches("https://");
        let (endpoint, path) = address.split_once('/').unwrap_or((address, ""));
        let client = Client {
            endpoint: endpoint.to_owned(),
            authority: Some(read("--cacert")?),
            identity: Some((read("--cert")?, read("--key")?)),
            token: None,
        };
        Ok((client, format!("/{path}")))
    }
}

pub fn etcdctl(arguments: &[String]) -> ExitCode {
    let line = Line::read(arguments, &[]);
    match work(&line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("Error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn work(line: &Line) -> Result<(), String> {
    let endpoint = line.flag("--endpoints").unwrap_or("http://127.0.0.1:2379");
    let (client, _) = line.client(endpoint)?;
    let ask = |path: &str, body: &Value| client.post(path, body)?.object();
    let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["member", "list"] => {
            let found = ask("/v3/cluster/member/list", &json!({}))?;
            for member in found["members"].as_array().into_iter().flatten() {
                let text = |key: &str| member[key].as_str().unwrap_or_default().to_owned();
                let url = |key: &str| member[key][0].as_str().unwrap_or_default().to_owned();
                let id: u64 = text("ID").parse().unwrap_or(0);
                println!(
                    "{id:x}, started, {}, {}, {}, false",
                    text("name"),
                    url("peerURLs"),
                    url("clientURLs")
                );
            }
            Ok(())
        }
        ["member", "remove", id] => {
            let number = u64::from_str_radix(id, 16)
                .map_err(|_| format!("bad member ID arg (strconv.ParseUint: parsing \"{id}\": invalid syntax), expecting ID in Hex"))?;
            let found = ask(
                "/v3/cluster/member/remove",
                &json!({"ID": number.to_string()}),
            )?;
            let cluster = found["header"]["cluster_id"].as_str().unwrap_or_default();
            let cluster: u64 = cluster.parse().unwrap_or(0);
            println!("Member {id} removed from cluster {cluster:x}");
            Ok(())
        }
        ["snapshot", "save", path] => {
            let found = ask("/v3/maintenance/snapshot", &json!({}))?;
            let blob = found["result"]["blob"].as_str().unwrap_or_default();
            let bytes = STANDARD.decode(blob).map_err(|error| error.to_string())?;
            fs::write(path, bytes)
                .map_err(|error| format!("could not open {path}.part ({error})"))?;
            println!("Snapshot saved at {path}");
            Ok(())
        }
        _ => Err(format!("unknown command {:?} for \"etcdctl\"", line.words)),
    }
}

/// `curl -fsS --cacert A --cert B --key C -d BODY URL`.
pub fn curl(arguments: &[String]) -> ExitCode {
    let line = Line::read(arguments, &["-fsS"]);
    let Some(url) = line.words.first() else {
        eprintln!("curl: (2) no URL specified");
        return ExitCode::from(2);
    };
    let body: Value = serde_json::from_str(line.flag("-d").unwrap_or_default()).unwrap_or_default();
    match line
        .client(url)
        .and_then(|(client, path)| client.post(&path, &body))
    {
        Ok(answer) if answer.status < 400 => {
            print!("{}", answer.body);
            ExitCode::SUCCESS
        }
        Ok(answer) => {
            eprintln!(
                "curl: (22) The requested URL returned error: {}",
                answer.status
            );
            ExitCode::from(22)
        }
        Err(why) => {
            eprintln!("curl: (35) {why}");
            ExitCode::from(35)
        }
    }
}
