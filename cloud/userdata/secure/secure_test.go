package secure_test

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"griddle/cloud/userdata"
	"griddle/cloud/userdata/secure"
)

var update = flag.Bool("update", false, "write the goldens anew")

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPxAAX5qmNVv1n2a6jVdbMwVN4vhjZt7yYtnPEZCZKO7 ops@example"

// full is a server with everything.
func full() secure.Server {
	return secure.Server{
		Hostname: "web-1", Admin: "ops",
		Users: []secure.User{{Name: "ops", Keys: []string{key}, Sudo: true, Groups: []string{"adm"}},
			{Name: "dev", Keys: []string{key + "\n", key}}},
		SSH: secure.SSH{Port: 2222,
			From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}},
		Ports: []secure.Port{{Protocol: "tcp", From: 80, To: 80},
			{Protocol: "tcp", From: 8000, To: 8100, Source: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
			{Protocol: "udp", From: 53, To: 53}, {Protocol: "icmp"},
			{Protocol: "icmp", Source: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}}},
		Inside: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")},
		Volumes: []secure.Volume{{Name: "data", Size: 10 << 30, Mount: "/srv"},
			{Name: "a-longer-name", Size: 20 << 30, Mount: "/var/lib/web"}},
		NTP:  []string{"ntp.example.net"},
		DNS:  []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")},
		Zone: "Europe/Berlin", Locale: "de_DE.UTF-8", Proxy: "http://proxy.example.net:3128",
	}
}

func render(t *testing.T, s secure.Server) (*userdata.Merged, []byte) {
	t.Helper()
	parts, err := s.Parts()
	if err != nil {
		t.Fatal(err)
	}
	m, err := userdata.Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Conflicts) > 0 {
		t.Errorf("the parts differ about %v", m.Conflicts)
	}
	b, err := m.Render(userdata.Options{Limit: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return m, b
}

func TestParts(t *testing.T) {
	for name, s := range map[string]secure.Server{
		"full": full(),
		"least": {Hostname: "a", Admin: "ops",
			Users: []secure.User{{Name: "ops", Keys: []string{key}, Sudo: true}}, Forward: true},
	} {
		m, b := render(t, s)
		t.Logf("%s: %d bytes of user-data", name, len(b))
		var text bytes.Buffer
		text.Write(b)
		// The files that are packed can be read here.
		for _, f := range m.Config["write_files"].([]any) {
			entry := f.(map[string]any)
			if entry["encoding"] == nil || strings.HasPrefix(entry["path"].(string), "/usr/local/lib/griddle/") &&
				!strings.HasSuffix(entry["path"].(string), ".conf") {
				continue
			}
			content, err := userdata.Decode(entry, userdata.MaxInput)
			if err != nil {
				t.Fatal(err)
			}
			text.WriteString("=== " + entry["path"].(string) + "\n" + string(content))
		}
		p := filepath.Join("testdata", name+".yaml")
		if *update {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, text.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), text.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", p, d)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*secure.Server)
	}{
		{"hostname", func(s *secure.Server) { s.Hostname = "A" }},
		{"not a user with sudo", func(s *secure.Server) { s.Admin = "dev" }},
		{`"root" is not a name`, func(s *secure.Server) { s.Users[1].Name = "root" }},
		{`"a b" is not a name`, func(s *secure.Server) { s.Users[1].Name = "a b" }},
		{"in the list twice", func(s *secure.Server) { s.Users[1].Name = "ops" }},
		{"no key", func(s *secure.Server) { s.Users[1].Keys = nil }},
		{"not a line of authorized_keys", func(s *secure.Server) { s.Users[1].Keys = []string{key + "\n" + key} }},
		{"not a line of authorized_keys", func(s *secure.Server) { s.Users[1].Keys = []string{"ssh-rsa"} }},
		{"for a group", func(s *secure.Server) { s.Users[1].Groups = []string{"a,b"} }},
		{"host key", func(s *secure.Server) { s.HostKey = "x" }},
		{"protocol", func(s *secure.Server) { s.Ports[0].Protocol = "sctp" }},
		{"not a range", func(s *secure.Server) { s.Ports[0].To = 1 }},
		{"not a network", func(s *secure.Server) { s.Inside = make([]netip.Prefix, 1) }},
		{"volume's name", func(s *secure.Server) { s.Volumes[0].Name = "a/b" }},
		{"mount point", func(s *secure.Server) { s.Volumes[0].Mount = "/srv/../etc" }},
		{"mount point", func(s *secure.Server) { s.Volumes[0].Mount = s.Volumes[1].Mount }},
		{"mount point", func(s *secure.Server) { s.Volumes[0].Mount = "/srv/$(reboot)" }},
		{"time server", func(s *secure.Server) { s.NTP = []string{"a b"} }},
		{"name server", func(s *secure.Server) { s.DNS = make([]netip.Addr, 1) }},
		{"time zone", func(s *secure.Server) { s.Zone = "../../etc/passwd" }},
		{"locale", func(s *secure.Server) { s.Locale = "a b" }},
		{"a user in it", func(s *secure.Server) { s.Proxy = "http://a:b@c" }},
		{"not an http or https", func(s *secure.Server) { s.Proxy = "socks://c" }},
		{"CA", func(s *secure.Server) { s.CA = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" }},
		{"CA", func(s *secure.Server) { s.CA = "x" }},
	} {
		s := full()
		c.change(&s)
		if _, err := s.Parts(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parts = %v, want %q", err, c.want)
		}
	}
}

// TestRuleset has nft load the rules, twice, in a namespace of their own.
func TestRuleset(t *testing.T) {
	for _, s := range []secure.Server{full(), {Hostname: "a", Admin: "ops", Users: full().Users, Forward: true}} {
		m, _ := render(t, s)
		script := m.Config["bootcmd"].([]any)[0].([]any)[5].(string)
		_, rules, _ := strings.Cut(script, "<<'END'\n")
		rules, _, _ = strings.Cut(rules, "END\n")
		file := filepath.Join(t.TempDir(), "nftables.conf")
		if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "unshare", "--net", "sh",
			"-ec", `nft -f "$1"; nft -f "$1"; nft -s list ruleset`, "sh", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s; run make deps", err, out)
		}
		if n := strings.Count(string(out), "policy drop"); n != 2 && !s.Forward || s.Forward && n != 1 {
			t.Errorf("nft lists %s", out)
		}
	}
}

func TestLabel(t *testing.T) {
	for volume, want := range map[string]string{"data": "griddle-data", "eight-ch": "griddle-eight-ch",
		"nine-char": "griddle-"} {
		if got := secure.Label(volume); !strings.HasPrefix(got, want) || len(got) > 16 {
			t.Errorf("Label(%q) = %q, want %q", volume, got, want)
		}
	}
}
