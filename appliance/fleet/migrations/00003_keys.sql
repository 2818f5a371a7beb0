-- Who a boot is: the key that it proved at its hello, the code on its screen, and when it was last answered that an
-- operator has to compare that. keys has what operators approved, and guesses the codes that did not match.
-- +goose Up
ALTER TABLE boots ADD COLUMN key TEXT NOT NULL DEFAULT '';
ALTER TABLE boots ADD COLUMN code TEXT NOT NULL DEFAULT '';
ALTER TABLE boots ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0;
CREATE TABLE keys (machine TEXT NOT NULL REFERENCES machines(id) ON DELETE CASCADE, key TEXT NOT NULL, approved INTEGER NOT NULL, PRIMARY KEY (machine, key)) STRICT;
CREATE INDEX keys_key ON keys (key);
CREATE TABLE guesses (machine TEXT NOT NULL REFERENCES machines(id) ON DELETE CASCADE, time INTEGER NOT NULL) STRICT;
CREATE INDEX guesses_machine ON guesses (machine, time);
PRAGMA user_version = 3;
