-- What operators keep about machines: groups, and in the document of each machine its group, tags, place and note.
-- listing has what lists are chosen by, one row for each machine. It is made of the other tables: due is when it has to
-- be made again, 0 for at once. Text in it is in lower case, except name. Of an event: who caused it.
-- +goose Up
CREATE TABLE groups (name TEXT PRIMARY KEY, data TEXT NOT NULL, sealed BYTEA, changed BIGINT NOT NULL);
CREATE TABLE listing (machine TEXT PRIMARY KEY REFERENCES machines(id) ON DELETE CASCADE, name TEXT NOT NULL DEFAULT '', due BIGINT NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT '', since BIGINT NOT NULL DEFAULT 0, was TEXT NOT NULL DEFAULT '', status TEXT NOT NULL DEFAULT '', grp TEXT NOT NULL DEFAULT '', role TEXT NOT NULL DEFAULT '', place TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '', image TEXT NOT NULL DEFAULT '', model TEXT NOT NULL DEFAULT '', uuid TEXT NOT NULL DEFAULT '', serial TEXT NOT NULL DEFAULT '', root TEXT NOT NULL DEFAULT '', reset TEXT NOT NULL DEFAULT '', agent TEXT NOT NULL DEFAULT '', words TEXT NOT NULL DEFAULT '', job TEXT NOT NULL DEFAULT '', interrupted INTEGER NOT NULL DEFAULT 0);
CREATE INDEX listing_name ON listing (name);
CREATE INDEX listing_due ON listing (due);
CREATE INDEX listing_state ON listing (state, name);
CREATE INDEX listing_grp ON listing (grp, name);
CREATE TABLE tags (machine TEXT NOT NULL REFERENCES machines(id) ON DELETE CASCADE, tag TEXT NOT NULL, PRIMARY KEY (machine, tag));
CREATE INDEX tags_tag ON tags (tag);
INSERT INTO listing (machine) SELECT id FROM machines WHERE true;
ALTER TABLE events ADD COLUMN who TEXT NOT NULL DEFAULT '';
PRAGMA user_version = 11;
