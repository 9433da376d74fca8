//! Tests of the session, the transports and the embedded broker through the library's public items, in one binary.

mod compile_process;
mod embedded_broker;
mod embedded_limits;
mod scripted_broker;
mod session_capabilities;
mod session_closing;
mod session_ends;
mod session_faults;
mod session_keeps;
mod session_poison;
mod session_reconfigure;
mod transport;
mod transport_advice;
mod transport_fixture;
mod transport_websocket;
