//! Rollouts: how one version of a service replaces another.

pub mod history;
