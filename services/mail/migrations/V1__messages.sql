-- What was sent, once for all who received it.
CREATE TABLE content (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source bytea COMPRESSION lz4 NOT NULL,
    copies bigint NOT NULL
);

-- A copy for one recipient. What lists need is in columns: the source is read for a single message only.
CREATE TABLE message (
    -- Its name for programs, which no other session of the same image has.
    id uuid PRIMARY KEY,
    -- The order of arrival.
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    content bigint NOT NULL REFERENCES content,
    mailbox text NOT NULL,
    -- The envelope.
    sender text NOT NULL,
    recipient text NOT NULL,
    -- The header.
    from_line text NOT NULL,
    to_lines text[] NOT NULL,
    subject text NOT NULL,
    received timestamptz NOT NULL,
    size bigint NOT NULL,
    seen boolean NOT NULL DEFAULT false
);

CREATE INDEX message_of_mailbox ON message (mailbox, number);
CREATE INDEX message_of_content ON message (content);

-- Content goes with its last copy. The rows are locked in their order, so that two deletions cannot wait for each other.
CREATE FUNCTION release() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM mail.content WHERE number IN (SELECT content FROM gone) ORDER BY number FOR UPDATE;
    UPDATE mail.content c SET copies = c.copies - g.copies
        FROM (SELECT content, count(*) AS copies FROM gone GROUP BY content) g WHERE c.number = g.content;
    DELETE FROM mail.content WHERE copies <= 0 AND number IN (SELECT content FROM gone);
    RETURN NULL;
END
$$;

CREATE TRIGGER release AFTER DELETE ON message
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION release();
