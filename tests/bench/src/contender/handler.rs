//! Contender (c): the host's own session, router and mailbox, with a native handler in place of the
//! guest. It answers each request with the request's QoS. As contender (d) it acknowledges each
//! request at once; (c) and the host do so when the broker has taken the answer.

use anyhow::{Result, bail};
use miqro_host::config::{self, Connection, SessionSettings};
use miqro_host::mailbox::{self, Mailbox, Next};
use miqro_host::message::{Message, Qos, Subscription};
use miqro_host::router::{Router, ServiceId};
use miqro_host::session::{Command, Commit, Handle, Session};
use miqro_host::topic::{Filter, Topic};

use super::{Contender, RECEIVE_MAXIMUM};

const SERVICE: ServiceId = ServiceId(0);

/// Echoes until the session ends.
///
/// # Errors
/// When it does.
pub(crate) async fn run(me: Contender, port: u16) -> Result<()> {
    let [request, response] = me.topics(0);
    let connection = Connection {
        port,
        client_id: me.name().into(),
        session: SessionSettings {
            receive_maximum: RECEIVE_MAXIMUM,
            ..SessionSettings::default()
        },
        ..Connection::default()
    };

    let (sender, mailbox) = mailbox::mailbox(mailbox::Limits::from(&config::Limits::default()));
    let wanted = Subscription {
        filter: Filter::new(&request)?,
        qos: Qos::AtLeastOnce,
    };
    let mut router = Router::new();
    // nothing to be sent yet: the session subscribes to all routes when it is connected
    let _ = router.attach(SERVICE, sender, &[wanted]);
    let (session, handle) = Session::new(connection, None, router);
    let session = tokio::spawn(session.run());
    echo(
        mailbox,
        handle,
        Topic::new(response)?,
        me == Contender::Prompt,
    )
    .await;
    bail!("the session ended: {:?}", session.await?)
}

/// The loop of a service task, with a native function in the guest's place.
async fn echo(mut mailbox: Mailbox, session: Handle, response: Topic, at_once: bool) {
    loop {
        let delivery = match mailbox.next().await {
            Next::Delivery(delivery) => delivery,
            Next::Congested | Next::Timers | Next::Notice(_) | Next::Unreadable(_) => continue,
            Next::Closed => return,
        };
        let request = delivery.message;
        let answer = Message::new(response.clone(), request.payload, request.qos, false);
        let commit = |receipt, publishes| Commit {
            receipt,
            publishes,
            ..Commit::new(SERVICE)
        };
        let mut receipt = delivery.receipt;
        if at_once && receipt.is_some() {
            session
                .send(Command::Commit(commit(receipt.take(), vec![])))
                .await;
        }
        session
            .send(Command::Commit(commit(receipt, vec![answer.into()])))
            .await;
    }
}
