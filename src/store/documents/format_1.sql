CREATE TABLE library (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT,
    documents INTEGER NOT NULL DEFAULT 0,
    chunks INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE document (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    library INTEGER NOT NULL,
    title TEXT NOT NULL,
    metadata TEXT NOT NULL,
    chunks INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX document_library ON document (library, number);

-- A text in pieces, each with what stands between it and the piece before. The title is with the
-- first piece, so that it is searched once.
CREATE TABLE chunk (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL,
    part INTEGER NOT NULL,
    glue TEXT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX chunk_document ON chunk (document, part);

-- Changes whose event is not in its topic's log yet.
CREATE TABLE change (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    library BLOB NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;

-- Imports that run in the background, and the lines they have still to read.
CREATE TABLE import (
    job TEXT PRIMARY KEY,
    library BLOB NOT NULL,
    total INTEGER NOT NULL,
    successful INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    is_whole INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE line (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX line_job ON line (job, number);
