-- Who said what: ranks of machines, firm addresses, tokens that expire, inventories apart from their machines, and what
-- each record weighs. In version 1 every hello counted as much as an operator's word.
-- +goose Up
ALTER TABLE machines ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
ALTER TABLE machines ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE machines ADD COLUMN firm INTEGER NOT NULL DEFAULT 0;
CREATE TABLE inventories (machine TEXT PRIMARY KEY REFERENCES machines(id) ON DELETE CASCADE, updated INTEGER NOT NULL, size INTEGER NOT NULL, data TEXT NOT NULL) STRICT;
CREATE INDEX inventories_updated ON inventories (updated, size);
INSERT INTO inventories (machine, updated, size, data)
	SELECT id, seen, length(data -> '$.inventory'), data -> '$.inventory' FROM machines
	WHERE data ->> '$.inventory.memory' > 0 OR json_array_length(data, '$.inventory.disks') > 0;
UPDATE machines SET data = json_remove(data, '$.inventory');
UPDATE machines SET rank = 1 WHERE id IN (SELECT machine FROM jobs);
UPDATE machines SET rank = 2 WHERE id IN (SELECT machine FROM jobs WHERE data ->> '$.origin' = 'operator');
ALTER TABLE machines DROP COLUMN named;
CREATE INDEX machines_rank ON machines (rank, source, seen);
-- Which of a machine's addresses its operator had named was not written down: those that no other machine has.
ALTER TABLE macs ADD COLUMN firm INTEGER NOT NULL DEFAULT 0;
UPDATE macs SET firm = 1 WHERE machine IN (SELECT id FROM machines WHERE rank = 2) AND mac IN
	(SELECT macs.mac FROM macs JOIN machines ON machines.id = macs.machine WHERE machines.rank = 2 GROUP BY macs.mac HAVING count(*) = 1);
CREATE UNIQUE INDEX macs_firm ON macs (mac) WHERE firm = 1;
CREATE INDEX macs_machine ON macs (machine);
UPDATE machines SET firm = 1 WHERE rank = 2 AND uuid <> '' AND id NOT IN (SELECT machine FROM macs WHERE firm = 1);
ALTER TABLE jobs ADD COLUMN origin TEXT NOT NULL DEFAULT 'operator';
UPDATE jobs SET origin = data ->> '$.origin' WHERE data ->> '$.origin' IS NOT NULL;
DROP INDEX jobs_live;
CREATE UNIQUE INDEX jobs_live ON jobs (machine) WHERE state IN ('pending', 'started') AND origin = 'operator';
ALTER TABLE boots ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE boots ADD COLUMN acted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE boots ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE boots ADD COLUMN mac TEXT NOT NULL DEFAULT '';
ALTER TABLE boots ADD COLUMN uuid TEXT NOT NULL DEFAULT '';
UPDATE boots SET acted = coalesce((SELECT max(received) FROM events WHERE events.boot = boots.boot AND events.machine = boots.machine), 0);
UPDATE boots SET used = max(created, acted);
CREATE INDEX boots_machine ON boots (machine, used);
CREATE INDEX boots_source ON boots (source, acted);
ALTER TABLE homes ADD COLUMN boot TEXT NOT NULL DEFAULT '';
CREATE INDEX homes_job ON homes (job);
ALTER TABLE events ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
UPDATE events SET size = length(data);
PRAGMA user_version = 2;
