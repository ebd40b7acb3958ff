CREATE TABLE reads (
    topic TEXT PRIMARY KEY, epoch TEXT NOT NULL, seq INTEGER NOT NULL, until_ms INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT;
CREATE INDEX reads_by_age ON reads (until_ms);
