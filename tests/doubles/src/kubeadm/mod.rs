//! kubeadm: the commands that an installer gives, with the words, the order and the exit codes of
//! kubeadm 1.36.2.

mod certs;
mod cluster;
mod config;
mod discovery;
mod init;
mod join;
mod options;
mod phases;
mod preflight;
mod reset;
mod schema;
mod token;
mod upgrade;

use std::process::ExitCode;

use serde_json::json;

use crate::version;
use options::Options;

/// Why a command failed: what is printed behind `error: `.
pub type Failure = String;

/// A line of klog, as warnings are printed.
pub fn warn(place: &str, text: &str) {
    let now = crate::faults::now();
    eprintln!(
        "W{} {:>7} {place}] {text}",
        now.strftime("%m%d %H:%M:%S.000000"),
        std::process::id()
    );
}

pub fn run(arguments: &[String]) -> ExitCode {
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!(
                "error: {why}\nTo see the stack trace of this error execute with --v=5 or higher"
            );
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["init"] => init::run(&options),
        ["init", "phase", "upload-certs"] => certs::upload_again(&options),
        ["init", "phase", rest @ ..] => phases::run(rest, &options),
        ["join", ..] => join::run(&options),
        ["reset"] => reset::run(&options),
        ["token", rest @ ..] => token::run(rest, &options),
        ["certs", "certificate-key"] => {
            println!("{}", certs::certificate_key());
            Ok(())
        }
        ["certs", "check-expiration"] => certs::check_expiration(),
        ["certs", "renew", which] => certs::renew(which),
        ["config", "validate"] => config::validate(&options),
        ["config", "images", "list"] => config::list_images(&options),
        ["config", "images", "pull"] => config::pull_images(&options),
        ["upgrade", "plan", rest @ ..] => upgrade::plan(rest, &options),
        ["upgrade", "apply", rest @ ..] => upgrade::apply(rest, &options),
        ["upgrade", "node"] => upgrade::node(&options),
        ["version"] => {
            show_version(&options);
            Ok(())
        }
        [first, ..] => Err(format!("unknown command \"{first}\" for \"kubeadm\"")),
        [] => {
            println!("Usage:\n  kubeadm [command]");
            Ok(())
        }
    }
}

fn show_version(options: &Options) {
    let release = version("kubeadm");
    let minor = release.split('.').nth(1).unwrap_or_default();
    match options.value("output").or_else(|| options.value("o")) {
        Some("short") => println!("{release}"),
        Some("json") => {
            // In the order that the real one prints.
            println!(
                "{{\n  \"clientVersion\": {{\n    \"major\": \"1\",\n    \"minor\": \"{minor}\",\n    \"gitVersion\": {},\n    \
                 \"gitCommit\": \"$Format:%H$\",\n    \"gitTreeState\": \"\",\n    \"buildDate\": \"1970-01-01T00:00:00Z\",\n    \
                 \"goVersion\": \"go1.26.6\",\n    \"compiler\": \"gc\",\n    \"platform\": \"linux/amd64\"\n  }}\n}}",
                json!(release)
            );
        }
        _ => println!(
            "kubeadm version: &version.Info{{Major:\"1\", Minor:\"{minor}\", EmulationMajor:\"\", EmulationMinor:\"\", \
             MinCompatibilityMajor:\"\", MinCompatibilityMinor:\"\", GitVersion:\"{release}\", GitCommit:\"$Format:%H$\", \
             GitTreeState:\"\", BuildDate:\"1970-01-01T00:00:00Z\", GoVersion:\"go1.26.6\", Compiler:\"gc\", Platform:\"linux/amd64\"}}"
        ),
    }
}
