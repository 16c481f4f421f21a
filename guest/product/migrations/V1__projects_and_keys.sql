-- Names are those that the rotation of secrets and the command-line tools know: quoted, in camel case.

CREATE TABLE "Project" (
    "id"             text        PRIMARY KEY,
    "displayName"    text        NOT NULL,
    -- A path on the developer's machine, never read in here: it is only what makes a project the same project again.
    "configFilePath" text        UNIQUE,
    "createdAt"      timestamptz NOT NULL DEFAULT now()
);

-- Keys are kept as they are, not hashed: tools ask for a project's keys again and again and must get the same ones.
CREATE TABLE "ApiKeySet" (
    "projectId"           text        PRIMARY KEY REFERENCES "Project" ("id") ON DELETE CASCADE,
    "publishableClientKey" text       NOT NULL,
    "secretServerKey"     text        NOT NULL,
    "superSecretAdminKey" text        NOT NULL,
    "createdAt"           timestamptz NOT NULL DEFAULT now()
);
