-- One row a task, overwritten by every run: what the status page shows, and nothing that grows.
CREATE TABLE "CronTask" (
    "name"          text        PRIMARY KEY,
    "runs"          bigint      NOT NULL,
    "lastRunAt"     timestamptz NOT NULL,
    "lastDurationMillis" double precision NOT NULL,
    "lastSummary"   text        NOT NULL
);
