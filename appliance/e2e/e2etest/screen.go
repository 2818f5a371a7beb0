package e2etest

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"griddle/appliance/e2e"
)

// Update is the flag -update, with which tests write their goldens.
func Update() *bool { return flag.Bool("update", false, "write the golden files") }

// masks are the parts of a screen that differ from run to run or from one day's Debian to another's.
var masks = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`Griddle \S+( of \d{4}-\d\d-\d\d)?`), "Griddle VERSION"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d`), "DATE"},
	{regexp.MustCompile(`:\d{8}\.(\d+)@`), ":DATE.$1@"},
	{regexp.MustCompile(`10\.77\.0\.1\d\d/`), "10.77.0.ANY/"},
	{regexp.MustCompile(`\d+(\.\d+)? [kMG]i?B`), "SIZE"},
	{regexp.MustCompile(`\d{4,} bytes`), "N bytes"},
	{regexp.MustCompile(`(Processor +\d+ x ).*`), "${1}MODEL"},
	{regexp.MustCompile(`in +\d+:\d\d`), "in TIME"},
	{regexp.MustCompile(`Rebooting in \d+ s`), "Rebooting in TIME"},
	{regexp.MustCompile(` {2,}`), "  "}, // columns are as wide as what is in them
}

// Masked is a screen without what differs from run to run.
func Masked(screen string) string {
	lines := strings.Split(screen, "\n")
	for i, l := range lines {
		for _, m := range masks {
			l = m.re.ReplaceAllString(l, m.with)
		}
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"
}

// settle is how long a screen that has the right page on it may take to be drawn to its end.
const settle = 5 * time.Minute

// Screen waits for the page that pattern names on the machine's serial console, and then for the screen to equal
// testdata/NAME.txt. A page is drawn in pieces over a serial line, so nothing less than all of it counts.
func Screen(ctx context.Context, t *testing.T, update bool, m *e2e.Machine, name, pattern string) {
	t.Helper()
	if _, err := m.Console().WaitScreen(ctx, pattern); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name+".txt")
	if update {
		if err := os.WriteFile(file, []byte(Masked(still(ctx, m))), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run the test with -update", err)
	}
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	isWanted := func(s string) bool { return Masked(s) == string(want) }
	if screen, err := m.Console().WaitScreenFunc(ctx, file, isWanted); err != nil {
		t.Fatalf("the screen is\n%s\nwithout what differs from run to run\n%s\nwant\n%s", screen, Masked(screen), want)
	}
}

// still returns the screen once it has not changed for a while. It is for writing goldens alone,
// which a person then reads.
func still(ctx context.Context, m *e2e.Machine) string {
	for {
		before := m.Console().Screen()
		quiet, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := m.Console().WaitScreenFunc(quiet, "a change", func(s string) bool { return s != before })
		cancel()
		if err != nil {
			return before
		}
	}
}

// Press types keys on the machine's serial console.
func Press(t *testing.T, m *e2e.Machine, keys string) {
	t.Helper()
	if err := m.Console().Send(keys); err != nil {
		t.Fatal(err)
	}
}
