//! The harness of the tests: starts real brokers, real hosts and real clients, and waits for events with a deadline.
