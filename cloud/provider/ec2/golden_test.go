package ec2_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"griddle/cloud/provider"
	"griddle/cloud/provider/ec2"
	"griddle/cloud/provider/ec2/ec2fake"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDZWs2WB8fJyFBKMs/9wxTKb0XgL1KG8PQO0aSQ7pC5M test"

type contents struct{ *bytes.Reader }

func (contents) Close() error { return nil }

// disk is a raw image of n blocks of 512 KiB, with the numbers of those that are not zeroes.
func disk(n int, full ...int) (*provider.Image, []byte) {
	b := make([]byte, n*512<<10)
	for _, i := range full {
		copy(b[i*512<<10:], "block "+string(rune('A'+i%26))+strings.Repeat("x", i))
	}
	return imageOf(b), b
}

func imageOf(b []byte) *provider.Image {
	sum := sha256.Sum256(b)
	return &provider.Image{
		Name: "web-20261120.1-amd64", Digest: "sha256:" + hex.EncodeToString(sum[:]),
		Format: provider.Raw, Arch: "amd64", Size: int64(len(b)), Virtual: int64(len(b)), BIOS: true, UEFI: true,
		Open: func() (provider.Contents, error) { return contents{bytes.NewReader(b)}, nil },
	}
}

// ensure makes w and looks until it is no longer pending, and fails the test where that fails.
func ensure(t *testing.T, p *ec2.Provider, w provider.Want) provider.Resource {
	t.Helper()
	r, err := p.Ensure(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if r.State != provider.Pending {
			break
		}
		all, err := p.List(t.Context(), r.Stack)
		if err != nil {
			t.Fatal(err)
		}
		for _, listed := range all {
			if listed.ID == r.ID {
				r = listed
			}
		}
	}
	return r
}

// build makes all that a server uses, and returns the server.
func build(t *testing.T, p *ec2.Provider) *provider.Server {
	t.Helper()
	image, _ := disk(4, 0, 3)
	w := &provider.Server{
		Stack: "demo", Name: "web-1", Role: "web", Size: "t3.small", Disk: 8 << 30,
		Private: netip.MustParseAddr("10.77.0.11"), UserData: []byte("#cloud-config\n{}\n"), UEFI: true,
	}
	w.Image = ensure(t, p, image).ID
	w.Key = ensure(t, p, &provider.Key{Stack: "demo", Name: "admin", Public: key}).ID
	w.Network = ensure(t, p, &provider.Network{
		Stack: "demo", Name: "net", Prefix: netip.MustParsePrefix("10.77.0.0/24"),
		DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
	}).ID
	all := netip.MustParsePrefix("0.0.0.0/0")
	w.Firewall = ensure(t, p, &provider.Firewall{Stack: "demo", Name: "web", Rules: []provider.Rule{
		{Protocol: "tcp", From: 22, To: 22, Source: all}, {Protocol: "icmp", Source: all},
		{Protocol: "icmp", Source: netip.MustParsePrefix("::/0")},
		{Protocol: "udp", From: 5000, To: 5010, Source: netip.MustParsePrefix("2001:db8::/32")},
	}}).ID
	w.Address = ensure(t, p, &provider.Address{Stack: "demo", Name: "ip"}).ID
	w.Volumes = []string{ensure(t, p, &provider.Volume{Stack: "demo", Name: "data", Size: 10 << 30}).ID,
		ensure(t, p, &provider.Volume{Stack: "demo", Name: "logs", Size: 1 << 30, Type: "st1"}).ID}
	return w
}

var update = flag.Bool("update", false, "write the golden anew")

// TestRequests shows every request of one stack's life that changes something.
func TestRequests(t *testing.T) {
	f := ec2fake.New()
	o := world(t, f)
	o.Parallel = 1
	p := open(t, o)
	w := build(t, p)
	ensure(t, p, w)
	for _, a := range []provider.Action{provider.Stop, provider.Start, provider.Reboot} {
		r := ensure(t, p, w)
		if err := p.Control(t.Context(), r, a); err != nil {
			t.Fatal(err)
		}
	}
	ensure(t, p, &provider.Volume{Stack: "demo", Name: "data", Size: 20 << 30})
	ensure(t, p, &provider.Firewall{Stack: "demo", Name: "web"})
	remove(t, p, "demo", "")
	var b strings.Builder
	for _, request := range f.Trace() {
		b.WriteString(request + "\n")
	}
	path := filepath.Join("testdata", "requests.txt")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// remove takes stacks away, and the images.
func remove(t *testing.T, p *ec2.Provider, stacks ...string) {
	t.Helper()
	for _, stack := range stacks {
		all, err := p.List(t.Context(), stack)
		for err == nil && len(all) > 0 {
			for i := range all {
				// A resource that is in use waits for the next turn.
				if err := p.Remove(t.Context(), all[len(all)-1-i]); err != nil && !isTemporary(err) {
					t.Fatal(err)
				}
			}
			all, err = p.List(t.Context(), stack)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
