//go:build cloud

package lxd_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/lxd"
	"griddle/cloud/provider/lxd/lxdtest"
	"griddle/cloud/provider/providertest"
)

// TestDaemon runs the suite on a real daemon.
func TestDaemon(t *testing.T) {
	d := lxdtest.Start(t, nil)
	roots := []*provider.Image{lxdtest.Root(t, 0), lxdtest.Root(t, 1)}
	providertest.Run(t, providertest.Options{
		Open:     func(t *testing.T) provider.Provider { return open(t, lxd.Config{Socket: d.Socket()}) },
		Image:    func(_ *testing.T, n int) *provider.Image { return roots[n] },
		Size:     "tiny",
		Apart:    true,
		Patience: 2 * time.Minute,
		Poll:     200 * time.Millisecond,
		Rules: func(t *testing.T, r provider.Resource) []provider.Rule {
			return readRules(t, d.Lxc("query", "/1.0/network-acls/"+r.ID))
		},
		Foreign: func(t *testing.T, kind provider.Kind, stack, name string) (string, func() bool) {
			return strange(t, d, kind, stack, name)
		},
	})
}

// strange makes somebody else's thing under the name that ours would have.
func strange(t *testing.T, d *lxdtest.Daemon, kind provider.Kind, stack, name string) (string, func() bool) {
	t.Helper()
	id := lxd.NameOf(kind, stack, name)
	var made, query string
	switch kind {
	case provider.KindNetwork:
		d.Lxc("network", "create", id, "ipv4.address=none", "ipv6.address=none")
		made, query = "network delete "+id, "/1.0/networks/"+id
	case provider.KindFirewall:
		d.Lxc("network", "acl", "create", id)
		made, query = "network acl delete "+id, "/1.0/network-acls/"+id
	case provider.KindVolume:
		d.Lxc("storage", "volume", "create", "test", id)
		made, query = "storage volume delete test "+id, "/1.0/storage-pools/test/volumes/custom/"+id
		id = "test/" + id
	case provider.KindServer:
		d.Lxc("init", "--empty", id, "--storage", "test")
		made, query = "delete "+id, "/1.0/instances/"+id
		var i struct{ Config map[string]string }
		if err := json.Unmarshal([]byte(d.Lxc("query", query)), &i); err != nil {
			t.Fatal(err)
		}
		id += "/" + i.Config["volatile.uuid"]
	default:
		return "", nil
	}
	before := d.Lxc("query", query)
	t.Cleanup(func() { d.Lxc(strings.Fields(made)...) })
	return id, func() bool { return d.Lxc("query", query) == before }
}
