//! Files that a host needs and that are missing, half-written, torn or empty; and a host that finds
//! its state again though its machine, its configuration or its command line is another.

mod home;
mod identity;
mod torn;
mod waiting;
