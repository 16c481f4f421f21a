//! What is in the database: one statement, one answer.

use service_kit::database::{Database, DatabaseError};
use time::OffsetDateTime;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::settings::Keep;

/// From this size on a message may take longer than other statements.
const LARGE: usize = 1 << 20;

/// What is known of a message without reading it.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) id: Uuid,
    pub(crate) mailbox: String,
    /// The envelope's sender; empty for a notice about a delivery.
    pub(crate) sender: String,
    /// The envelope's recipient that this copy is for.
    pub(crate) recipient: String,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) subject: String,
    pub(crate) received: OffsetDateTime,
    pub(crate) size: i64,
    pub(crate) seen: bool,
}

const COLUMNS: &str = "id, mailbox, sender, recipient, from_line, to_lines, subject, received, size, seen";

impl Summary {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            mailbox: row.try_get(1)?,
            sender: row.try_get(2)?,
            recipient: row.try_get(3)?,
            from: row.try_get(4)?,
            to: row.try_get(5)?,
            subject: row.try_get(6)?,
            received: row.try_get(7)?,
            size: row.try_get(8)?,
            seen: row.try_get(9)?,
        })
    }

    fn all(rows: &[Row]) -> Result<Vec<Self>, DatabaseError> {
        Ok(rows.iter().map(Self::of).collect::<Result<_, _>>()?)
    }
}

/// Which message of a mailbox is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one with this name.
    Id(Uuid),
    /// The newest.
    Latest,
}

/// A mailbox, as an overview shows it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) name: String,
    pub(crate) messages: i64,
    pub(crate) unseen: i64,
    pub(crate) latest: OffsetDateTime,
}

/// Keeps copies of one message, all or none.
pub(crate) async fn insert(
    database: &Database,
    copies: &[Summary],
    source: &[u8],
) -> Result<(), DatabaseError> {
    const SQL: &str = "WITH kept AS (
             INSERT INTO mail.content (source, copies) VALUES ($1, cardinality($2::uuid[])) RETURNING number
         )
         INSERT INTO mail.message
             (id, content, mailbox, recipient, sender, from_line, to_lines, subject, received, size)
         SELECT given.id, kept.number, given.mailbox, given.recipient,
                $5::text, $6::text, $7::text[], $8::text, $9::timestamptz, $10::bigint
         FROM kept, unnest($2::uuid[], $3::text[], $4::text[]) AS given (id, mailbox, recipient)";
    let Some(first) = copies.first() else { return Ok(()) };
    let ids: Vec<Uuid> = copies.iter().map(|copy| copy.id).collect();
    let mailboxes: Vec<&str> = copies.iter().map(|copy| copy.mailbox.as_str()).collect();
    let recipients: Vec<&str> = copies.iter().map(|copy| copy.recipient.as_str()).collect();
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &source,
        &ids,
        &mailboxes,
        &recipients,
        &first.sender,
        &first.from,
        &first.to,
        &first.subject,
        &first.received,
        &first.size,
    ];
    if source.len() < LARGE {
        database.execute(SQL, &parameters).await?;
        return Ok(());
    }
    let mut connection = database.connection().await?;
    let transaction = connection.transaction().await?;
    transaction.batch_execute("SET LOCAL statement_timeout = '60s'").await?;
    transaction.execute(SQL, &parameters).await?;
    Ok(transaction.commit().await?)
}

/// Returns all messages of a mailbox, the oldest first.
pub(crate) async fn list(database: &Database, mailbox: &str) -> Result<Vec<Summary>, DatabaseError> {
    let sql = format!("SELECT {COLUMNS} FROM mail.message WHERE mailbox = $1 ORDER BY number");
    Summary::all(&database.query(&sql, &[&mailbox]).await?)
}

/// Returns the newest messages of a mailbox or of all, the newest first.
pub(crate) async fn newest(
    database: &Database,
    mailbox: Option<&str>,
    limit: i64,
) -> Result<Vec<Summary>, DatabaseError> {
    let rows = if let Some(mailbox) = mailbox {
        let sql =
            format!("SELECT {COLUMNS} FROM mail.message WHERE mailbox = $1 ORDER BY number DESC LIMIT $2");
        database.query(&sql, &[&mailbox, &limit]).await?
    } else {
        let sql = format!("SELECT {COLUMNS} FROM mail.message ORDER BY number DESC LIMIT $1");
        database.query(&sql, &[&limit]).await?
    };
    Summary::all(&rows)
}

/// Returns at most `limit` mailboxes, that with the newest message first.
pub(crate) async fn mailboxes(database: &Database, limit: i64) -> Result<Vec<Mailbox>, DatabaseError> {
    let sql = "SELECT mailbox, count(*), count(*) FILTER (WHERE NOT seen), max(received) FROM mail.message
               GROUP BY mailbox ORDER BY max(number) DESC LIMIT $1";
    let rows = database.query(sql, &[&limit]).await?;
    let mailbox = |row: &Row| {
        Ok(Mailbox {
            name: row.try_get(0)?,
            messages: row.try_get(1)?,
            unseen: row.try_get(2)?,
            latest: row.try_get(3)?,
        })
    };
    Ok(rows.iter().map(mailbox).collect::<Result<_, tokio_postgres::Error>>()?)
}

/// Returns a message with its source.
pub(crate) async fn find(
    database: &Database,
    mailbox: &str,
    which: Which,
) -> Result<Option<(Summary, Vec<u8>)>, DatabaseError> {
    let from = "mail.message JOIN mail.content ON content.number = message.content WHERE mailbox = $1";
    let row = match which {
        Which::Id(id) => {
            let sql = format!("SELECT {COLUMNS}, source FROM {from} AND id = $2");
            database.query_opt(&sql, &[&mailbox, &id]).await?
        }
        Which::Latest => {
            let sql = format!("SELECT {COLUMNS}, source FROM {from} ORDER BY message.number DESC LIMIT 1");
            database.query_opt(&sql, &[&mailbox]).await?
        }
    };
    Ok(row.map(|row| Ok::<_, tokio_postgres::Error>((Summary::of(&row)?, row.try_get(10)?))).transpose()?)
}

/// Remembers that a message was seen. Returns whether there is one.
pub(crate) async fn see(database: &Database, mailbox: &str, id: Uuid) -> Result<bool, DatabaseError> {
    let sql = "UPDATE mail.message SET seen = true WHERE mailbox = $1 AND id = $2";
    Ok(database.execute(sql, &[&mailbox, &id]).await? > 0)
}

/// Deletes a message, and returns it.
pub(crate) async fn delete(
    database: &Database,
    mailbox: &str,
    id: Uuid,
) -> Result<Vec<(String, Uuid)>, DatabaseError> {
    let sql = "DELETE FROM mail.message WHERE mailbox = $1 AND id = $2 RETURNING mailbox, id";
    gone(&database.query(sql, &[&mailbox, &id]).await?)
}

/// Deletes all messages of a mailbox, and returns them.
pub(crate) async fn purge(database: &Database, mailbox: &str) -> Result<Vec<(String, Uuid)>, DatabaseError> {
    let sql = "DELETE FROM mail.message WHERE mailbox = $1 RETURNING mailbox, id";
    gone(&database.query(sql, &[&mailbox]).await?)
}

/// Deletes what is more than is kept, and returns it. The newest message always stays, however large it is.
pub(crate) async fn prune(database: &Database, keep: &Keep) -> Result<Vec<(String, Uuid)>, DatabaseError> {
    let sql = "WITH place AS (
                   SELECT number, size, row_number() OVER (PARTITION BY mailbox ORDER BY number DESC) AS of_mailbox
                   FROM mail.message WHERE received >= now() - make_interval(days => $4)
               ), place_of_all AS (
                   SELECT number, row_number() OVER newest AS of_all, sum(size) OVER newest AS bytes
                   FROM place WHERE of_mailbox <= $1 WINDOW newest AS (ORDER BY number DESC)
               )
               DELETE FROM mail.message WHERE number NOT IN (
                   SELECT number FROM place_of_all WHERE of_all <= $2 AND (of_all = 1 OR bytes <= $3::bigint)
               )
               RETURNING mailbox, id";
    gone(&database.query(sql, &[&keep.per_mailbox, &keep.messages, &keep.bytes, &keep.days]).await?)
}

fn gone(rows: &[Row]) -> Result<Vec<(String, Uuid)>, DatabaseError> {
    let name = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    Ok(rows.iter().map(name).collect::<Result<_, tokio_postgres::Error>>()?)
}
