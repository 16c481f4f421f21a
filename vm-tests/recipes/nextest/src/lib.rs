//! What the tests ask of the backend.

use std::env::var;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

/// Signs up a user, and returns the status line of the answer. A backend that knows the address already answers 409.
pub fn sign_up(email: &str) -> io::Result<String> {
    let setting = |name| var(name).map_err(io::Error::other);
    let url = setting("STACK_API_URL")?;
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let body = format!(r#"{{"email": "{email}", "password": "correct horse battery"}}"#);
    let mut connection = TcpStream::connect(host)?;
    write!(
        connection,
        "POST /api/v1/auth/password/sign-up HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nX-Stack-Access-Type: client\r\n\
         X-Stack-Project-Id: {}\r\nX-Stack-Publishable-Client-Key: {}\r\n\r\n{body}",
        body.len(),
        setting("STACK_PROJECT_ID")?,
        setting("STACK_PUBLISHABLE_CLIENT_KEY")?,
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
