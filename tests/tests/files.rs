//! Files that a host lives by and that are missing, half-written, torn or empty, and a host that finds its own again though its machine,
//! its configuration or its command line is another.

mod home;
mod identity;
mod torn;
mod waiting;
