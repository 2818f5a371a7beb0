-- The keys of boots that began an install and have not ended it: where the install keeps a pool, the system of before
-- already checks in with such a key when the power fails.
-- +goose Up
CREATE TABLE begun (machine TEXT NOT NULL REFERENCES machines(id) ON DELETE CASCADE, key TEXT NOT NULL, job TEXT NOT NULL, time INTEGER NOT NULL, PRIMARY KEY (machine, key)) STRICT;
CREATE INDEX begun_key ON begun (key);
PRAGMA user_version = 8;
