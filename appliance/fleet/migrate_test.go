package fleet

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/seal"
	"griddle/imagestore/durable"
	"griddle/netboot"
)

// TestVersions opens the file of each version that there ever was, and finds in it what fleet.json beside it says. The
// files were written by the programs of their versions.
func TestVersions(t *testing.T) {
	dirs, err := filepath.Glob("testdata/versions/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no files of former versions: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) { openVersion(t, dir) })
	}
}

func openVersion(t *testing.T, dir string) {
	var want struct {
		Tokens   map[string]string
		Status   map[string]string
		Events   map[string]int
		Settings map[string]string // the own settings of machines, which a key beside the file opens
		Keys     map[string]string // of services, and the names of their machines
	}
	b, err := os.ReadFile(filepath.Join(dir, "fleet.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "fleet.db")
	if b, err = os.ReadFile(filepath.Join(dir, "fleet.db")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(filepath.Dir(file), "settings.key")
	if b, err := os.ReadFile(filepath.Join(dir, "settings.key")); err == nil {
		if err := os.WriteFile(key, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, now := t.Context(), time.Date(2026, 11, 1, 8, 3, 0, 0, time.UTC)
	o := Options{Now: func() time.Time { return now }, Sealer: seal.In(durable.Disk{}, key, "test")}
	for range 2 { // the second time there is nothing to migrate
		f, err := Open(ctx, file, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range list(t, f) {
			name := v.Machine.Name
			if got := v.Status(); got != want.Status[name] {
				t.Errorf("%s is %q, want %q", name, got, want.Status[name])
			}
			if entries, err := f.read(ctx, name, 0, 1000); err != nil || len(entries) != want.Events[name] {
				t.Errorf("%s has %d events, %v, want %d", name, len(entries), err, want.Events[name])
			}
			delete(want.Status, name)
		}
		if len(want.Status) != 0 {
			t.Errorf("missing: %v", want.Status)
		}
		if err := json.Unmarshal(must(os.ReadFile(filepath.Join(dir, "fleet.json"))), &want); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	f, err := Open(ctx, file, o)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for key, name := range want.Keys {
		got, err := f.CheckIn(ctx, "10.0.0.9", key, job.CheckIn{Root: "@roots/web"})
		if err != nil || got.Machine.Name != name || got.Machine.Deployed == nil {
			t.Errorf("CheckIn(%s) = %+v, %v, want %s", key, got.Machine, err, name)
		}
	}
	// What is under way goes on: an install, and the systems that call home.
	ack, err := f.Append(ctx, Proof{Token: want.Tokens["installing2"]},
		job.Events{Boot: want.Tokens["installing2.boot"], Events: []job.Event{{Seq: 3, Message: "x"}}})
	if err != nil || ack.Seq != 3 {
		t.Errorf("Append() of a boot under way = %+v, %v", ack, err)
	}
	for _, token := range []string{"installing2.home", "installed5.home"} {
		if _, err := f.Home(ctx, want.Tokens[token], job.HomeReport{Hostname: "h"}); err != nil {
			t.Errorf("Home(%s) = %v", token, err)
		}
	}
	v, _, err := f.Show(ctx, "52:54:00:00:01:01")
	if err != nil || len(v.Machine.Inventory.Disks) != 1 || v.Machine.Inventory.Disks[0].Serial != "D01" {
		t.Errorf("the inventory of deployed1 is %+v, %v", v.Machine.Inventory, err)
	}
	for name, text := range want.Settings {
		d, err := f.Declared(ctx, name)
		if b, jerr := json.Marshal(d.Settings); err != nil || jerr != nil || string(b) != text {
			t.Errorf("the settings of %s are %s, %v, want %s", name, b, err, text)
		}
	}
	// What operators had ordered decides what boots; what screens had does not any more.
	for mac, action := range map[string]netboot.Action{"52:54:00:00:01:01": netboot.Local,
		"52:54:00:00:01:03": netboot.Agent, "52:54:00:00:01:06": netboot.Menu} {
		if got := boots(t, f, mac); got != action {
			t.Errorf("%s boots %v, want %v", mac, got, action)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestOpenRefusesNewer: a program that is older than the file leaves it alone.
func TestOpenRefusesNewer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fleet.db")
	f, err := Open(t.Context(), file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.db.Exec(fmt.Sprintf("PRAGMA user_version = %d", schemaVersion+1)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := Open(t.Context(), file, Options{}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf(
		"it has version %d, and this program can read versions up to %d: use the program that wrote it",
		schemaVersion+1, schemaVersion)) {
		t.Errorf("Open() of a newer file = %v", err)
	}
}

// TestNewestVersionIsKept: each schema version has its file in testdata, or is the present one.
func TestNewestVersionIsKept(t *testing.T) {
	files, err := migrations.ReadDir("migrations")
	if err != nil || len(files) != schemaVersion {
		t.Errorf("%d migrations, %v, and schemaVersion is %d", len(files), err, schemaVersion)
	}
	dirs, err := os.ReadDir("testdata/versions")
	var have []string
	for _, d := range dirs {
		have = append(have, d.Name())
	}
	for v := 1; v < schemaVersion; v++ {
		if name := strconv.Itoa(v); err != nil || !slices.Contains(have, name) {
			t.Errorf("testdata/versions/%s is missing: %v", name, err)
		}
	}
}
