//! A door to a server that a test can shut or make slow.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Bytes that pass at a time.
const PIECE: usize = 4096;

/// Passes connections on to a port of 127.0.0.1, so that one client's connection can break while the server runs.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_shut: AtomicBool,
    is_over: AtomicBool,
    /// How long each piece is held back, in milliseconds.
    delay_ms: AtomicU64,
    /// Both ends of every connection since the last cut.
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Opens a door to `target`.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(target: u16) -> Self {
        let port = super::free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = listener.unwrap_or_else(|error| panic!("cannot listen on port {port}: {error}"));
        let state = Arc::<State>::default();
        let accepting = state.clone();
        thread::spawn(move || accepting.accept(&listener, target));
        Self { port, state }
    }

    /// The port on which it takes clients.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks every connection; new ones pass.
    pub fn cut(&self) {
        self.state.cut();
    }

    /// Breaks every connection and refuses new ones until [`open`](Self::open).
    pub fn shut(&self) {
        self.state.is_shut.store(true, Ordering::SeqCst);
        self.state.cut();
    }

    /// Lets connections pass again, at full speed.
    pub fn open(&self) {
        self.state.is_shut.store(false, Ordering::SeqCst);
        self.state.delay_ms.store(0, Ordering::SeqCst);
    }

    /// From now on every few kilobytes, in either direction, take this much longer, until [`open`](Self::open).
    pub fn slow(&self, delay: Duration) {
        self.state.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        self.state.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl State {
    fn accept(self: &Arc<Self>, listener: &TcpListener, target: u16) {
        for client in listener.incoming() {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            // A client that cannot be passed on sees its connection end.
            let _ = client.and_then(|client| self.pass(client, target));
        }
    }

    fn pass(self: &Arc<Self>, client: TcpStream, target: u16) -> io::Result<()> {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
        let (client_again, server_again) = (client.try_clone()?, server.try_clone()?);
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_shut.load(Ordering::SeqCst) {
            return Ok(());
        }
        streams.extend([client.try_clone()?, server.try_clone()?]);
        let (there, back) = (self.clone(), self.clone());
        thread::spawn(move || there.copy(client, server));
        thread::spawn(move || back.copy(server_again, client_again));
        Ok(())
    }

    fn cut(&self) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        // An error ends the connection in both directions, as does its end.
        let _ = self.copy_all(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    fn copy_all(&self, from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
        let mut piece = [0; PIECE];
        loop {
            let length = from.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            match self.delay_ms.load(Ordering::SeqCst) {
                0 => {}
                delay => thread::sleep(Duration::from_millis(delay)),
            }
            to.write_all(&piece[..length])?;
        }
    }
}
