//! Accepts, chooses, connects, relays, drains.
