-- What machines keep here while they carry out a job, for the boot after a crash. recorded has how much that is of each
-- job. Jobs may have layouts, which earlier programs would give to agents as installs on no disk, so they must not open
-- such a file. Of a boot: whether its agent carries out layouts.
-- +goose Up
ALTER TABLE boots ADD COLUMN layout INTEGER NOT NULL DEFAULT 0;
CREATE TABLE recorded (job TEXT PRIMARY KEY REFERENCES jobs(id) ON DELETE CASCADE, count INTEGER NOT NULL, bytes INTEGER NOT NULL, changed INTEGER NOT NULL) STRICT;
CREATE TABLE records (job TEXT NOT NULL REFERENCES recorded(job) ON DELETE CASCADE, number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (job, number)) STRICT;
PRAGMA user_version = 7;
