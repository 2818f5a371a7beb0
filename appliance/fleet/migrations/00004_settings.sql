-- What operators set for single machines, sealed with a key that is not in this file. Of a boot: whether its agent asks
-- for settings, and the job whose settings it got last.
-- +goose Up
CREATE TABLE settings (machine TEXT PRIMARY KEY REFERENCES machines(id) ON DELETE CASCADE, sealed BLOB NOT NULL, changed INTEGER NOT NULL) STRICT;
ALTER TABLE boots ADD COLUMN settings INTEGER NOT NULL DEFAULT 0;
ALTER TABLE boots ADD COLUMN given TEXT NOT NULL DEFAULT '';
PRAGMA user_version = 4;
