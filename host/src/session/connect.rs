//! Actor: connects when it is a connection's turn. In: the connection settings, the CONNECT packet with its whole will. Out: a wire, and what
//! the broker can do; or why there is none. Owns nothing of the session; makes further attempts at once where the broker is found to
//! take less of a will.

use super::attempt::{Failure, attempt, leave};
use super::capability_probe::Verdict;
use super::framed::FramedStream;
use super::group::Member;
use super::packet::{ConnAck, Connect, Reason};
use crate::config::Connection;

/// Connects with as much of the will as the broker takes.
pub async fn connect(
    connection: &Connection,
    connect: &Connect,
    member: &Member,
) -> Result<(FramedStream, ConnAck), Failure> {
    let whole = connect.will.as_ref();
    loop {
        let _turn = member.turn().await;
        let connect = Connect {
            will: member.will(whole),
            ..connect.clone()
        };
        match attempt(connection, &connect, &member.group.resolver).await {
            Ok((wire, mut ack)) => match member.accepted(whole, connect.will.as_ref()) {
                Verdict::Again => leave(wire, Reason::SUCCESS).await,
                Verdict::Serve => {
                    member.limit(&mut ack.server, whole.is_some());
                    return Ok((wire, ack));
                }
            },
            Err(failure) if member.takes_less(&failure, connect.will.as_ref()) => {}
            Err(failure) => return Err(failure),
        }
    }
}
