-- Jobs may be updates. Earlier programs would give them to agents as installs, so they must not open such a file. Of a
-- boot: whether its agent adds a kernel to an image that has none.
-- +goose Up
ALTER TABLE boots ADD COLUMN kernel INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 6;
