-- Times are microseconds since 1970 in UTC; 0 is none. Lists are JSON. This is SQL that PostgreSQL has too.
-- +goose Up
CREATE TABLE accounts (name TEXT PRIMARY KEY, role TEXT NOT NULL, prefixes TEXT NOT NULL, password TEXT NOT NULL, subject TEXT NOT NULL, made BIGINT NOT NULL, changed BIGINT NOT NULL);
CREATE UNIQUE INDEX accounts_subject ON accounts (subject) WHERE subject <> '';
CREATE TABLE tokens (id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, account TEXT REFERENCES accounts (name) ON DELETE CASCADE, name TEXT NOT NULL, role TEXT NOT NULL, prefixes TEXT NOT NULL, made BIGINT NOT NULL, made_by TEXT NOT NULL, expires BIGINT NOT NULL, used BIGINT NOT NULL);
CREATE INDEX tokens_account ON tokens (account);
CREATE TABLE audit (seq BIGINT PRIMARY KEY, entry TEXT NOT NULL);
