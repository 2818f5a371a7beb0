package hook_test

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"griddle/appliance/setting"
	"griddle/appliance/setting/settingfile"
	"griddle/initramfs/hook"
)

var documented = hook.Machine{Name: "lab-07", Hostname: "web-7", Image: "web:1@amd64", Disk: "/dev/sda",
	Firmware: "bios",
	MAC:      "52:54:00:12:34:56", Serial: "5XK2LQ2", UUID: "1b4e28ba", Job: "5b2f0a4e"}

func document(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSettingsDocument runs each hook of docs/SETTINGS.md, and compares its table of variables with those that hooks
// have.
func TestSettingsDocument(t *testing.T) {
	text := document(t, "SETTINGS.md")
	s := newSystem(t, nil)
	s.o.Machine = documented
	ran := 0
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1) {
		f, err := settingfile.Parse("SETTINGS.md", []byte(m[1]))
		if err != nil || !strings.Contains(m[1], "hooks:") {
			continue // settingfile's own test has these
		}
		_, given, err := settingfile.Resolve(setting.Machine{Name: "lab-07"}, f)
		if err != nil {
			continue
		}
		if err := s.run(given.Hooks...); err != nil {
			t.Errorf("%v; running\n%s", err, m[1])
		}
		ran += len(given.Hooks)
	}
	if ran < 2 {
		t.Errorf("%d hooks of the document ran, want all", ran)
	}
	for name, want := range map[string]string{"etc/joined": "", "etc/inventory": "lab-07 5XK2LQ2 52:54:00:12:34:56\n"} {
		if _, err := os.Stat(path.Join(s.dir, name)); err != nil || s.read(name) != want {
			t.Errorf("/%s = %q, %v, want %q", name, s.read(name), err, want)
		}
	}

	var table, have []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(GRIDDLE_[A-Z]+)` \\|").FindAllStringSubmatch(text, -1) {
		table = append(table, m[1])
	}
	for _, v := range documented.Env() {
		name, _, _ := strings.Cut(v, "=")
		have = append(have, name)
	}
	if strings.Join(table, " ") != strings.Join(have, " ") {
		t.Errorf("the table has %v, hooks have %v", table, have)
	}
}

// TestTemplateDocument runs the deploy hook of docs/TEMPLATE.md.
func TestTemplateDocument(t *testing.T) {
	m := regexp.MustCompile(`(?s)cat >/srv/web(`+hook.Dir+`/\S+) <<'END'\n(.*?)END\n`).
		FindAllStringSubmatch(document(t, "TEMPLATE.md"), -1)
	if len(m) != 1 {
		t.Fatalf("the document has %d deploy hooks, want 1", len(m))
	}
	s := newSystem(t, nil)
	s.o.Machine = documented
	s.write(strings.TrimPrefix(m[0][1], "/"), m[0][2], 0o755)
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	want := "web-7, installed from web:1@amd64\nThis machine starts by its BIOS.\n"
	if got := s.read("etc/motd"); got != want {
		t.Errorf("/etc/motd = %q, want %q", got, want)
	}
}
