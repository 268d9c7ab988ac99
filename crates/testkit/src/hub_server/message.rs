//! HTTP/1.1, as much of it as the clients of a Hub speak.

use super::repo::Content;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest request line or header, in bytes.
const MAX_LINE: u64 = 64 << 10;
/// Longest body that is read into memory.
const MAX_BODY: u64 = 64 << 20;

/// The head of a request; the body is still in the stream.
pub(super) struct Request {
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body_left: u64,
}

impl Request {
    /// The next request of a connection; `None` when the client has closed it or the server stops.
    pub fn read(stream: &mut BufReader<TcpStream>, stop: &AtomicBool) -> io::Result<Option<Self>> {
        stream
            .get_ref()
            .set_read_timeout(Some(Duration::from_millis(50)))?;
        loop {
            match stream.fill_buf() {
                Ok([]) => return Ok(None),
                Ok(_) => break,
                Err(e) if is_timeout(&e) && !stop.load(Ordering::Relaxed) => {}
                Err(e) => return Err(e),
            }
        }
        stream
            .get_ref()
            .set_read_timeout(Some(Duration::from_secs(20)))?;
        let first = line(stream)?;
        let mut words = first.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(io::Error::other(format!("not a request line: {first}")));
        };
        let mut headers = Vec::new();
        loop {
            let line = line(stream)?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let mut request = Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body_left: 0,
        };
        if let Some(length) = request.header("content-length") {
            request.body_left = length.parse().map_err(io::Error::other)?;
        }
        Ok(Some(request))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The parts of the path between slashes, decoded.
    pub fn words(&self) -> Vec<String> {
        self.path()
            .split('/')
            .skip(1)
            .map(percent_decoded)
            .collect()
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The value of one query parameter, as sent.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.target.split_once('?')?.1.split('&').find_map(|pair| {
            let (n, v) = pair.split_once('=')?;
            (n == name).then_some(v)
        })
    }

    /// Reads the next piece of the body; 0 at its end.
    pub fn read_body(
        &mut self,
        stream: &mut BufReader<TcpStream>,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let most = usize::try_from(self.body_left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let n = stream.read(&mut buffer[..most])?;
        if n == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.body_left -= n as u64;
        Ok(n)
    }

    /// The whole body.
    pub fn body(&mut self, stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
        if self.body_left > MAX_BODY {
            return Err(io::Error::other("a body this long is not for memory"));
        }
        let mut body = Vec::new();
        stream.take(self.body_left).read_to_end(&mut body)?;
        self.body_left -= body.len() as u64;
        Ok(body)
    }

    pub fn json(&mut self, stream: &mut BufReader<TcpStream>) -> io::Result<serde_json::Value> {
        serde_json::from_slice(&self.body(stream)?).map_err(io::Error::other)
    }
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.take(MAX_LINE).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

pub(super) fn is_timeout(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// An answer: status, headers, and a part of some content as the body.
#[derive(Clone)]
pub(super) struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Content,
    /// The part of `body` that is sent: first offset and length, in bytes.
    pub part: (u64, u64),
}

impl Response {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Content::from(Vec::new()),
            part: (0, 0),
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn content(mut self, body: Content) -> Self {
        self.part = (0, body.len());
        self.body = body;
        self
    }

    pub fn json(self, value: &serde_json::Value) -> Self {
        let text = value.to_string().into_bytes();
        self.header("Content-Type", "application/json")
            .content(Content::from(text))
    }

    /// A refusal as the Hub words it.
    pub fn refusal(status: u16, code: &str, message: &str) -> Self {
        Self::new(status)
            .header("X-Error-Code", code)
            .header("X-Error-Message", message)
            .json(&serde_json::json!({ "error": message }))
    }

    /// Writes the head.
    pub fn write_head(&self, stream: &mut TcpStream) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Test\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self
            .headers
            .iter()
            .any(|(n, _)| n.eq_ignore_ascii_case("content-length"))
        {
            head.push_str(&format!("Content-Length: {}\r\n", self.part.1));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match (first, code.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
