//! Tests of the session, the transports and the embedded broker through the library's public items, in one binary.

mod embedded_broker;
mod embedded_limits;
mod link;
mod link_rig;
mod link_websocket;
mod link_words;
mod scripted_broker;
mod session_abilities;
mod session_closing;
mod session_ends;
mod session_faults;
mod session_keeps;
mod session_poison;
mod session_renewal;
