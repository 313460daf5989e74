//! The programs at both ends of a balancer, each a process of its own that can be pinned and put
//! into a namespace: the servers' [`origin`] and the clients' [`load`].

pub(crate) mod exchange;
pub(crate) mod load;
pub(crate) mod origin;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::workload::Workload;

/// The first argument of a process that plays a part.
pub(crate) const WORD: &str = "part";

/// Plays the part that `args` name: `origin ADDRESS...` or `load WORKLOAD TARGET WARM-UP WINDOW`,
/// the times in milliseconds.
pub(crate) fn play(args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["origin", ref addresses @ ..] => {
            let addresses: Vec<SocketAddr> = addresses
                .iter()
                .map(|text| text.parse().with_context(|| format!("address {text:?}")))
                .collect::<Result<_>>()?;
            origin::serve(&addresses)
        }
        ["load", workload, target, warm_up, window] => {
            let target = target.parse().context("the load's target")?;
            let milliseconds = |text: &str| -> Result<Duration> {
                Ok(Duration::from_millis(text.parse().context("milliseconds")?))
            };
            let workload = Workload::named(workload)?;
            load::run(
                workload,
                target,
                milliseconds(warm_up)?,
                milliseconds(window)?,
            )
        }
        _ => bail!("no such part: {args:?}"),
    }
}
