-- Keys are bytes: their order is that of the listings, and no key is special to the database.
CREATE TABLE bucket (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created timestamptz NOT NULL DEFAULT date_trunc('second', now()),
    versioning text NOT NULL DEFAULT 'off' CHECK (versioning IN ('off', 'enabled', 'suspended')),
    locks boolean NOT NULL DEFAULT false
);

-- What is only kept and given back, or read by the service as a whole: policy, rules for other origins, lifecycle and so on.
CREATE TABLE bucket_setting (
    bucket bigint NOT NULL REFERENCES bucket ON DELETE CASCADE,
    name text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (bucket, name)
);

-- Orders the versions of a key, also those of one moment.
CREATE SEQUENCE revision;

-- A version of an object, or a delete marker. The content is in the row or in files, whose sizes are beside their names.
CREATE TABLE object (
    bucket bigint NOT NULL REFERENCES bucket,
    key bytea NOT NULL,
    revision bigint NOT NULL DEFAULT nextval('s3.revision'),
    version text NOT NULL,
    latest boolean NOT NULL,
    marker boolean NOT NULL DEFAULT false,
    modified timestamptz NOT NULL DEFAULT date_trunc('second', now()),
    size bigint NOT NULL DEFAULT 0,
    etag text NOT NULL DEFAULT '',
    content bytea,
    files uuid[] NOT NULL DEFAULT '{}',
    sizes bigint[] NOT NULL DEFAULT '{}',
    head text NOT NULL DEFAULT '{}',
    tags text NOT NULL DEFAULT '[]',
    acl text NOT NULL DEFAULT '',
    lock_mode text,
    lock_until timestamptz,
    legal_hold boolean NOT NULL DEFAULT false
);
-- Most content does not get smaller, and trying costs more than reading it.
ALTER TABLE object ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX object_revision ON object (bucket, key, revision DESC);
CREATE UNIQUE INDEX object_latest ON object (bucket, key) WHERE latest;

CREATE TABLE upload (
    id text PRIMARY KEY,
    bucket bigint NOT NULL REFERENCES bucket,
    key bytea NOT NULL,
    started timestamptz NOT NULL DEFAULT date_trunc('second', now()),
    head text NOT NULL,
    tags text NOT NULL,
    acl text NOT NULL,
    lock_mode text,
    lock_until timestamptz,
    legal_hold boolean NOT NULL DEFAULT false
);
CREATE INDEX upload_key ON upload (bucket, key, id);

CREATE TABLE part (
    upload text NOT NULL REFERENCES upload ON DELETE CASCADE,
    number integer NOT NULL,
    modified timestamptz NOT NULL DEFAULT date_trunc('second', now()),
    size bigint NOT NULL,
    etag text NOT NULL,
    checksums text NOT NULL,
    file uuid NOT NULL,
    PRIMARY KEY (upload, number)
);

-- Every statement below is one transaction of its caller: it changes all or nothing, and what it answers is on the disk.

-- Takes turns with all others that change the same key.
CREATE FUNCTION take_turn(of_bucket bigint, of_key bytea) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(encode(of_key, 'hex'), of_bucket))
$$;

-- Removes the version `null` of a key, and returns its files.
CREATE FUNCTION remove_null_version(of_bucket bigint, of_key bytea) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    stale uuid[];
BEGIN
    DELETE FROM s3.object WHERE bucket = of_bucket AND key = of_key AND version = 'null' RETURNING files INTO stale;
    RETURN coalesce(stale, '{}');
END $$;

-- Puts an object. `outcome` is `ok`, `no bucket`, `no key` or `precondition`.
CREATE FUNCTION put_object(
    in_bucket text, in_key bytea, in_version text, in_size bigint, in_etag text, in_content bytea, in_files uuid[],
    in_sizes bigint[], in_head text, in_tags text, in_acl text, in_lock_mode text, in_lock_until timestamptz,
    in_legal_hold boolean, if_match text, if_none_match text,
    OUT outcome text, OUT version text, OUT stale uuid[]
) LANGUAGE plpgsql AS $$
DECLARE
    home record;
    current record;
    is_there boolean;
BEGIN
    SELECT id, versioning INTO home FROM s3.bucket WHERE name = in_bucket FOR KEY SHARE;
    IF NOT FOUND THEN
        outcome := 'no bucket';
        RETURN;
    END IF;
    PERFORM s3.take_turn(home.id, in_key);
    SELECT o.etag, o.marker INTO current FROM s3.object o WHERE o.bucket = home.id AND o.key = in_key AND o.latest;
    is_there := FOUND AND NOT current.marker;
    IF if_match IS NOT NULL THEN
        IF NOT is_there THEN
            outcome := 'no key';
            RETURN;
        ELSIF if_match <> '*' AND if_match <> current.etag THEN
            outcome := 'precondition';
            RETURN;
        END IF;
    END IF;
    IF if_none_match IS NOT NULL AND is_there AND (if_none_match = '*' OR if_none_match = current.etag) THEN
        outcome := 'precondition';
        RETURN;
    END IF;
    stale := '{}';
    version := in_version;
    IF home.versioning <> 'enabled' THEN
        version := 'null';
        stale := s3.remove_null_version(home.id, in_key);
    END IF;
    IF home.versioning <> 'off' THEN
        UPDATE s3.object o SET latest = false WHERE o.bucket = home.id AND o.key = in_key AND o.latest;
    END IF;
    INSERT INTO s3.object (
        bucket, key, version, latest, size, etag, content, files, sizes, head, tags, acl, lock_mode, lock_until, legal_hold
    ) VALUES (
        home.id, in_key, put_object.version, true, in_size, in_etag, in_content, in_files, in_sizes, in_head, in_tags, in_acl,
        in_lock_mode, in_lock_until, in_legal_hold
    );
    outcome := 'ok';
    IF home.versioning <> 'enabled' THEN
        version := NULL;
    END IF;
END $$;

-- Deletes an object, or one version of it. `outcome` is `ok`, `no bucket`, `no key`, `locked` or `precondition`.
CREATE FUNCTION delete_object(
    in_bucket text, in_key bytea, in_version text, fresh_version text, may_bypass boolean, if_match text,
    if_modified timestamptz, if_size bigint,
    OUT outcome text, OUT version text, OUT marker boolean, OUT stale uuid[]
) LANGUAGE plpgsql AS $$
DECLARE
    home record;
    found_row record;
BEGIN
    stale := '{}';
    marker := false;
    SELECT id, versioning INTO home FROM s3.bucket WHERE name = in_bucket FOR KEY SHARE;
    IF NOT FOUND THEN
        outcome := 'no bucket';
        RETURN;
    END IF;
    PERFORM s3.take_turn(home.id, in_key);
    SELECT o.* INTO found_row FROM s3.object o
    WHERE o.bucket = home.id AND o.key = in_key
        AND CASE WHEN in_version IS NULL THEN o.latest ELSE o.version = in_version END;
    IF if_match IS NOT NULL OR if_modified IS NOT NULL OR if_size IS NOT NULL THEN
        IF NOT FOUND OR found_row.marker THEN
            outcome := 'no key';
            RETURN;
        ELSIF (if_match <> '*' AND if_match <> found_row.etag) OR if_modified <> found_row.modified
            OR if_size <> found_row.size
        THEN
            outcome := 'precondition';
            RETURN;
        END IF;
    END IF;
    outcome := 'ok';
    IF in_version IS NOT NULL THEN
        version := in_version;
        IF found_row.revision IS NULL THEN
            RETURN;
        END IF;
        IF found_row.legal_hold OR (
            found_row.lock_until > now() AND NOT (may_bypass AND found_row.lock_mode = 'GOVERNANCE')
        ) THEN
            outcome := 'locked';
            RETURN;
        END IF;
        marker := found_row.marker;
        stale := found_row.files;
        DELETE FROM s3.object o WHERE o.bucket = home.id AND o.key = in_key AND o.revision = found_row.revision;
        IF found_row.latest THEN
            UPDATE s3.object o SET latest = true
            WHERE o.bucket = home.id AND o.key = in_key AND o.revision = (
                SELECT max(i.revision) FROM s3.object i WHERE i.bucket = home.id AND i.key = in_key
            );
        END IF;
        RETURN;
    END IF;
    IF home.versioning = 'off' THEN
        stale := s3.remove_null_version(home.id, in_key);
        RETURN;
    END IF;
    marker := true;
    version := fresh_version;
    IF home.versioning = 'suspended' THEN
        version := 'null';
        stale := s3.remove_null_version(home.id, in_key);
    END IF;
    UPDATE s3.object o SET latest = false WHERE o.bucket = home.id AND o.key = in_key AND o.latest;
    INSERT INTO s3.object (bucket, key, version, latest, marker)
    VALUES (home.id, in_key, delete_object.version, true, true);
END $$;

-- Makes an object of an upload. Files of parts that are not in it are stale.
CREATE FUNCTION complete_upload(
    in_upload text, in_version text, in_size bigint, in_etag text, in_files uuid[], in_sizes bigint[], in_head text,
    if_match text, if_none_match text,
    OUT outcome text, OUT version text, OUT stale uuid[]
) LANGUAGE plpgsql AS $$
DECLARE
    open record;
    unused uuid[];
BEGIN
    SELECT u.*, b.name AS home INTO open FROM s3.upload u JOIN s3.bucket b ON b.id = u.bucket
    WHERE u.id = in_upload FOR UPDATE OF u;
    IF NOT FOUND THEN
        outcome := 'no upload';
        RETURN;
    END IF;
    SELECT coalesce(array_agg(p.file) FILTER (WHERE p.file <> ALL (in_files)), '{}') INTO unused
    FROM s3.part p WHERE p.upload = in_upload;
    -- A part that was uploaded again meanwhile has another file.
    IF EXISTS (
        SELECT FROM unnest(in_files) AS used (file)
        WHERE NOT EXISTS (SELECT FROM s3.part p WHERE p.upload = in_upload AND p.file = used.file)
    ) THEN
        outcome := 'no part';
        RETURN;
    END IF;
    SELECT p.outcome, p.version, p.stale INTO outcome, version, stale FROM s3.put_object(
        open.home, open.key, in_version, in_size, in_etag, NULL, in_files, in_sizes, in_head, open.tags, open.acl,
        open.lock_mode, open.lock_until, open.legal_hold, if_match, if_none_match
    ) p;
    IF outcome = 'ok' THEN
        stale := stale || unused;
        DELETE FROM s3.upload WHERE id = in_upload;
    END IF;
END $$;

-- Puts a part, and returns the file of the one that it replaces. Without an upload there is no row.
CREATE FUNCTION put_part(
    in_upload text, in_number integer, in_size bigint, in_etag text, in_checksums text, in_file uuid
) RETURNS SETOF uuid[] LANGUAGE plpgsql AS $$
DECLARE
    stale uuid[];
BEGIN
    PERFORM FROM s3.upload WHERE id = in_upload FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(in_upload, in_number));
    DELETE FROM s3.part WHERE upload = in_upload AND number = in_number RETURNING ARRAY[file] INTO stale;
    INSERT INTO s3.part (upload, number, size, etag, checksums, file)
    VALUES (in_upload, in_number, in_size, in_etag, in_checksums, in_file);
    RETURN NEXT coalesce(stale, '{}');
END $$;
