//! One thread's connections to one server. They never leave their thread, and dropping one that is in use closes it, so
//! the server learns at once that nobody waits for the answer.

use super::{
    target::{Seat, Target},
    trouble::Trouble,
};
use actix_web::{rt, web::Bytes};
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderValue},
    rt::{Read, Write},
};
use hyper_util::rt::TokioIo;
use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

/// A connection that nobody used for this long is closed; servers close theirs after 5 s or more, and tell us.
const KEPT: Duration = Duration::from_secs(60);

type Content = Full<Bytes>;

/// The connections that wait for a request; bounded by the target's `max_requests`, since each has carried one.
pub(super) struct Pool {
    pub(super) target: Arc<Target>,
    idle: RefCell<VecDeque<(Connection, Instant)>>,
}

struct Connection {
    send: SendRequest<Content>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection in use; dropping it closes it.
pub(super) struct Lease {
    connection: Connection,
    pool: Rc<Pool>,
    _seat: Seat,
}

impl Lease {
    /// The answer was read to its end: the connection may carry the next request.
    pub(super) fn keep(self) {
        let mut idle = self.pool.idle.borrow_mut();
        while idle.front().is_some_and(|(_, since)| since.elapsed() > KEPT) {
            idle.pop_front();
        }
        idle.push_back((self.connection, Instant::now()));
    }

    /// Whose server it is.
    pub(super) fn target(&self) -> &Target {
        &self.pool.target
    }
}

impl Pool {
    pub(super) fn new(target: Arc<Target>) -> Rc<Self> {
        Rc::new(Self { target, idle: RefCell::default() })
    }

    /// Sends `body` and waits for the answer's head.
    pub(super) async fn ask(
        self: &Rc<Self>,
        body: Bytes,
        trace: Option<HeaderValue>,
    ) -> Result<(Response<Incoming>, Lease), Trouble> {
        let seat = self.target.seat().ok_or(Trouble::Full)?;
        let asked = async {
            if let Some(kept) = self.kept() {
                match self.send(kept, body.clone(), trace.clone()).await {
                    Err(error) if is_closed(&error) => self.idle.borrow_mut().clear(),
                    answered => return answered.map_err(Trouble::Broken),
                }
            }
            let fresh = self.open().await?;
            self.send(fresh, body, trace).await.map_err(Trouble::Broken)
        };
        let asked = timeout(self.target.silence, asked).await.map_err(|_| Trouble::Silent)?;
        asked.map(|(response, connection)| (response, Lease { connection, pool: self.clone(), _seat: seat }))
    }

    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop_back())
            .find(|(connection, since)| since.elapsed() <= KEPT && !connection.send.is_closed())
            .map(|(connection, _)| connection)
    }

    async fn send(
        &self,
        mut connection: Connection,
        body: Bytes,
        trace: Option<HeaderValue>,
    ) -> hyper::Result<(Response<Incoming>, Connection)> {
        connection.send.ready().await?;
        let response = connection.send.send_request(self.request(body, trace)).await?;
        Ok((response, connection))
    }

    fn request(&self, body: Bytes, trace: Option<HeaderValue>) -> Request<Content> {
        let mut request = Request::post(self.target.path.clone())
            .header(header::HOST, self.target.host_header.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let own = [(header::AUTHORIZATION, self.target.authorization.clone())];
        let traced = [(header::HeaderName::from_static("traceparent"), trace)];
        for (name, value) in own.into_iter().chain(traced) {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        // Every part was checked when the target was made.
        request.body(Full::new(body)).unwrap_or_default()
    }

    async fn open(&self) -> Result<Connection, Trouble> {
        let opened = timeout(self.target.connect_timeout, self.connect()).await;
        opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(Trouble::Unreachable)
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect((self.target.host.as_str(), self.target.port)).await?;
        stream.set_nodelay(true)?;
        match &self.target.tls {
            None => attach(TokioIo::new(stream)).await,
            Some((connector, name)) => attach(TokioIo::new(connector.connect(name.clone(), stream).await?)).await,
        }
    }
}

async fn attach(io: impl Read + Write + Unpin + 'static) -> io::Result<Connection> {
    let (send, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
    let task = rt::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to an inference server ended");
        }
    });
    Ok(Connection { send, task })
}

/// Whether the server closed a kept connection before it answered: a request may be sent once more.
fn is_closed(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message()
}
