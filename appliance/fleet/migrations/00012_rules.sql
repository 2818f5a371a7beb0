-- The rules of the site, one row with id 1 as rule.Document. What each rule, by rule.Rule.ID, did to each machine: the
-- job that it made, why it made none, and when the machine first booted by it. needs says of a boot that a rule has it
-- wait for an operator's approval.
-- +goose Up
CREATE TABLE rules (id BIGINT PRIMARY KEY, changed BIGINT NOT NULL, data TEXT NOT NULL);
CREATE TABLE ruled (machine TEXT NOT NULL REFERENCES machines(id) ON DELETE CASCADE, rule TEXT NOT NULL, job TEXT NOT NULL, stopped TEXT NOT NULL, booted BIGINT NOT NULL, changed BIGINT NOT NULL, PRIMARY KEY (machine, rule));
ALTER TABLE boots ADD COLUMN needs INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 12;
