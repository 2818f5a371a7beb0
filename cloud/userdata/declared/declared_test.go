package declared_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"griddle/appliance/setting"
	"griddle/cloud/userdata"
	"griddle/cloud/userdata/declared"
	"griddle/cloud/userdata/seed"
)

var update = flag.Bool("update", false, "write the goldens again")

// examples are the documents of testdata.
var examples = []string{"full", "secure", "least"}

// settings are those of testdata/NAME.json, full with a CA.
func settings(t testing.TB, name string) setting.Settings {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := setting.Decode(name, b)
	if err != nil {
		t.Fatal(err)
	}
	s, err := setting.Merge(d).Resolve(setting.Machine{Name: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	if name == "full" {
		ca, err := os.ReadFile("testdata/ca.pem")
		if err != nil {
			t.Fatal(err)
		}
		s.CA = []string{string(ca)}
	}
	return s
}

// files are the seed of an example.
func files(t testing.TB, name string) []seed.File {
	t.Helper()
	s, err := declared.Seed("i-1", settings(t, name))
	if err != nil {
		t.Fatal(err)
	}
	all, err := seed.NoCloud(s)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSeed(t *testing.T) {
	t.Parallel()
	for _, name := range examples {
		var text bytes.Buffer
		for _, f := range files(t, name) {
			text.WriteString("=== " + f.Name + "\n" + strings.TrimSuffix(string(f.Content), "\n") + "\n")
			if f.Name != "user-data" && bytes.Contains(f.Content, []byte("CANARY")) {
				t.Errorf("%s of %s has a secret in it", f.Name, name)
			}
		}
		p := filepath.Join("testdata", name+".seed")
		if *update {
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

// merged is what cloud-init gets of an example.
func merged(t *testing.T, s setting.Settings) *userdata.Merged {
	t.Helper()
	parts, err := declared.Parts(s)
	if err != nil {
		t.Fatal(err)
	}
	m, err := userdata.Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What the owner's user-data says wins, and its commands run after ours.
func TestUserDataWins(t *testing.T) {
	t.Parallel()
	m := merged(t, settings(t, "full"))
	if got := m.Config["timezone"]; got != "Europe/Paris" {
		t.Errorf("the time zone is %v", got)
	}
	want := []any{[]any{"/usr/local/lib/griddle/settings"}, []any{"touch", "/root/theirs"}}
	if d := cmp.Diff(want, m.Config["runcmd"]); d != "" {
		t.Errorf("commands (-want +got):\n%s", d)
	}
	var lost []string
	for _, c := range m.Conflicts {
		if c.Won.From != "userData" {
			t.Errorf("a conflict is won by %s", c.Won.From)
		}
		lost = append(lost, c.Path)
	}
	if want := []string{"timezone", "write_files[/etc/vconsole.conf]"}; !slices.Equal(lost, want) {
		t.Errorf("conflicts %q, want %q", lost, want)
	}
	s := setting.Settings{UserData: "#!/bin/sh\ntrue\n"}
	if m := merged(t, s); len(m.Scripts) != 1 || len(m.Config) != 0 {
		t.Errorf("a script alone became %+v", m)
	}
}

// Settings that say nothing leave the image as it is.
func TestNothing(t *testing.T) {
	t.Parallel()
	if parts, err := declared.Parts(setting.Settings{}); err != nil || len(parts) != 0 {
		t.Errorf("no settings became %+v, %v", parts, err)
	}
}

func TestRest(t *testing.T) {
	t.Parallel()
	if got := declared.Rest(settings(t, "full")); !slices.Equal(got, []string{"hooks[10-join]", "args"}) {
		t.Errorf("left is %q", got)
	}
	nightly := false
	if got := declared.Rest(setting.Settings{Keep: []string{"/srv"}, Updates: setting.Updates{Nightly: &nightly,
		Server: setting.Required}}); !slices.Equal(got, []string{"updates.nightly", "updates.server", "keep"}) {
		t.Errorf("left is %q", got)
	}
	if got := declared.Rest(settings(t, "least")); got != nil {
		t.Errorf("left is %q", got)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		settings setting.Settings
		want     string
	}{
		{setting.Settings{Domain: "example.org"}, "domain: it needs a hostname"},
		{setting.Settings{Hostname: "A"}, "hostname"},
		{setting.Settings{UserData: "users: []\n"}, "reading user-data userData: it must start with #cloud-config"},
		{setting.Settings{UserData: "#cloud-config\nusers: {}\n"}, ""},
	} {
		_, err := declared.Parts(c.settings)
		if c.want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error is %v, want %q", err, c.want)
		}
	}
	if _, err := declared.Seed("i-1", setting.Settings{Zone: "UTC"}); err == nil ||
		!strings.Contains(err.Error(), "a seed needs one") {
		t.Errorf("a seed without a hostname: %v", err)
	}
	secured := settings(t, "secure")
	secured.Hostname = ""
	if _, err := declared.Parts(secured); err == nil || !strings.Contains(err.Error(), "hostname") {
		t.Errorf("the secure state without a hostname: %v", err)
	}
}

// A secure machine gets no hash and no file of ours for sshd.
func TestSecure(t *testing.T) {
	t.Parallel()
	for _, f := range files(t, "secure") {
		if bytes.Contains(f.Content, []byte("CANARY")) {
			t.Errorf("%s has a hash in it", f.Name)
		}
		if strings.Count(string(f.Content), "sshd_config.d/00-griddle.conf") > 1 {
			t.Errorf("%s has two files for sshd", f.Name)
		}
	}
}
