package userdata

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kdomanski/iso9660"
)

func seed(t *testing.T) Seed {
	mac := func(s string) net.HardwareAddr {
		m, err := net.ParseMAC(s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	return Seed{InstanceID: "i-0001", Hostname: "web-1", UserData: []byte("#cloud-config\n{}\n"), Network: &Network{Interfaces: []Interface{
		{MAC: mac("52:54:00:00:00:01"), DHCP: true, MTU: 1450},
		{Name: "inner", MAC: mac("52:54:00:00:00:02"), Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.5/24"), netip.MustParsePrefix("fd00::5/64")},
			Gateways: []netip.Addr{netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("fd00::1")}, DNS: []netip.Addr{netip.MustParseAddr("10.77.0.1")}},
	}}}
}

func TestSeeds(t *testing.T) {
	for _, c := range []struct {
		name  string
		label string
		make  func(Seed) ([]SeedFile, error)
	}{{"nocloud", LabelNoCloud, NoCloud}, {"configdrive", LabelConfigDrive, ConfigDrive}} {
		files, err := c.make(seed(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			golden(t, filepath.Join(c.name, strings.ReplaceAll(f.Name, "/", "_")), f.Content)
		}
		var images [2]bytes.Buffer
		for i := range images {
			if err := ISO(&images[i], c.label, files); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(images[0].Bytes(), images[1].Bytes()) {
			t.Errorf("%s: two images differ", c.name)
		}
		image, err := iso9660.OpenImage(bytes.NewReader(images[0].Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := image.Label(); err != nil || got != c.label {
			t.Errorf("the label is %q (%v), want %q", got, err, c.label)
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
		{func(s *Seed) { s.Hostname = "Web_1" }, "host name"},
		{func(s *Seed) { s.Network.Interfaces[0].MAC = nil }, "MAC"},
		{func(s *Seed) { s.Network.Interfaces[0].Name = strings.Repeat("x", 16) }, "no name"},
		{func(s *Seed) { s.Network.Interfaces[0].Addresses = make([]netip.Prefix, 1) }, "invalid address"},
		{func(s *Seed) {
			s.Network.Interfaces[0].Gateways = []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("1.1.1.2")}
		}, "more than one gateway"},
	} {
		s := seed(t)
		c.change(&s)
		for _, make := range []func(Seed) ([]SeedFile, error){NoCloud, ConfigDrive} {
			if _, err := make(s); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		}
	}
}

func TestHandler(t *testing.T) {
	if _, err := NewHandler(make([]byte, 31)); err == nil {
		t.Error("a short key is taken")
	}
	h, err := NewHandler(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	files, err := NoCloud(seed(t))
	if err != nil {
		t.Fatal(err)
	}
	h.Put("web-1", files)
	server := httptest.NewTLSServer(h)
	defer server.Close()
	status := func(method, path string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	path := h.Path("web-1")
	if len(path) != 34 || path == h.Path("web-2") {
		t.Errorf("Path = %q", path)
	}
	for _, f := range files {
		if code, got := status("GET", path+f.Name); code != 200 || got != string(f.Content) {
			t.Errorf("GET %s = %d %q", f.Name, code, got)
		}
	}
	for _, p := range []string{"/", path, strings.TrimSuffix(path, "/"), path + "other", h.Path("web-2") + "user-data", "//user-data", "/../" + path + "user-data"} {
		if code, got := status("GET", p); code != 404 || strings.Contains(got, "cloud-config") {
			t.Errorf("GET %s = %d %q, want 404", p, code, got)
		}
	}
	if code, _ := status("POST", path+"user-data"); code != 404 {
		t.Errorf("POST = %d, want 404", code)
	}
	h.Delete("web-1")
	if code, _ := status("GET", path+"user-data"); code != 404 {
		t.Errorf("GET of what was deleted = %d", code)
	}
}

// TestISOLeavesNothing: what the library staged is gone.
func TestISOLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	if err := ISO(io.Discard, LabelNoCloud, []SeedFile{{"user-data", []byte("secret")}}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
}
