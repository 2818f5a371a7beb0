-- Orders for many machines, and the machines of each, in the order in which they get their jobs. A machine waits or has
-- a job in one order at most. It has no foreign key: what became of a machine stays when that is deleted.
-- +goose Up
CREATE TABLE orders (id BIGINT PRIMARY KEY, live BIGINT NOT NULL, created BIGINT NOT NULL, data TEXT NOT NULL);
CREATE INDEX orders_live ON orders (live, id);
CREATE TABLE order_machines (order_id BIGINT NOT NULL REFERENCES orders(id) ON DELETE CASCADE, place BIGINT NOT NULL, machine TEXT NOT NULL, state TEXT NOT NULL, job TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (order_id, machine));
CREATE UNIQUE INDEX order_machines_live ON order_machines (machine) WHERE state IN ('waiting', 'given');
CREATE INDEX order_machines_state ON order_machines (order_id, state);
PRAGMA user_version = 10;
