//! Hears of what other replicas commit, as it happens. A hint alone: who hears nothing looks by itself.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_postgres::AsyncMessage;

use crate::common::Common;
use crate::recover::pause;

/// Listens for as long as anybody cares. A connection that was lost is made again; then whoever waits looks, since
/// something may have been missed.
pub(crate) async fn listen(common: Arc<Common>, stirred: watch::Sender<u64>) {
    let mut tries = 0;
    while !stirred.is_closed() {
        let heard = listen_once(&common, &stirred, &mut tries).await;
        if let Err(error) = heard {
            tracing::debug!(error = %crate::failure::said(&error), "nothing is heard from the other replicas");
        }
        tries += 1;
        pause(tries).await;
    }
}

async fn listen_once(
    common: &Common,
    stirred: &watch::Sender<u64>,
    tries: &mut u32,
) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = common.dial().connect().await?;
    let messages = async {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(_))) => stirred.send_modify(|n| *n += 1),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            }
        }
    };
    let listening = async {
        client.batch_execute("LISTEN muster").await?;
        *tries = 0;
        stirred.send_modify(|n| *n += 1);
        stirred.closed().await;
        Ok(())
    };
    tokio::select! {
        ended = messages => ended,
        ended = listening => ended,
    }
}
