//! Brings up a kubeadm cluster whose control planes stand behind evenkeel: [`Inventory`](inventory::Inventory)
//! and facts make a plan, the plan is shown or run, and the outcome is verified.
//!
//! It must know nothing of the data plane: the balancer is a program on another host, spoken to through its
//! configuration and its commands.

pub mod apply;
pub mod cli;
pub mod commands;
pub mod console;
pub mod facts;
pub mod files;
pub mod inventory;
pub mod manifests;
pub mod operations;
pub mod plan;
pub mod preflight;
pub mod secret;
pub mod session;
pub mod transport;
pub mod verify;
