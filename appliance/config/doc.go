// Package config is the configuration of the server: its keys, their defaults, and what is wrong with a file of
// them.
//
// Call Read, or Default where there is no file. Example is a file with every key, its default and what it means: a
// comment in griddle.yaml is the one place where a key is documented, and a test finds a key without one. Changes says
// what of a new configuration can be taken without a restart.
//
// A file is YAML (package yamltree): keys and values, at most 1 MiB. It is read over the defaults, so it has only the
// keys that differ; a key with nothing after it leaves the default. Everything that is wrong is reported at once, with
// its place and the nearest known key: unknown and repeated keys, values of another type, and values that no server can
// be run with.
//
// Read is the only function with I/O. Whether an interface, an address or a keyboard layout exists is for the server to
// find.
package config
