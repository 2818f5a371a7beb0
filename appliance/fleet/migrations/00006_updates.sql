-- Jobs may be updates. Earlier programs would give them to agents as installs, so they must not open such a file.
-- +goose Up
PRAGMA user_version = 6;
