//! HTTP at frontends in mode http, which answer by themselves: health questions (`monitor-uri`),
//! statistics (`stats`), metrics and fixed answers (`http-request`). Runs on the data threads, and
//! knows the proxy through a visit and the control loop's view alone.

mod answer;
mod connection;
mod error_page;
mod exporter;
mod facts;
mod meter;
pub(crate) mod stats_admin;
pub(crate) mod stats_page;

use std::sync::Arc;

use evenkeel_proxy::Service;

use crate::desk::Desk;

/// What serves visits, asking at `desk` for what is to be shown.
pub(crate) fn service(desk: Desk) -> Service {
    let desk = Arc::new(desk);
    Service::new(move |visit| connection::serve(visit, desk.clone()))
}
