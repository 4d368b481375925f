//! The connection and its renewal.
//!
//! One supervisor owns the connection and opens a new one, for ever, when it breaks. lapin's own recovery is not used:
//! it gives up after a number of attempts, and one queue that cannot be declared again at once (an exclusive one, while
//! the broker still holds the old connection) fails the recovery of all. Instead everything that uses the connection
//! waits for the next one and sets itself up anew.

use super::{address::Address, error::broken};
use crate::{BrokerError, metric};
use futures_util::StreamExt;
use lapin::{Channel, Connection, Event};
use std::{future::Future, pin::pin, sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, interval, sleep, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The longest pause between two attempts.
pub(super) const LONGEST: Duration = Duration::from_secs(2);

/// Pauses that double up to a bound.
pub(super) struct Backoff(Duration);

impl Backoff {
    pub fn new() -> Self {
        Self(Duration::from_millis(100))
    }

    pub async fn pause(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST);
    }
}

/// One connection, from its handshake until it breaks.
pub(super) struct Live {
    connection: Connection,
    /// Cancelled when it broke.
    pub lost: CancellationToken,
    /// When it was opened, if it renewed an earlier one.
    pub renewed: Option<Instant>,
}

impl Live {
    /// Does `work` unless the connection breaks first: a call to lapin in that very moment may never return.
    pub async fn during<T>(&self, work: impl Future<Output = Result<T, BrokerError>>) -> Result<T, BrokerError> {
        tokio::select! {
            result = work => result,
            () = self.lost.cancelled() => Err(BrokerError::Unavailable("the connection is lost".into())),
        }
    }

    pub async fn channel(&self) -> Result<Channel, BrokerError> {
        self.connection.create_channel().await.map_err(broken)
    }

    /// Waits until the connection breaks and returns why. lapin reports errors of single channels here, too.
    async fn broken(&self) -> String {
        let mut events = pin!(self.connection.events_listener());
        let mut tick = interval(Duration::from_secs(1));
        let mut why = "it was closed".to_owned();
        while self.connection.status().connected() {
            let event = tokio::select! { event = events.next() => event, _ = tick.tick() => continue };
            match event {
                Some(Event::Error(error)) => why = error.to_string(),
                Some(Event::ConnectionBlocked(reason)) => tracing::warn!(reason, "the broker takes no messages now"),
                Some(_) => {}
                None => break,
            }
        }
        why
    }
}

#[derive(Clone)]
enum State {
    Up(Arc<Live>),
    Down(String),
}

/// Access to whatever connection there is.
#[derive(Clone)]
pub(super) struct Link {
    state: watch::Receiver<State>,
    /// How long a call waits for the broker before it gives up.
    pub patience: Duration,
    /// Where tasks run: they may outlive the caller's own runtime, such as an actor's thread.
    pub tasks: Handle,
}

impl Link {
    /// Connects for the first time. The connection ends with the guard.
    pub async fn connect(url: &str, patience: Duration) -> Result<(Self, DropGuard), BrokerError> {
        let address = Address::parse(url)?;
        let connection = first(&address, patience).await?;
        let live = Arc::new(Live { connection, lost: CancellationToken::new(), renewed: None });
        let (sender, state) = watch::channel(State::Up(live.clone()));
        let (stop, tasks) = (CancellationToken::new(), Handle::current());
        tasks.spawn(supervise(address, live, sender, stop.clone()));
        Ok((Self { state, patience, tasks }, stop.drop_guard()))
    }

    /// The connection, as soon as there is one; `None` once the broker handle is gone.
    pub async fn live(&self) -> Option<Arc<Live>> {
        let mut state = self.state.clone();
        match &*state.wait_for(|state| matches!(state, State::Up(_))).await.ok()? {
            State::Up(live) => Some(live.clone()),
            State::Down(_) => None,
        }
    }

    /// The connection, if there is one before `deadline`.
    pub async fn live_before(&self, deadline: Instant) -> Result<Arc<Live>, BrokerError> {
        timeout_at(deadline, self.live()).await.ok().flatten().ok_or_else(|| self.why_not())
    }

    /// The connection, if there is one now.
    pub fn live_now(&self) -> Result<Arc<Live>, BrokerError> {
        match &*self.state.borrow() {
            State::Up(live) => Ok(live.clone()),
            State::Down(why) => Err(BrokerError::Unavailable(why.clone())),
        }
    }

    /// Why nothing could be done in time.
    pub fn why_not(&self) -> BrokerError {
        let slow = || BrokerError::Unavailable(format!("no answer within {:?}", self.patience));
        self.live_now().err().unwrap_or_else(slow)
    }
}

async fn first(address: &Address, patience: Duration) -> Result<Connection, BrokerError> {
    let deadline = Instant::now() + patience;
    let mut backoff = Backoff::new();
    let mut last = BrokerError::Unavailable(format!("{address} does not answer"));
    let attempts = async {
        loop {
            match address.open().await {
                Err(BrokerError::Unavailable(why)) => last = BrokerError::Unavailable(why),
                result => return result,
            }
            backoff.pause().await;
        }
    };
    match timeout_at(deadline, attempts).await {
        Ok(result) => result,
        Err(_) => Err(last),
    }
}

async fn supervise(address: Address, mut live: Arc<Live>, state: watch::Sender<State>, stop: CancellationToken) {
    loop {
        let why = tokio::select! {
            why = live.broken() => why,
            () = stop.cancelled() => break,
        };
        live.lost.cancel();
        tracing::warn!(%address, why, "lost the broker, connecting again");
        state.send_replace(State::Down(format!("{address}: {why}")));
        let connection = tokio::select! {
            connection = again(&address) => connection,
            () = stop.cancelled() => break,
        };
        tracing::info!(%address, "connected to the broker again");
        metrics::counter!(metric::RECONNECTS).increment(1);
        live = Arc::new(Live { connection, lost: CancellationToken::new(), renewed: Some(Instant::now()) });
        state.send_replace(State::Up(live.clone()));
    }
    live.lost.cancel();
    // The broker notices anyway; a farewell makes it hand jobs back at once.
    let _ = live.connection.close(200, "bye".into()).await;
}

async fn again(address: &Address) -> Connection {
    let mut backoff = Backoff::new();
    loop {
        match address.open().await {
            Ok(connection) => return connection,
            Err(BrokerError::Misconfigured(why)) => tracing::error!(why, "cannot connect to the broker"),
            Err(error) => tracing::debug!(%error, "cannot connect to the broker"),
        }
        backoff.pause().await;
    }
}
