//! What comes to be known during a run: the token and key that are made for it, and the cluster's CA.

use super::runner::PROBE_LIMIT;
use super::{Credentials, Reason, Run};
use crate::plan::steps::shell::KUBECTL;
use crate::plan::{Action, Later, Text};
use crate::secret::Secret;
use crate::transport::Machine;

/// What has come to be known during a run.
#[derive(Debug, Default)]
pub struct Known {
    credentials: Option<Credentials>,
    announced: bool,
    /// The part of each token that is no secret.
    tokens: Vec<String>,
    ca_hash: Option<String>,
}

impl Run<'_> {
    /// Has credentials that are known to the cluster and young.
    pub(super) async fn announce(
        &self,
        machine: &Machine,
        actions: &[Action],
    ) -> Result<(), Reason> {
        let announced = {
            let known = self.known();
            known.announced
                && known
                    .credentials
                    .as_ref()
                    .is_some_and(Credentials::are_young)
        };
        if announced {
            return Ok(());
        }
        let fresh = self.mint()?;
        self.known().credentials = Some(fresh);
        let outcome = self.act_all(machine, actions).await;
        self.tidy(machine, actions).await;
        self.known().announced = outcome.is_ok();
        outcome
    }

    /// Text with what is known by now in its gaps.
    ///
    /// # Errors
    ///
    /// What cannot be known.
    pub async fn fill(&self, text: &Text) -> Result<Secret, Reason> {
        for gap in text.gaps() {
            match gap {
                Later::CaHash if self.known().ca_hash.is_none() => {
                    let hash = self.ask_ca().await?;
                    self.known().ca_hash = Some(hash);
                }
                Later::Token | Later::CertificateKey if self.known().credentials.is_none() => {
                    let fresh = self.mint()?;
                    // `kubeadm init` makes them known by itself.
                    let mut known = self.known();
                    known.credentials = Some(fresh);
                    known.announced = true;
                }
                _ => {}
            }
        }
        let known = self.known();
        text.fill(|gap| match gap {
            Later::Token => known.credentials.as_ref().map(|made| made.token.clone()),
            Later::CertificateKey => known
                .credentials
                .as_ref()
                .map(|made| made.certificate_key.clone()),
            Later::CaHash => known.ca_hash.clone().map(Secret::new),
        })
        .map_err(|gap| Reason::Here {
            doing: format!("fill in {}", gap.name()),
            why: "it is not known".to_owned(),
        })
    }

    fn mint(&self) -> Result<Credentials, Reason> {
        let fresh = Credentials::mint().map_err(|cause| Reason::Here {
            doing: "make a token".to_owned(),
            why: cause.to_string(),
        })?;
        self.log.hide(&fresh.token);
        self.log.hide(&fresh.certificate_key);
        let id = fresh.token.reveal().split('.').next().unwrap_or_default();
        self.known().tokens.push(id.to_owned());
        Ok(fresh)
    }

    /// Takes the tokens and the uploaded certificates of this run back, so that nobody joins by them any more.
    ///
    /// # Errors
    ///
    /// If the cluster could not be asked: they end by themselves.
    pub async fn retire(&self) -> Result<(), String> {
        let tokens = std::mem::take(&mut self.known().tokens);
        if tokens.is_empty() {
            return Ok(());
        }
        let secrets: String = tokens
            .iter()
            .map(|id| format!(" bootstrap-token-{id}"))
            .collect();
        let said = |why: String| {
            format!(
                "the tokens of this run could not be taken back and end within a day ({why}): kubeadm token delete {}",
                tokens.join(" ")
            )
        };
        let host = self.ca_host;
        let machine = self
            .machines
            .get(host)
            .ok_or_else(|| said(format!("{host} is not connected")))?;
        let script = format!(
            "{KUBECTL} -n kube-system delete secret --ignore-not-found --timeout=30s kubeadm-certs{secrets}\n"
        );
        match self.ask(machine, &script, PROBE_LIMIT).await {
            Ok(outcome) if outcome.status == 0 => Ok(()),
            Ok(outcome) => Err(said(format!("{host}: {}", outcome.words().trim()))),
            Err(reason) => Err(said(format!("{host}: {reason}"))),
        }
    }

    async fn ask_ca(&self) -> Result<String, Reason> {
        let here = |why: String| Reason::Here {
            doing: "compute the hash of the cluster's CA".to_owned(),
            why,
        };
        let machine = self
            .machines
            .get(self.ca_host)
            .ok_or_else(|| here(format!("{} is not connected", self.ca_host)))?;
        let outcome = self
            .ask(machine, "cat /etc/kubernetes/pki/ca.crt", PROBE_LIMIT)
            .await?;
        match outcome.status {
            0 => (self.hash_ca)(&outcome.stdout).map_err(here),
            _ => Err(here(outcome.words())),
        }
    }

    pub(super) fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("nobody panics while it is held")
    }
}
