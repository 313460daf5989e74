//! Says whether a server is fit for traffic.
