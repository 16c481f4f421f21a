//! One session of SMTP without its network: bytes in, replies and messages out. It follows RFC 5321 with the extensions that it names
//! in its answer to EHLO; commands, data and chunks are read by crate `smtp-proto`.
//!
//! Nothing that a client sends is repeated in a reply, so that no reply can carry a line of the client's.

use std::{mem, slice::Iter};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use smtp_proto::{
    AUTH_LOGIN, AUTH_PLAIN, Error, MailFrom, Request,
    request::receiver::{
        BdatReceiver, DataReceiver, DummyDataReceiver, DummyLineReceiver, LineReceiver, RequestReceiver,
    },
};

use crate::{address::Naming, settings::Limits};

/// Wrong commands after which a session ends.
const PATIENCE: u32 = 20;

/// How this server calls itself.
const NAME: &str = "stack-mail";

/// A message as it came, with its envelope.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The sender; empty for a notice about a delivery.
    pub(crate) sender: String,
    /// All recipients, each once.
    pub(crate) recipients: Vec<String>,
    /// Header and body, byte by byte as they were sent.
    pub(crate) source: Vec<u8>,
}

/// What has to happen next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// More bytes are needed.
    Read,
    /// A message has to be kept. [`Session::kept`] takes what became of it.
    Keep(Delivery),
    /// The session is over.
    End,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is on the disk.
    Kept,
    /// It is not; the client may try again.
    Failed,
}

/// A reply: its code, its enhanced code (RFC 3463), and words for people.
type Reply = (u16, &'static str, &'static str);

const DONE: Reply = (250, "2.0.0", "done");
const KEPT: Reply = (250, "2.0.0", "message kept");
const FAILED: Reply = (451, "4.3.0", "the message could not be kept: try again");
const CROWDED: Reply = (452, "4.3.1", "too much mail at once: try again");
const TOO_LARGE: Reply = (552, "5.3.4", "the message is too large");
const TOO_MANY: Reply = (452, "4.5.3", "too many recipients");
const NO_RECIPIENTS: Reply = (503, "5.5.1", "send RCPT first");
const NO_GREETING: Reply = (503, "5.5.1", "send EHLO first");
const NOT_BASE64: Reply = (501, "5.5.2", "the answer is not base64");
const NOT_OFFERED: Reply = (502, "5.5.1", "this command is not offered");
const UNKNOWN: Reply = (500, "5.5.1", "unknown command");
const SYNTAX: Reply = (501, "5.5.4", "the command has a wrong syntax");

enum Mode {
    /// A command comes.
    Command,
    /// The rest of a line that is too long comes.
    Overlong(DummyLineReceiver),
    /// An answer to a question of AUTH comes.
    Answer(LineReceiver<Question>),
    /// The content comes, up to a line with a dot.
    Data(DataReceiver),
    /// A part of the content comes, of which this many bytes are missing.
    Chunk(BdatReceiver, usize),
    /// Content comes that is not kept. The reply follows its end.
    Skip(DummyDataReceiver, Reply),
    /// The message is being kept.
    Keeping,
    /// There was the last reply.
    Over,
}

/// A question of AUTH.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Question {
    #[default]
    Plain,
    User,
    Password,
}

/// A session.
pub(crate) struct Session {
    limits: Limits,
    naming: Naming,
    mode: Mode,
    commands: RequestReceiver,
    is_greeted: bool,
    is_signed_in: bool,
    /// From MAIL on.
    sender: Option<String>,
    recipients: Vec<String>,
    content: Vec<u8>,
    /// Whether the content comes in chunks.
    is_chunked: bool,
    mistakes: u32,
    replies: Vec<u8>,
}

impl Session {
    /// A session that begins with the greeting.
    pub(crate) fn new(limits: Limits, naming: Naming) -> Self {
        let mut session = Self {
            limits,
            naming,
            mode: Mode::Command,
            commands: RequestReceiver::default(),
            is_greeted: false,
            is_signed_in: false,
            sender: None,
            recipients: Vec::new(),
            content: Vec::new(),
            is_chunked: false,
            mistakes: 0,
            replies: Vec::new(),
        };
        session.line(220, &format!("{NAME} ESMTP"));
        session
    }

    /// Reads `bytes` until all are read or something has to happen first.
    pub(crate) fn advance(&mut self, bytes: &mut Iter<'_, u8>) -> Step {
        loop {
            let step = match mem::replace(&mut self.mode, Mode::Command) {
                Mode::Command => self.command(bytes),
                Mode::Overlong(line) => self.overlong(bytes, line),
                Mode::Answer(line) => self.answer(bytes, line),
                Mode::Data(data) => self.data(bytes, data),
                Mode::Chunk(chunk, left) => self.chunk(bytes, chunk, left),
                Mode::Skip(content, reply) => self.skip(bytes, content, reply),
                Mode::Keeping => Some(self.stay(Mode::Keeping, Step::Read)),
                Mode::Over => Some(self.stay(Mode::Over, Step::End)),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Takes what became of a message.
    pub(crate) fn kept(&mut self, outcome: Outcome) {
        self.mode = Mode::Command;
        self.reply(match outcome {
            Outcome::Kept => KEPT,
            Outcome::Failed => FAILED,
        });
    }

    /// Ends the session with a reason.
    pub(crate) fn end(&mut self, text: &'static str) {
        self.reply((421, "4.3.2", text));
        self.mode = Mode::Over;
    }

    /// The replies since the last call.
    pub(crate) fn replies(&mut self) -> Vec<u8> {
        mem::take(&mut self.replies)
    }

    /// Bytes of memory for the message that is being received.
    pub(crate) fn held(&self) -> usize {
        self.content.capacity()
    }

    /// Whether a message is being received.
    pub(crate) fn is_receiving(&self) -> bool {
        matches!(self.mode, Mode::Data(_) | Mode::Chunk(..) | Mode::Skip(..))
    }

    /// Refuses the message that is being received, and drops what has come of it.
    pub(crate) fn shed(&mut self) {
        self.mode = match mem::replace(&mut self.mode, Mode::Command) {
            Mode::Data(data) => Mode::Skip(DummyDataReceiver::new_data(&data), CROWDED),
            Mode::Chunk(_, left) => Mode::Skip(DummyDataReceiver::new_bdat(left), CROWDED),
            other => other,
        };
        self.forget();
    }

    fn stay(&mut self, mode: Mode, step: Step) -> Step {
        self.mode = mode;
        step
    }

    fn command(&mut self, bytes: &mut Iter<'_, u8>) -> Option<Step> {
        match self.commands.ingest(bytes).map(Request::into_owned) {
            Ok(request) => self.obey(request),
            Err(Error::NeedsMoreData { .. }) => return Some(Step::Read),
            Err(Error::ResponseTooLong) => self.mode = Mode::Overlong(DummyLineReceiver::default()),
            Err(error) => self.refuse(&error),
        }
        None
    }

    fn overlong(&mut self, bytes: &mut Iter<'_, u8>, mut line: DummyLineReceiver) -> Option<Step> {
        if !line.ingest(bytes) {
            return Some(self.stay(Mode::Overlong(line), Step::Read));
        }
        self.mistake((500, "5.5.2", "the line is too long"));
        None
    }

    fn answer(&mut self, bytes: &mut Iter<'_, u8>, mut line: LineReceiver<Question>) -> Option<Step> {
        if !line.ingest(bytes) {
            return Some(self.stay(Mode::Answer(line), Step::Read));
        }
        self.answered(line.state, &line.buf);
        None
    }

    fn data(&mut self, bytes: &mut Iter<'_, u8>, mut data: DataReceiver) -> Option<Step> {
        let is_whole = data.ingest(bytes, &mut self.content);
        match (is_whole, self.content.len() > self.limits.message_bytes) {
            (true, false) => return Some(self.keep()),
            (true, true) => {
                self.forget();
                self.reply(TOO_LARGE);
            }
            (false, true) => {
                self.forget();
                self.mode = Mode::Skip(DummyDataReceiver::new_data(&data), TOO_LARGE);
            }
            (false, false) => return Some(self.stay(Mode::Data(data), Step::Read)),
        }
        None
    }

    fn chunk(&mut self, bytes: &mut Iter<'_, u8>, mut chunk: BdatReceiver, left: usize) -> Option<Step> {
        let before = bytes.len();
        if !chunk.ingest(bytes, &mut self.content) {
            let left = left - (before - bytes.len());
            return Some(self.stay(Mode::Chunk(chunk, left), Step::Read));
        }
        if chunk.is_last {
            return Some(self.keep());
        }
        self.reply(DONE);
        None
    }

    fn skip(
        &mut self,
        bytes: &mut Iter<'_, u8>,
        mut content: DummyDataReceiver,
        reply: Reply,
    ) -> Option<Step> {
        if !content.ingest(bytes) {
            return Some(self.stay(Mode::Skip(content, reply), Step::Read));
        }
        self.reply(reply);
        None
    }

    /// Hands the message over.
    fn keep(&mut self) -> Step {
        let delivery = Delivery {
            sender: self.sender.take().unwrap_or_default(),
            recipients: mem::take(&mut self.recipients),
            source: mem::take(&mut self.content),
        };
        self.forget();
        self.mode = Mode::Keeping;
        Step::Keep(delivery)
    }

    /// Forgets the message that was begun.
    fn forget(&mut self) {
        self.sender = None;
        self.recipients = Vec::new();
        self.content = Vec::new();
        self.is_chunked = false;
    }

    fn obey(&mut self, request: Request<String>) {
        match request {
            Request::Ehlo { .. } => self.greet(true),
            Request::Helo { .. } => self.greet(false),
            Request::Mail { from } => self.mail(from),
            Request::Rcpt { to } => self.recipient(to.address),
            Request::Data => self.begin_data(),
            Request::Bdat { chunk_size, is_last } => self.begin_chunk(chunk_size, is_last),
            Request::Auth { mechanism, initial_response } => self.sign_in(mechanism, &initial_response),
            Request::Rset => {
                self.forget();
                self.reply(DONE);
            }
            Request::Noop { .. } => self.reply(DONE),
            Request::Vrfy { .. } => self.reply((252, "2.5.1", "every address is taken")),
            Request::Help { .. } => {
                self.reply((214, "2.0.0", "every message is caught, and none is sent on"))
            }
            Request::Quit => {
                self.reply((221, "2.0.0", "goodbye"));
                self.mode = Mode::Over;
            }
            Request::Lhlo { .. }
            | Request::Expn { .. }
            | Request::Etrn { .. }
            | Request::Atrn { .. }
            | Request::Burl { .. }
            | Request::StartTls => self.mistake(NOT_OFFERED),
        }
    }

    fn greet(&mut self, is_extended: bool) {
        self.is_greeted = true;
        self.forget();
        if !is_extended {
            return self.line(250, NAME);
        }
        let size = format!("SIZE {}", self.limits.message_bytes);
        let offers = [
            "PIPELINING",
            &size,
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "DSN",
            "ENHANCEDSTATUSCODES",
            "AUTH PLAIN LOGIN",
        ];
        for line in [NAME].into_iter().chain(offers) {
            self.replies.extend_from_slice(format!("250-{line}\r\n").as_bytes());
        }
        self.line(250, "HELP");
    }

    fn mail(&mut self, from: MailFrom<String>) {
        if !self.is_greeted {
            return self.mistake(NO_GREETING);
        }
        if self.sender.is_some() {
            return self.mistake((503, "5.5.1", "a message was begun already"));
        }
        if from.size > self.limits.message_bytes {
            return self.reply(TOO_LARGE);
        }
        if from.address.chars().any(char::is_control) {
            return self.mistake((553, "5.1.7", "the sender is not an address"));
        }
        self.sender = Some(from.address);
        self.reply((250, "2.1.0", "sender taken"));
    }

    fn recipient(&mut self, address: String) {
        // The parser reads the one address that needs no domain as nothing: RFC 5321, 4.5.1.
        let address = if address.is_empty() { "postmaster".to_owned() } else { address };
        if self.sender.is_none() {
            return self.mistake((503, "5.5.1", "send MAIL first"));
        }
        if self.naming.mailbox(&address).is_none() {
            return self.mistake((553, "5.1.3", "the recipient is not an address"));
        }
        if !self.recipients.contains(&address) {
            if self.recipients.len() >= self.limits.recipients {
                return self.reply(TOO_MANY);
            }
            self.recipients.push(address);
        }
        self.reply((250, "2.1.5", "recipient taken"));
    }

    fn begin_data(&mut self) {
        if self.recipients.is_empty() {
            return self.mistake(NO_RECIPIENTS);
        }
        if self.is_chunked {
            self.forget();
            return self.mistake((503, "5.5.1", "the message was begun with BDAT"));
        }
        let mut data = DataReceiver::new();
        // The end of the command's line counts: a dot that follows it directly ends an empty message.
        data.ingest(&mut b"\r\n".iter(), &mut Vec::new());
        self.mode = Mode::Data(data);
        self.line(354, "end the message with a line that is a dot");
    }

    fn begin_chunk(&mut self, size: usize, is_last: bool) {
        // The chunk comes in any case.
        let refused = |reply| Mode::Skip(DummyDataReceiver::new_bdat(size), reply);
        if self.recipients.is_empty() {
            self.mode = refused(NO_RECIPIENTS);
        } else if size > self.limits.message_bytes - self.content.len() {
            self.forget();
            self.mode = refused(TOO_LARGE);
        } else {
            self.is_chunked = true;
            self.mode = Mode::Chunk(BdatReceiver::new(size, is_last), size);
        }
    }

    fn sign_in(&mut self, mechanism: u64, initial: &str) {
        if !self.is_greeted {
            return self.mistake(NO_GREETING);
        }
        if self.is_signed_in || self.sender.is_some() {
            return self.mistake((503, "5.5.1", "signing in is not possible now"));
        }
        let question = match mechanism {
            AUTH_PLAIN => Question::Plain,
            AUTH_LOGIN => Question::User,
            _ => return self.mistake((504, "5.5.4", "use PLAIN or LOGIN")),
        };
        match initial {
            "" => self.ask(question),
            "=" => self.answered(question, b""),
            _ => self.answered(question, initial.as_bytes()),
        }
    }

    fn ask(&mut self, question: Question) {
        self.mode = Mode::Answer(LineReceiver::new(question));
        // `Username:` and `Password:`, which is what clients wait for.
        self.line(
            334,
            match question {
                Question::Plain => "",
                Question::User => "VXNlcm5hbWU6",
                Question::Password => "UGFzc3dvcmQ6",
            },
        );
    }

    /// Takes an answer. Every name and every password is right.
    fn answered(&mut self, question: Question, answer: &[u8]) {
        if answer == b"*" {
            return self.mistake((501, "5.7.0", "signing in was given up"));
        }
        if STANDARD.decode(answer).is_err() {
            return self.mistake(NOT_BASE64);
        }
        if question == Question::User {
            return self.ask(Question::Password);
        }
        self.is_signed_in = true;
        self.reply((235, "2.7.0", "signed in"));
    }

    fn refuse(&mut self, error: &Error) {
        match error {
            Error::UnknownCommand => self.mistake(UNKNOWN),
            Error::InvalidSenderAddress => self.mistake((553, "5.1.7", "the sender is not an address")),
            Error::InvalidRecipientAddress => self.mistake((553, "5.1.3", "the recipient is not an address")),
            Error::UnsupportedParameter { .. } => {
                self.mistake((555, "5.5.4", "a parameter of the command is not offered"));
            }
            _ => self.mistake(SYNTAX),
        }
    }

    /// Replies to a command that is wrong. A client that does not speak SMTP, such as a browser, gets no second one.
    fn mistake(&mut self, reply: Reply) {
        self.reply(reply);
        self.mistakes += 1;
        if !self.is_greeted && reply == UNKNOWN {
            self.end("this is SMTP");
        } else if self.mistakes >= PATIENCE {
            self.end("too many mistakes");
        }
    }

    fn reply(&mut self, (code, enhanced, text): Reply) {
        self.line(code, &format!("{enhanced} {text}"));
    }

    fn line(&mut self, code: u16, text: &str) {
        self.replies.extend_from_slice(format!("{code} {text}\r\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn session() -> Session {
        Session::new(Limits { message_bytes: 1000, recipients: 3 }, Naming::Local)
    }

    /// What a dialogue has led to.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Talk {
        replies: String,
        messages: Vec<Delivery>,
        is_over: bool,
    }

    impl Talk {
        fn codes(&self) -> Vec<&str> {
            self.replies.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect()
        }

        fn last(&self) -> &str {
            self.replies.lines().last().unwrap()
        }
    }

    fn say(session: &mut Session, talk: &mut Talk, bytes: &[u8]) {
        let mut bytes = bytes.iter();
        loop {
            match session.advance(&mut bytes) {
                Step::Read => break,
                Step::End => {
                    talk.is_over = true;
                    break;
                }
                Step::Keep(delivery) => {
                    talk.messages.push(delivery);
                    session.kept(Outcome::Kept);
                }
            }
        }
        talk.replies += &String::from_utf8(session.replies()).unwrap();
    }

    fn talk(text: &str) -> Talk {
        let mut talk = Talk::default();
        say(&mut session(), &mut talk, text.as_bytes());
        talk
    }

    fn message(source: &str) -> Delivery {
        Delivery {
            sender: "a@x.test".to_owned(),
            recipients: vec!["b@x.test".to_owned()],
            source: source.as_bytes().to_vec(),
        }
    }

    const BEGIN: &str = "EHLO me\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n";

    #[test]
    fn a_message_is_handed_over_as_it_was_sent() {
        let talk = talk(&format!("{BEGIN}DATA\r\nSubject: x\r\n\r\n..dot\r\nend\r\n.\r\nQUIT\r\n"));
        assert_eq!(talk.messages, [message("Subject: x\r\n\r\n.dot\r\nend\r\n")]);
        assert_eq!(talk.codes(), ["220", "250", "250", "250", "354", "250", "221"]);
        assert!(talk.is_over);
    }

    #[test]
    fn an_empty_message_ends_at_its_first_dot() {
        assert_eq!(talk(&format!("{BEGIN}DATA\r\n.\r\n")).messages, [message("")]);
    }

    #[test]
    fn chunks_are_put_together_byte_by_byte() {
        let talk = talk(&format!("{BEGIN}BDAT 5\r\na\r\n.\rBDAT 3 LAST\r\n\n\r\n"));
        assert_eq!(talk.messages, [message("a\r\n.\r\n\r\n")]);
    }

    #[test]
    fn a_chunk_without_recipients_is_skipped_whole() {
        let talk = talk("EHLO me\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
        assert_eq!(talk.codes(), ["220", "250", "503", "250"]);
        assert!(talk.messages.is_empty() && !talk.is_over);
    }

    #[test]
    fn what_is_too_large_is_refused_and_the_session_continues() {
        let large = "x".repeat(1001);
        let announced = talk("EHLO me\r\nMAIL FROM:<a@x.test> SIZE=1001\r\n");
        assert!(announced.last().starts_with("552 "), "{announced:?}");
        let sent = talk(&format!("{BEGIN}DATA\r\n{large}\r\n.\r\nNOOP\r\n"));
        assert_eq!(sent.codes()[4..], ["354", "552", "250"]);
        let chunk = talk(&format!("{BEGIN}BDAT 1001 LAST\r\n{large}NOOP\r\n"));
        assert_eq!(chunk.codes()[4..], ["552", "250"]);
        let chunks = talk(&format!("{BEGIN}BDAT 600\r\n{0}BDAT 600 LAST\r\n{0}NOOP\r\n", "x".repeat(600)));
        assert_eq!(chunks.codes()[4..], ["250", "552", "250"]);
        for it in [announced, sent, chunk, chunks] {
            assert!(it.messages.is_empty());
        }
    }

    #[test]
    fn a_message_that_is_shed_is_refused_at_its_end() {
        for (begin, end) in [("DATA\r\nab", "cd\r\n.\r\nNOOP\r\n"), ("BDAT 6 LAST\r\nab", "cdefNOOP\r\n")] {
            let (mut session, mut talk) = (session(), Talk::default());
            say(&mut session, &mut talk, format!("{BEGIN}{begin}").as_bytes());
            session.shed();
            assert_eq!(session.held(), 0);
            say(&mut session, &mut talk, end.as_bytes());
            assert_eq!(talk.codes()[talk.codes().len() - 2..], ["452", "250"], "{talk:?}");
            assert!(talk.messages.is_empty());
        }
    }

    #[test]
    fn each_recipient_counts_once_and_there_are_not_too_many() {
        let more = ["b", "c", "d", "e"].map(|name| format!("RCPT TO:<{name}@x.test>\r\n")).concat();
        let talk = talk(&format!("{BEGIN}{more}DATA\r\n.\r\n"));
        assert_eq!(talk.codes()[4..], ["250", "250", "250", "452", "354", "250"]);
        assert_eq!(talk.messages[0].recipients, ["b@x.test", "c@x.test", "d@x.test"]);
    }

    #[test]
    fn parameters_of_the_offered_extensions_are_taken() {
        let talk = talk(
            "EHLO me\r\nMAIL FROM:<a@x.test> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=q1\r\n\
             RCPT TO:<jörg@x.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@x.test\r\n\
             RCPT TO:<\"a b\"@x.test>\r\nDATA\r\n.\r\n",
        );
        assert_eq!(talk.codes(), ["220", "250", "250", "250", "250", "354", "250"]);
        assert_eq!(talk.messages[0].recipients, ["jörg@x.test", "a b@x.test"]);
    }

    #[test]
    fn a_notice_about_a_delivery_has_no_sender() {
        let talk = talk("HELO me\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\n.\r\n");
        assert_eq!(talk.messages[0].sender, "");
        assert_eq!(talk.messages[0].recipients, ["postmaster"]);
    }

    #[test]
    fn every_name_and_password_is_right() {
        for exchange in [
            "AUTH PLAIN AGEAYg==\r\n",
            "AUTH PLAIN\r\nAGEAYg==\r\n",
            "AUTH LOGIN\r\nYQ==\r\nYg==\r\n",
            "AUTH LOGIN YQ==\r\nYg==\r\n",
        ] {
            let talk = talk(&format!("EHLO me\r\n{exchange}"));
            assert!(talk.last().starts_with("235 "), "{exchange}: {talk:?}");
        }
        for (exchange, code) in
            [("AUTH PLAIN ?\r\n", "501"), ("AUTH PLAIN\r\n*\r\n", "501"), ("AUTH CRAM-MD5\r\n", "504")]
        {
            let talk = talk(&format!("EHLO me\r\n{exchange}"));
            assert_eq!(talk.codes().last(), Some(&code), "{exchange}");
        }
    }

    #[test]
    fn commands_out_of_order_are_refused() {
        let cases = [
            ("MAIL FROM:<a@x.test>\r\n", "503"),
            ("EHLO me\r\nRCPT TO:<a@x.test>\r\n", "503"),
            ("EHLO me\r\nDATA\r\n", "503"),
            ("EHLO me\r\nMAIL FROM:<a@x.test>\r\nMAIL FROM:<a@x.test>\r\n", "503"),
            ("EHLO me\r\nSTARTTLS\r\n", "502"),
            ("EHLO me\r\nMAIL FROM:a@x.test\r\n", "501"),
            ("EHLO me\r\nMAIL FROM:<a@x.test> WHAT=1\r\n", "555"),
            ("EHLO me\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b>\r\n", "553"),
            ("EHLO me\r\nRUBBISH\r\n", "500"),
        ];
        for (text, code) in cases {
            assert_eq!(talk(text).codes().last(), Some(&code), "{text}");
        }
        let reset = talk(&format!("{BEGIN}RSET\r\nDATA\r\n"));
        assert_eq!(reset.codes()[4..], ["250", "503"]);
    }

    #[test]
    fn a_dot_without_its_line_breaks_ends_no_message() {
        let smuggled = "MAIL FROM:<evil@x.test>\r\nRCPT TO:<c@x.test>\r\nDATA\r\n";
        for end in ["\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r"] {
            let talk = talk(&format!("{BEGIN}DATA\r\nx{end}{smuggled}y\r\n.\r\n"));
            assert_eq!(talk.messages.len(), 1, "{end:?}");
            assert_eq!(talk.messages[0].recipients, ["b@x.test"]);
        }
    }

    #[test]
    fn a_browser_is_turned_away_before_its_form_is_read() {
        let talk = talk(&format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n{BEGIN}DATA\r\n.\r\n"));
        assert!(talk.is_over && talk.messages.is_empty());
        assert_eq!(talk.codes(), ["220", "500", "421"]);
    }

    #[test]
    fn a_session_of_mistakes_ends() {
        assert!(talk(&format!("EHLO me\r\n{}", "RUBBISH\r\n".repeat(19))).last().starts_with("500 "));
        let talk = talk(&format!("EHLO me\r\n{}", "RUBBISH\r\n".repeat(30)));
        assert!(talk.is_over && talk.last().starts_with("421 "));
    }

    #[test]
    fn a_line_that_is_too_long_is_one_mistake() {
        let (mut session, mut talk) = (session(), Talk::default());
        let text = format!("EHLO me\r\nNOOP {}\r\nNOOP\r\n", "x".repeat(50_000));
        for part in text.as_bytes().chunks(4096) {
            say(&mut session, &mut talk, part);
        }
        assert_eq!(talk.codes(), ["220", "250", "500", "250"]);
    }

    /// Lines of a client that knows SMTP, and of one that does not.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let known = prop::sample::select(vec![
            "EHLO me\r\n",
            "HELO me\n",
            "MAIL FROM:<a@x.test>\r\n",
            "MAIL FROM:<> BODY=8BITMIME\r\n",
            "mail from: <a@x.test> SIZE=99999999999999999999\r\n",
            "RCPT TO:<b@x.test>\r\n",
            "RCPT TO:<\"a\\\"b\"@x.test> NOTIFY=NEVER\r\n",
            "RCPT TO:<a\0b@x.test>\r\n",
            "RCPT TO:\r\n",
            "DATA\r\n",
            "Subject: a\r\n b\r\n\r\n",
            ".\r\n",
            "..\r\n",
            "\n.\n",
            "\r",
            "BDAT 0\r\n",
            "BDAT 7\r\n",
            "BDAT 7 LAST\r\n",
            "BDAT 1500\r\n",
            "AUTH PLAIN\r\n",
            "AUTH LOGIN\r\n",
            "AUTH LOGIN YQ==\r\n",
            "AGEAYg==\r\n",
            "*\r\n",
            "RSET\r\n",
            "NOOP\r\n",
            "VRFY a\r\n",
            "HELP\r\n",
            "STARTTLS\r\n",
            "BURL x LAST\r\n",
            "ATRN a,b\r\n",
        ]);
        prop_oneof![
            8 => known.prop_map(|text| text.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..200),
            1 => (4000_usize..9000).prop_map(|length| [vec![b'x'; length], b"\r\n".to_vec()].concat()),
        ]
    }

    /// Whether all are lines of replies, each with the beginning of the one before if it continues that.
    fn are_replies(text: &str) -> bool {
        let is_reply = |line: &str| {
            let bytes = line.as_bytes();
            bytes.len() >= 4
                && b"2345".contains(&bytes[0])
                && bytes[1..3].iter().all(u8::is_ascii_digit)
                && b" -".contains(&bytes[3])
                && line.is_ascii()
                && !line.contains('\r')
        };
        text.is_empty() || (text.ends_with("\r\n") && text[..text.len() - 2].split("\r\n").all(is_reply))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_dialogue_breaks_a_session_or_fills_the_memory(
            lines in prop::collection::vec(line(), 0..40),
            size in 1_usize..4096,
        ) {
            let (mut session, mut talk) = (session(), Talk::default());
            for part in lines.concat().chunks(size) {
                say(&mut session, &mut talk, part);
                // The limit, what may come at once, and the growth of a vector.
                prop_assert!(session.held() <= 2 * (1000 + 4096));
            }
            prop_assert!(are_replies(&talk.replies), "{}", talk.replies);
            for message in &talk.messages {
                prop_assert!(message.source.len() <= 1000 && (1..=3).contains(&message.recipients.len()));
                for address in message.recipients.iter().chain([&message.sender]) {
                    prop_assert!(!address.chars().any(char::is_control), "{address:?}");
                }
            }
        }

        #[test]
        fn every_dialogue_can_be_ended(lines in prop::collection::vec(line(), 0..40)) {
            let (mut session, mut talk) = (session(), Talk::default());
            for part in lines.concat().chunks(4096) {
                say(&mut session, &mut talk, part);
            }
            // Longer than any chunk that was begun.
            for part in b"\r\n.\r\n".repeat(400).chunks(4096) {
                say(&mut session, &mut talk, part);
            }
            say(&mut session, &mut talk, b"\r\nQUIT\r\nQUIT\r\n");
            prop_assert!(talk.is_over, "{}", talk.replies);
        }

        #[test]
        fn it_does_not_matter_in_which_pieces_a_dialogue_comes(
            lines in prop::collection::vec(line().prop_filter("one line", |line| line.len() < 4000), 0..20),
            size in 1_usize..50,
        ) {
            let bytes = lines.concat();
            let (mut whole, mut pieces) = (Talk::default(), Talk::default());
            let (mut first, mut second) = (session(), session());
            for part in bytes.chunks(4096) {
                say(&mut first, &mut whole, part);
            }
            for part in bytes.chunks(size) {
                say(&mut second, &mut pieces, part);
            }
            prop_assert_eq!(whole, pieces);
        }
    }
}
