package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"

	"griddle/appliance/e2e/machinetest"
)

// Key is an ssh key of a person.
type Key struct {
	File   string // the private key
	Public string // one line, as in authorized_keys
}

// Key makes a key for a person.
func (r *Room) Key(ctx context.Context, name string) (Key, error) {
	k := Key{File: r.path(name + ".key")}
	if _, err := machinetest.Run(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name,
		"-f", k.File); err != nil {
		return k, err
	}
	b, err := os.ReadFile(k.File + ".pub")
	if err != nil {
		return k, fmt.Errorf("making a key for %s: %w", name, err)
	}
	k.Public = strings.TrimSpace(string(b))
	return k, nil
}

// SSH logs in at an address with a key, from the server, and returns what the command prints there. A login prompt may
// come before the ssh server does: it tries for two minutes. A machine that was not seen before may have any host key;
// afterwards it must have the same.
func (r *Room) SSH(ctx context.Context, k Key, user, address, command string) (string, error) {
	return r.run(ctx, "server", "ssh", "-F", "none", "-i", k.File, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile="+r.path("known_hosts"),
		"-o", "ConnectTimeout=60", "-o", "ConnectionAttempts=120", "-o", "ServerAliveInterval=30",
		user+"@"+address, command)
}
