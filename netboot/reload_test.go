package netboot

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/netboot/dhcp"
	"griddle/netboot/loader"
)

func TestReload(t *testing.T) {
	s := httpServer(t, booterFunc(func(Machine) (Spec, error) { return Spec{Action: Menu, Kernel: "/k"}, nil }))
	dir := bootDir(t)
	s.conf = Config{Interface: "lo", BootDir: dir, Mode: Full, Pool: Pool{
		First: netip.MustParseAddr("10.77.0.10"), Last: netip.MustParseAddr("10.77.0.20"),
		Journal: filepath.Join(t.TempDir(), "leases")}}.withDefaults()
	s.dhcp.Config = s.conf.dhcp(s.mine)
	if err := s.openPool(); err != nil {
		t.Fatal(err)
	}
	defer s.pool.Close()

	next := s.conf
	next.MenuTimeout = 7 * time.Second
	next.StepDown = true
	next.Pool.First, next.Pool.Last, next.Pool.Journal = netip.MustParseAddr("10.77.0.30"),
		netip.MustParseAddr("10.77.0.31"), "/elsewhere"
	next.Relays = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	bad := next
	bad.Pool.Last = netip.MustParseAddr("10.9.0.1")
	if err := s.Reload(bad); err == nil || !strings.Contains(err.Error(), "10.9.0.1 is not on the network") {
		t.Errorf("Reload of another network's range = %v", err)
	}
	loaderFile := filepath.Join(dir, loader.BIOS)
	if err := os.WriteFile(loaderFile, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(next); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("Reload with an empty loader = %v", err)
	}
	if got := s.config(); got.StepDown || got.MenuTimeout == next.MenuTimeout {
		t.Errorf("a reload that failed changed %+v", got)
	}
	if err := os.WriteFile(loaderFile, []byte("newer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(next); err != nil {
		t.Fatal(err)
	}
	if got := s.config(); !got.StepDown || len(got.Relays) != 1 || got.Pool.Journal != s.conf.Pool.Journal {
		t.Errorf("after the reload: %+v", got)
	}
	if f, err := s.loaders.Open(loader.BIOS); err != nil || f.Len() != 5 {
		t.Errorf("the loader: %v, %v", f, err)
	}
	if _, body := get(t, s, "/boot.ipxe?mac=52:54:00:00:00:01&arch=0"); !strings.Contains(body, "--timeout 7000") {
		t.Errorf("script:\n%s", body)
	}
	if a, _, err := s.dhcp.Leases.Offer(dhcp.MAC{2, 1}, netip.Addr{}); a != next.Pool.First || err != nil {
		t.Errorf("Offer = %v, %v", a, err)
	}
}
