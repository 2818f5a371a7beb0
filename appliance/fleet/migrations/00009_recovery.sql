-- The keys by which the encrypted partitions of machines are opened where nothing else opens them, sealed with the key
-- that seals settings. given is when a boot got one last for new partitions, and job is for which. One with renew takes
-- no more of them: the next install that makes some gets another key.
-- +goose Up
CREATE TABLE recovery (id INTEGER PRIMARY KEY, machine TEXT NOT NULL REFERENCES machines(id) ON DELETE CASCADE, sealed BLOB NOT NULL, made INTEGER NOT NULL, given INTEGER NOT NULL, job TEXT NOT NULL, renew INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX recovery_machine ON recovery (machine);
PRAGMA user_version = 9;
