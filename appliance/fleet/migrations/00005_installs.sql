-- The key of the boot that carried out a machine's last install: the installed system checks in with it.
-- +goose Up
CREATE TABLE installs (machine TEXT PRIMARY KEY REFERENCES machines(id) ON DELETE CASCADE, key TEXT NOT NULL, job TEXT NOT NULL, time INTEGER NOT NULL) STRICT;
CREATE INDEX installs_key ON installs (key);
PRAGMA user_version = 5;
