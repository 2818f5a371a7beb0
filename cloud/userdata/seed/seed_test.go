package seed

import (
	"bytes"
	"flag"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kdomanski/iso9660"
)

var update = flag.Bool("update", false, "write the goldens again")

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	p := filepath.Join("testdata", "nocloud", name)
	if *update {
		if err := os.WriteFile(p, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s is %s, want %s", name, got, want)
	}
}

func example(t *testing.T) Seed {
	mac := func(s string) net.HardwareAddr {
		m, err := net.ParseMAC(s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	return Seed{InstanceID: "i-0001", Hostname: "web-1", Keys: []string{"ssh-ed25519 AAAA test"},
		UserData: []byte("#cloud-config\n{}\n"), Network: &Network{Interfaces: []Interface{
			{MAC: mac("52:54:00:00:00:01"), DHCP: true,
				DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")}, MTU: 1450},
			{Name: "inner", MAC: mac("52:54:00:00:00:02"),
				Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.5/24"), netip.MustParsePrefix("fd00::5/64")},
				Gateways: []netip.Addr{netip.MustParseAddr("10.77.0.1"),
					netip.MustParseAddr("fd00::1")}, DNS: []netip.Addr{netip.MustParseAddr("10.77.0.1")}},
		}}}
}

func TestNoCloud(t *testing.T) {
	files, err := NoCloud(example(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		golden(t, f.Name, f.Content)
	}
	// Files may be in directories, and of any size.
	files = append(files, File{"openstack/latest/user_data", bytes.Repeat([]byte("#cloud-config\n"), 20000)})
	var images [2]bytes.Buffer
	for i := range images {
		if err := ISO(&images[i], Label, files); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0].Bytes(), images[1].Bytes()) {
		t.Error("two images differ")
	}
	image, err := iso9660.OpenImage(bytes.NewReader(images[0].Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := image.Label(); err != nil || got != Label {
		t.Errorf("the label is %q (%v), want %q", got, err, Label)
	}
	for _, f := range files {
		if got := read(t, image, f.Name); !bytes.Equal(got, f.Content) {
			t.Errorf("%s in the image is %q, want %q", f.Name, got, f.Content)
		}
	}
	if stamp := images[0].Bytes()[16*2048+813 : 16*2048+813+17]; string(stamp) != "0000000000000000\x00" {
		t.Errorf("the image has the time %q", stamp)
	}
}

// read finds a file in an image, where names are followed by a version.
func read(t *testing.T, image *iso9660.Image, name string) []byte {
	t.Helper()
	dir, err := image.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, element := range strings.Split(name, "/") {
		children, err := dir.GetChildren()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, c := range children {
			if strings.TrimSuffix(strings.TrimSuffix(c.Name(), ";1"), ".") == element {
				dir, found = c, true
			}
		}
		if !found {
			t.Fatalf("the image has no %s", name)
		}
	}
	b, err := io.ReadAll(dir.Reader())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSeedRefuses(t *testing.T) {
	for _, c := range []struct {
		change func(*Seed)
		want   string
	}{
		{func(s *Seed) { s.InstanceID = "a b" }, "instance ID"},
		{func(s *Seed) { s.Hostname = "Web_1" }, "hostname"},
		{func(s *Seed) { s.Network.Interfaces[0].MAC = nil }, "MAC"},
		{func(s *Seed) { s.Network.Interfaces[0].Name = strings.Repeat("x", 16) }, "not a name"},
		{func(s *Seed) { s.Network.Interfaces[0].Addresses = make([]netip.Prefix, 1) }, "invalid address"},
		{func(s *Seed) { s.Network.Interfaces[0].VLAN = &VLAN{ID: 4095, Link: "inner"} }, "has no name"},
		{func(s *Seed) { s.Network.Interfaces[1].VLAN = &VLAN{ID: 4095, Link: "eth0"} }, "between 1 and 4094"},
		{func(s *Seed) { s.Network.Interfaces[1].Bond = &Bond{Mode: "802.3ad"} }, "without cards"},
		{func(s *Seed) {
			s.Network.Interfaces[1].VLAN, s.Network.Interfaces[1].Bond = &VLAN{}, &Bond{}
		}, "a VLAN and a bond"},
		{func(s *Seed) { s.Network.Interfaces[1].Routes = []Route{{Via: netip.IPv6Unspecified()}} },
			"without a network and a gateway of one kind"},
		{func(s *Seed) {
			s.Network.Interfaces[1].Routes = []Route{{To: netip.MustParsePrefix("::/0"),
				Via: netip.MustParseAddr("fe80::1"), Metric: 5}}
		}, "no metric for the default route"},
		{func(s *Seed) {
			s.Network.Interfaces[0].Gateways = []netip.Addr{netip.MustParseAddr("1.1.1.1"),
				netip.MustParseAddr("1.1.1.2")}
		}, "more than one gateway"},
	} {
		s := example(t)
		c.change(&s)
		if _, err := NoCloud(s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error is %v, want %q", err, c.want)
		}
	}
}

// TestISOLeavesNothing: what the library staged is gone.
func TestISOLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	if err := ISO(io.Discard, Label, []File{{"user-data", []byte("secret")}}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
}
