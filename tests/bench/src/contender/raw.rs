//! The ceiling: an echo with the generator's own packets, which shows how much the generator can
//! measure. Each answer is as large as the last request of its batch.

use anyhow::Result;
use tokio::net::TcpStream;

use super::{Contender, RECEIVE_MAXIMUM};
use crate::load::Link;
use crate::wire::packets::{connect, subscribe};
use crate::wire::{Template, Version};

/// Echoes until the connection is lost.
///
/// # Errors
/// When it is.
pub(crate) async fn run(port: u16, qos: u8) -> Result<()> {
    let [request, response] = Contender::Raw.topics(qos);
    let mut link = Link::new(TcpStream::connect(("127.0.0.1", port)).await?)?;
    link.push(&connect(Contender::Raw.name(), RECEIVE_MAXIMUM));
    link.push(&subscribe(&request, qos));
    link.answer_topic = request.into();
    let mut size = 0;
    let mut answer = Template::new(&response, &[], qos, Version::V5, 0);
    loop {
        let mut requests = 0;
        let mut length = 0;
        link.turn(|payload| (requests, length) = (requests + 1, payload.len()))
            .await?;
        if requests > 0 && length != size {
            (size, answer) = (
                length,
                Template::new(&response, &vec![b'x'; length], qos, Version::V5, 0),
            );
        }

        (0..requests).for_each(|_| link.publish(&answer, &[]));
    }
}
