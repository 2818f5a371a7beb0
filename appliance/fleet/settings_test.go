package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/seal"
	"griddle/appliance/setting"
	"griddle/imagestore/durable"
)

// canary is a secret that must be seen nowhere but where it belongs.
const canary = "$6$canary$canarycanarycanarycanary"

// secrets are settings with the canary.
const secrets = `{"hostname":"lab","root":{"passwordHash":"` + canary + `"}}`

// to makes the change to a document.
func to(t *testing.T, text string) func(string, Declared) (setting.Document, error) {
	t.Helper()
	return func(_ string, d Declared) (setting.Document, error) {
		return setting.Decode(d.Settings.From, []byte(text))
	}
}

// openSealed is open with a key for settings beside the file.
func openSealed(t *testing.T, o Options) (f *Fleet, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "fleet.db")
	o.Sealer = seal.In(durable.Disk{}, filepath.Join(filepath.Dir(file), "settings.key"), "test")
	f, err := Open(t.Context(), file, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, file
}

// TestSettingsAreSealed: the bytes of the state have no secret, and without the key it is not opened.
func TestSettingsAreSealed(t *testing.T) {
	ctx := t.Context()
	f, file := openSealed(t, Options{})
	key := filepath.Join(filepath.Dir(file), "settings.key")
	if _, err := os.Stat(key); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a key before there are settings: %v", err)
	}
	if _, err := f.SetSettings(ctx, []string{macA}, to(t, secrets)); err != nil {
		t.Fatal(err)
	}
	d, err := f.Declared(ctx, macA)
	if b, jerr := json.Marshal(d.Settings); err != nil || jerr != nil || string(b) != secrets || d.Changed.IsZero() {
		t.Errorf("Declared() = %s, %v, %v", b, err, jerr)
	}
	if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v, %v", st.Mode(), err)
	}
	files, err := filepath.Glob(file + "*")
	if err != nil || len(files) < 2 {
		t.Errorf("the state is %v, %v, want the database and its log", files, err)
	}
	for _, name := range files {
		if b, err := os.ReadFile(name); err != nil || bytes.Contains(b, []byte("canary")) {
			t.Errorf("%s has the secret, %v", name, err)
		}
	}
	f.Close()
	if err := os.Rename(key, key+".lost"); err != nil {
		t.Fatal(err)
	}
	sealer := seal.In(durable.Disk{}, key, "test")
	for range 2 {
		_, err := Open(ctx, file, Options{Sealer: sealer})
		if !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), "the settings of 1 machines") ||
			!strings.Contains(err.Error(), key) {
			t.Errorf("Open() without the key = %v", err)
		}
	}
	if _, err := os.Stat(key); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a new key: %v", err)
	}
	if err := seal.In(durable.Disk{}, key, "test").Make(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, file, Options{Sealer: sealer}); !errors.Is(err, ErrSealed) {
		t.Errorf("Open() with another key = %v", err)
	}
	if n, keys, err := DiscardSettings(ctx, file); err != nil || n != 1 || keys != 0 {
		t.Errorf("DiscardSettings() = %d, %d, %v", n, keys, err)
	}
	if f, err = Open(ctx, file, Options{Sealer: sealer}); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if d, err := f.Declared(ctx, macA); err != nil || !d.Settings.Empty() {
		t.Errorf("Declared() afterwards = %+v, %v", d, err)
	}
}

// TestSetSettings: settings of several machines change together or not at all.
func TestSetSettings(t *testing.T) {
	ctx := t.Context()
	f, _ := openSealed(t, Options{})
	hostnames := func(keys ...string) (out []string) {
		for _, k := range keys {
			d, err := f.Declared(ctx, k)
			if err != nil {
				return append(out, err.Error())
			}
			b, err := json.Marshal(d.Settings)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(b))
		}
		return out
	}
	no := errors.New("no")
	_, err := f.SetSettings(ctx, []string{macA, "nobody", macB},
		func(key string, _ Declared) (setting.Document, error) {
			if key == macB {
				return setting.Document{}, no
			}
			return setting.Decode("test", []byte(`{"hostname":"a"}`))
		})
	if !errors.Is(err, no) || !errors.Is(err, ErrUnknown) {
		t.Errorf("SetSettings() = %v, want both mistakes", err)
	}
	if all := list(t, f); len(all) != 0 {
		t.Errorf("after a mistake there are %d machines", len(all))
	}
	all, err := f.SetSettings(ctx, []string{macA, macB}, to(t, `{"hostname":"a"}`))
	if err != nil || len(all) != 2 || all[0].Rank != Ordered {
		t.Fatalf("SetSettings() = %+v, %v", all, err)
	}
	if _, err := f.SetSettings(ctx, []string{macA, all[0].Name}, to(t, `{}`)); !errors.Is(err, ErrInvalid) ||
		!strings.Contains(err.Error(), "are the same machine") {
		t.Errorf("SetSettings() of one machine twice = %v", err)
	}
	large := `{"userData":"` + strings.Repeat("x", setting.MaxDocument-10) + `"}`
	if _, err := f.SetSettings(ctx, []string{macA}, func(string, Declared) (setting.Document, error) {
		return setting.New("test", map[string]any{"userData": large})
	}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "the limit is") {
		t.Errorf("SetSettings() of too much = %v", err)
	}
	if got := hostnames(macA, macB); got[0] != `{"hostname":"a"}` || got[1] != got[0] {
		t.Errorf("the settings are %v", got)
	}
	if _, err := f.SetSettings(ctx, []string{macB}, to(t, `{"hostname":"b"}`)); err != nil {
		t.Fatal(err)
	}
	// Merging keeps those of the first machine, and deleting deletes them.
	if _, err := f.Merge(ctx, macA, macB); err != nil {
		t.Fatal(err)
	}
	const macC = "52:54:00:00:00:0c"
	if _, _, err := f.Install(ctx, macC, order()); err != nil {
		t.Fatal(err)
	}
	if m, err := f.Merge(ctx, macC, macA); err != nil || !m.has(macB) {
		t.Fatalf("Merge() = %+v, %v", m, err)
	}
	if got := hostnames(macC); got[0] != `{"hostname":"a"}` {
		t.Errorf("after merging the settings are %v", got)
	}
	entries, err := f.read(ctx, macC, 0, 100)
	if b, jerr := json.Marshal(entries); err != nil || jerr != nil ||
		!strings.Contains(string(b), "this machine keeps its own") {
		t.Errorf("the journal is %s, %v, %v", b, err, jerr)
	}
	for range 2 {
		if _, err := f.ClearSettings(ctx, macC, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := hostnames(macC); got[0] != `{}` {
		t.Errorf("after clearing the settings are %v", got)
	}
	if _, err := f.ClearSettings(ctx, "nobody", nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("ClearSettings() of no machine = %v", err)
	}
	if _, err := f.SetSettings(ctx, []string{macC}, to(t, secrets)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Cancel(ctx, macC); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Delete(ctx, macC, false); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := f.db.QueryRow("SELECT count(*) FROM settings").Scan(&n); err != nil || n != 0 {
		t.Errorf("after deleting there are %d settings, %v", n, err)
	}
}
