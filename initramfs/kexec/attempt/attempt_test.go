package attempt

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func folder(t *testing.T) *os.Root {
	t.Helper()
	dir, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

var tried = Attempt{Time: time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC), Model: Model{"Dell Inc.", "OptiPlex"},
	Root: "two@amd64", Kernel: "boot/vmlinuz-6.1", Boot: "one", State: Tried}

func TestSettle(t *testing.T) {
	const line = "root=UUID=x rw griddle.try"
	for name, c := range map[string]struct {
		was  State
		s    Start
		want State
	}{
		"it came up":                          {Tried, Start{"two", line + " " + Word}, Worked},
		"the firmware started the machine":    {Tried, Start{"two", line}, Failed},
		"another word":                        {Tried, Start{"two", line + " " + Word + "=x"}, Failed},
		"the system that jumps, still there":  {Tried, Start{"one", line}, Tried},
		"it worked, and later the firmware":   {Worked, Start{"three", line}, Worked},
		"it failed, and later a jump by hand": {Failed, Start{"three", line + " " + Word}, Failed},
	} {
		dir, a := folder(t), tried
		a.State = c.was
		if err := Write(dir, a); err != nil {
			t.Fatal(err)
		}
		a.State = c.want
		for range 2 { // once more changes nothing
			got, err := Settle(dir, c.s)
			if err != nil || !reflect.DeepEqual(got, &a) {
				t.Errorf("%s: Settle = %+v, %v, want %+v", name, got, err, a)
			}
		}
		if got, err := Read(dir); err != nil || !reflect.DeepEqual(got, &a) {
			t.Errorf("%s: Read = %+v, %v, want %+v", name, got, err, a)
		}
	}
	if got, err := Settle(folder(t), Start{}); got != nil || err != nil {
		t.Errorf("Settle without an attempt = %+v, %v", got, err)
	}
}

func TestRestore(t *testing.T) {
	dir := folder(t)
	before := tried
	before.State = Worked
	for _, a := range []*Attempt{nil, &before, nil, nil} {
		if err := Write(dir, tried); a != nil && err != nil {
			t.Fatal(err)
		}
		if err := Restore(dir, a); err != nil {
			t.Error(err)
		}
		if got, err := Read(dir); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("Read = %+v, %v, want %+v", got, err, a)
		}
	}
}

func TestReadRubbish(t *testing.T) {
	for name, text := range map[string]string{"": "", "zeros": "\x00\x00\x00", "torn": `{"state":"tr`,
		"another state": `{"state":"maybe"}`, "another thing": `[]`, "too long": strings.Repeat(" ", 1<<17) + "{}"} {
		dir := folder(t)
		if err := os.WriteFile(filepath.Join(dir.Name(), File), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Settle(dir, Start{}); got != nil || err != nil {
			t.Errorf("%s: Settle = %+v, %v, want none", name, got, err)
		}
		if err := Write(dir, tried); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := folder(t)
	if err := os.Symlink("/etc/passwd", filepath.Join(dir.Name(), File)); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dir); err == nil {
		t.Errorf("Read of a link = %+v", got)
	}
}

func TestThisModel(t *testing.T) {
	sys := fstest.MapFS{"class/dmi/id/sys_vendor": {Data: []byte("QEMU\n")},
		"class/dmi/id/product_name": {Data: []byte(" Standard PC \x1b[2J\n")}}
	got := ThisModel(sys)
	if got.Vendor != "QEMU" || !strings.HasPrefix(got.Product, "Standard PC") || strings.Contains(got.Product, "\x1b") {
		t.Errorf("ThisModel = %q", got)
	}
	if got := ThisModel(fstest.MapFS{}); got != (Model{}) {
		t.Errorf("without firmware ThisModel = %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-29T10:00:00Z","vendor":"a","root":"b","state":"tried"}`))
	f.Add([]byte(`{"state":"failed","kernel":"\u001b[2J"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a := parse(b)
		if a == nil {
			return
		}
		if strings.ContainsAny(a.Root+a.Kernel+a.Vendor+a.Product+a.Boot, "\x1b\n\x00") {
			t.Errorf("parse(%q) = %+v", b, a)
		}
	})
}
