//! Commands inside the machine: what host and guest say to each other over a connection to [`PORT`].
//!
//! The host has the agent expect it, which opens the port for a token that is good for one connection. The first
//! frame is [`FromHost::Open`], with the token and the command. From then on each side sends frames until the guest has said how
//! the command ended. When the connection ends before that, so does the command.
//!
//! A frame is a kind, a length and that many bytes: the contents of a stream, or one JSON object. Each stream has a window: the
//! sender sends no more than [`WINDOW`] bytes that the receiver has not yet passed on, so that a stream that no one reads holds up
//! neither the others nor the messages.

use serde::{Deserialize, Serialize};

use crate::Secret;

/// The TCP port that the guest's agent listens on while it expects a connection. Below 1024, so that only root can.
pub const PORT: u16 = 1022;

/// Bytes of a stream that may be under way.
pub const WINDOW: u32 = 256 << 10;

/// Most bytes of one frame: a whole command line is in one.
pub const LARGEST_FRAME: usize = 512 << 10;

/// Most bytes of a stream in one frame.
pub const LARGEST_PIECE: usize = 32 << 10;

/// Bytes before the contents of a frame.
const HEAD: usize = 5;

/// Hexadecimal digits of a token.
pub const TOKEN_DIGITS: usize = 64;

/// A stream of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// From the host.
    Stdin,
    /// To the host.
    Stdout,
    /// To the host. A command with a terminal has none of its own.
    Stderr,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// The terminal that a command has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Its kind: `TERM` of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<String>,
    /// Its size.
    pub size: Size,
}

/// The beginning of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The token that the agent expects.
    pub token: Secret,
    /// What is to be run.
    #[serde(flatten)]
    pub task: Task,
}

/// What is to be run, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The service whose user, environment and working directory the command has. Without one: root's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// A terminal instead of three streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Terminal>,
}

/// A signal for the command and all that it has started in its process group. Their numbers differ between systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// SIGHUP.
    Hangup,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGTERM.
    Terminate,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

/// A message of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "kebab-case")]
pub enum FromHost {
    /// Run this.
    Open(Open),
    /// Nothing more comes on stdin.
    End,
    /// Send this signal.
    Signal {
        /// Which one.
        signal: Signal,
    },
    /// The terminal has another size.
    Resize(Size),
    /// So many bytes have been passed on, and as many more may be sent.
    Passed(Passed),
}

/// A message of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "kebab-case")]
pub enum FromGuest {
    /// The command runs.
    Started,
    /// So many bytes have been passed on, and as many more may be sent.
    Passed(Passed),
    /// The command reads stdin no more.
    InputClosed,
    /// The command has ended, and all that it had written has been sent.
    Ended(Ended),
    /// The command could not be started.
    Failed(Failed),
}

/// Bytes of a stream that have reached their reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Which one.
    pub stream: Stream,
    /// How many.
    pub bytes: u32,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// It exited with this status.
    Exited(u8),
    /// It was killed by the signal with this number.
    Killed(u8),
}

/// Why a command was not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// Why, for people.
    pub reason: String,
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// There is no such program.
    NotFound,
    /// The program cannot be executed.
    NotExecutable,
    /// The service does not run.
    NotRunning,
    /// Anything else.
    Other,
}

/// One frame, with messages of type `M`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<M> {
    /// A message.
    Message(M),
    /// A piece of a stream.
    Piece(Stream, Vec<u8>),
}

/// What is not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is longer than [`LARGEST_FRAME`].
    #[error("a frame has {0} bytes, and at most {LARGEST_FRAME}")]
    TooLong(usize),
    /// No frame has this kind.
    #[error("a frame has the kind {0}, which is unknown")]
    Kind(u8),
    /// It is not the expected JSON. The text of the error could quote what is secret.
    #[error("a message cannot be understood before column {0}")]
    Json(usize),
}

impl Stream {
    const fn kind(self) -> u8 {
        match self {
            Self::Stdin => 1,
            Self::Stdout => 2,
            Self::Stderr => 3,
        }
    }
}

impl<M: Serialize + for<'de> Deserialize<'de>> Frame<M> {
    /// The bytes of the frame.
    ///
    /// # Errors
    /// When it is longer than [`LARGEST_FRAME`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        match self {
            Self::Message(message) => {
                let json = serde_json::to_vec(message).expect("messages are made of strings and numbers");
                framed(0, &json)
            }
            Self::Piece(stream, bytes) => framed(stream.kind(), bytes),
        }
    }

    /// Decodes the frame at the beginning of `bytes`: it, and how many bytes it has. `None` when its end has not come yet.
    ///
    /// # Errors
    /// When it is not a frame.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((&[kind, ref length @ ..], rest)) = bytes.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > LARGEST_FRAME {
            return Err(FrameError::TooLong(length));
        }
        let Some(contents) = rest.get(..length) else { return Ok(None) };
        let frame = match kind {
            0 => {
                let message = serde_json::from_slice(contents);
                Self::Message(message.map_err(|error| FrameError::Json(error.column()))?)
            }
            1 => Self::Piece(Stream::Stdin, contents.to_owned()),
            2 => Self::Piece(Stream::Stdout, contents.to_owned()),
            3 => Self::Piece(Stream::Stderr, contents.to_owned()),
            other => return Err(FrameError::Kind(other)),
        };
        Ok(Some((frame, HEAD + length)))
    }
}

fn framed(kind: u8, contents: &[u8]) -> Result<Vec<u8>, FrameError> {
    let length = contents.len();
    let head = u32::try_from(length).ok().filter(|_| length <= LARGEST_FRAME);
    let head = head.ok_or(FrameError::TooLong(length))?;
    let mut bytes = Vec::with_capacity(HEAD + length);
    bytes.push(kind);
    bytes.extend_from_slice(&head.to_be_bytes());
    bytes.extend_from_slice(contents);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open() -> FromHost {
        let size = Size { columns: 80, rows: 24 };
        let task = Task {
            service: Some("store".into()),
            command: vec!["psql".into(), "-c".into(), "select 'é\n'".into()],
            terminal: Some(Terminal { term: Some("xterm".into()), size }),
        };
        FromHost::Open(Open { token: Secret::new("ab"), task })
    }

    #[test]
    fn messages_are_flat_objects() {
        let text = |message: &FromHost| serde_json::to_string(message).unwrap();
        insta::assert_snapshot!(text(&open()), @r#"{"message":"open","token":"ab","service":"store","command":["psql","-c","select 'é\n'"],"terminal":{"term":"xterm","size":{"columns":80,"rows":24}}}"#);
        insta::assert_snapshot!(text(&FromHost::Signal { signal: Signal::Interrupt }), @r#"{"message":"signal","signal":"interrupt"}"#);
        insta::assert_snapshot!(text(&FromHost::Passed(Passed { stream: Stream::Stdout, bytes: 7 })), @r#"{"message":"passed","stream":"stdout","bytes":7}"#);
        let ended = FromGuest::Ended(Ended::Exited(7));
        insta::assert_snapshot!(serde_json::to_string(&ended).unwrap(), @r#"{"message":"ended","exited":7}"#);
    }

    #[test]
    fn no_token_is_shown_by_accident() {
        assert!(!format!("{:?}", open()).contains("ab\""));
        let spoiled = framed(0, br#"{"message":"open","token":"hunter2","command":7}"#).unwrap();
        let error = Frame::<FromHost>::decode(&spoiled).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_frame_is_decoded_when_all_of_it_has_come() {
        let mut bytes = Frame::Message(open()).encode().unwrap();
        let length = bytes.len();
        bytes.extend(Frame::<FromHost>::Piece(Stream::Stdin, b"rest".to_vec()).encode().unwrap());
        for end in 0..length {
            assert!(Frame::<FromHost>::decode(&bytes[..end]).unwrap().is_none());
        }
        assert_eq!(Frame::decode(&bytes).unwrap(), Some((Frame::Message(open()), length)));
        let rest = Frame::<FromHost>::decode(&bytes[length..]).unwrap().unwrap();
        assert_eq!(rest, (Frame::Piece(Stream::Stdin, b"rest".to_vec()), bytes.len() - length));
    }

    #[test]
    fn what_is_not_a_frame_is_refused_before_all_of_it_has_come() {
        let decode = |bytes: &[u8]| Frame::<FromHost>::decode(bytes).unwrap_err().to_string();
        assert_eq!(decode(&[0, 255, 255, 255, 255]), "a frame has 4294967295 bytes, and at most 524288");
        assert_eq!(decode(&[9, 0, 0, 0, 0]), "a frame has the kind 9, which is unknown");
        assert_eq!(decode(&[0, 0, 0, 0, 1, b'{']), "a message cannot be understood before column 1");
        let long = Frame::<FromHost>::Piece(Stream::Stdin, vec![0; LARGEST_FRAME + 1]);
        assert!(matches!(long.encode(), Err(FrameError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(kind in 0..5_u8, length in 0..40_u32, rest: Vec<u8>) {
            let mut bytes = vec![kind];
            bytes.extend(length.to_be_bytes());
            bytes.extend(rest);
            let _ = Frame::<FromHost>::decode(&bytes);
            let _ = Frame::<FromGuest>::decode(&bytes);
        }

        #[test]
        fn pieces_are_read_back_as_they_were(bytes: Vec<u8>) {
            for stream in [Stream::Stdin, Stream::Stdout, Stream::Stderr] {
                let frame = Frame::<FromGuest>::Piece(stream, bytes.clone());
                let encoded = frame.encode().unwrap();
                prop_assert_eq!(Frame::decode(&encoded).unwrap(), Some((frame, encoded.len())));
            }
        }
    }
}
