//! HTTP/1.1 and WebSockets with next to no cost of their own, so that a load generator on one core measures the server and
//! not itself. Only what a server of ours, or one like it, answers.

use bytes::{Buf, Bytes, BytesMut};
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const HEADERS_MAX: usize = 64;
/// No answer is larger.
const BODY_MAX: usize = 64 << 20;

/// A kept connection.
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Exactly(usize),
    Chunked,
}

struct Head {
    size: usize,
    status: u16,
    length: Length,
}

impl Connection {
    /// Connects to `address`.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(8 << 10) })
    }

    /// Sends a whole request and reads the whole answer.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.stream.write_all(request).await?;
        let head = self.head().await?;
        let body = match head.length {
            Length::Exactly(size) => self.take(size).await?,
            Length::Chunked => self.chunks().await?,
        };
        Ok(Reply { status: head.status, body })
    }

    /// Sends an upgrade; from then on there are frames. An error tells the status that came instead.
    pub async fn upgrade(mut self, request: &[u8]) -> io::Result<Socket> {
        self.stream.write_all(request).await?;
        let head = self.head().await?;
        if head.status == 101 { Ok(Socket(self)) } else { Err(io::Error::other(head.status.to_string())) }
    }

    async fn more(&mut self) -> io::Result<()> {
        self.buffer.reserve(4 << 10);
        let read = self.stream.read_buf(&mut self.buffer).await?;
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    async fn take(&mut self, size: usize) -> io::Result<Bytes> {
        if size > BODY_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        while self.buffer.len() < size {
            self.more().await?;
        }
        Ok(self.buffer.split_to(size).freeze())
    }

    async fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(head) = head(&self.buffer)? {
                self.buffer.advance(head.size);
                return Ok(head);
            }
            self.more().await?;
        }
    }

    async fn chunks(&mut self) -> io::Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            match httparse::parse_chunk_size(&self.buffer).map_err(|_| odd())? {
                httparse::Status::Partial => self.more().await?,
                httparse::Status::Complete((at, size)) => {
                    self.buffer.advance(at);
                    let piece = self.take(usize::try_from(size).map_err(|_| odd())?).await?;
                    self.take(2).await?;
                    if piece.is_empty() {
                        return Ok(body.freeze());
                    }
                    body.extend_from_slice(&piece);
                }
            }
        }
    }
}

fn odd() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(size) = response.parse(bytes).map_err(|_| odd())? else { return Ok(None) };
    let status = response.code.ok_or_else(odd)?;
    let mut length = Length::Exactly(0);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = Length::Exactly(number(header.value)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            length = Length::Chunked;
        }
    }
    Ok(Some(Head { size, status, length }))
}

pub(super) fn number(value: &[u8]) -> io::Result<usize> {
    std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(odd)
}

/// An open WebSocket (RFC 6455).
pub struct Socket(Connection);

impl Socket {
    /// Sends a text. Its mask is zero, which the protocol allows and a proxy between would not.
    pub async fn send(&mut self, text: &[u8]) -> io::Result<()> {
        self.write(0x81, text).await
    }

    async fn write(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(payload.len() + 8);
        frame.push(kind);
        match u8::try_from(payload.len()) {
            Ok(short) if short < 126 => frame.push(0x80 | short),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload.len()).map_err(|_| odd())?.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.0.stream.write_all(&frame).await
    }

    /// The next text; pings are answered. Ends with an error when the server closes.
    pub async fn text(&mut self) -> io::Result<Bytes> {
        loop {
            let start = self.0.take(2).await?;
            let (kind, short) = (start[0] & 0x0f, usize::from(start[1] & 0x7f));
            let size = match short {
                126 => usize::from(self.0.take(2).await?.get_u16()),
                127 => usize::try_from(self.0.take(8).await?.get_u64()).map_err(|_| odd())?,
                size => size,
            };
            let payload = self.0.take(size).await?;
            match kind {
                1 => return Ok(payload),
                8 => return Err(io::ErrorKind::ConnectionAborted.into()),
                9 => self.write(0x8a, &payload).await?,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Writes `answer` byte by byte to whoever connects.
    async fn answering(answer: &'static [u8]) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            for byte in answer {
                socket.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            // Closing with requests unread would throw the answer away.
            socket.shutdown().await.unwrap();
            let _ = socket.read_to_end(&mut Vec::new()).await;
        });
        Connection::open(address).await.unwrap()
    }

    #[tokio::test]
    async fn answers_are_read_however_they_are_cut() {
        let mut known = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 429 X\r\n\r\n").await;
        let reply = known.ask(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!((reply.status, &reply.body[..]), (200, &b"abc"[..]));
        assert_eq!(known.ask(b"GET / HTTP/1.1\r\n\r\n").await.unwrap().status, 429);
        assert!(known.ask(b"GET / HTTP/1.1\r\n\r\n").await.is_err());
        let mut chunked =
            answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").await;
        assert_eq!(&chunked.ask(b"GET / HTTP/1.1\r\n\r\n").await.unwrap().body[..], b"abc");
    }

    #[tokio::test]
    async fn texts_come_out_of_frames() {
        let frames = b"HTTP/1.1 101 X\r\n\r\n\x89\x01x\x81\x02ab\x81\x7e\x00\x03cde\x88\x00";
        let mut socket = answering(frames).await.upgrade(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(&socket.text().await.unwrap()[..], b"ab");
        assert_eq!(&socket.text().await.unwrap()[..], b"cde");
        assert!(socket.text().await.is_err());
        let refused = answering(b"HTTP/1.1 401 X\r\n\r\n").await.upgrade(b"GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(refused.err().unwrap().to_string(), "401");
    }
}
