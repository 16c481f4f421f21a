CREATE TABLE "ProjectUser" (
    "id"             uuid        PRIMARY KEY,
    -- The order of pages: unlike a time it never repeats, and unlike a row's id it grows.
    "ordinal"        bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    "projectId"      text        NOT NULL REFERENCES "Project" ("id") ON DELETE CASCADE,
    -- Lower case; the program normalises before it writes or looks up.
    "primaryEmail"   text        NOT NULL,
    "displayName"    text,
    -- A PHC string; null for a user that the server made without a password, who cannot sign in with one.
    "passwordHash"   text,
    -- Only for users of the project `internal`: may use the dashboard.
    "isDashboardAdmin" boolean   NOT NULL DEFAULT false,
    "createdAt"      timestamptz NOT NULL DEFAULT now(),
    "lastSignedInAt" timestamptz,
    UNIQUE ("projectId", "primaryEmail")
);
CREATE INDEX "ProjectUser_page" ON "ProjectUser" ("projectId", "ordinal" DESC);

CREATE TABLE "Session" (
    "id"               uuid        PRIMARY KEY,
    "userId"           uuid        NOT NULL REFERENCES "ProjectUser" ("id") ON DELETE CASCADE,
    "refreshTokenHash" bytea       NOT NULL UNIQUE,
    "createdAt"        timestamptz NOT NULL DEFAULT now(),
    "expiresAt"        timestamptz NOT NULL
);
CREATE INDEX "Session_user" ON "Session" ("userId");
CREATE INDEX "Session_expiry" ON "Session" ("expiresAt");

CREATE TABLE "AccessToken" (
    "tokenHash" bytea       PRIMARY KEY,
    "sessionId" uuid        NOT NULL REFERENCES "Session" ("id") ON DELETE CASCADE,
    "expiresAt" timestamptz NOT NULL
);
CREATE INDEX "AccessToken_session" ON "AccessToken" ("sessionId");
CREATE INDEX "AccessToken_expiry" ON "AccessToken" ("expiresAt");
