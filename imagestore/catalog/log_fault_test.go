package catalog

import (
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
	"griddle/imagestore/imagetest"
)

// TestLogTakenBack has a reader see a line that could not be synced and was cut off again; others come in its place.
func TestLogTakenBack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "catalog")
	writtenLog(t, path, Entry{Kind: KindTrust, Key: imagetest.NewKey(t).Public().String()})
	reader := &logFile{path: path}
	add := func(ref string) func([]Entry) ([]Entry, error) {
		return func([]Entry) ([]Entry, error) { return []Entry{{Kind: KindDelete, Ref: ref}}, nil }
	}
	wrote, failed := false, false
	tape := &durabletest.Tape{Root: dir, Fault: func(_ int, o *durable.Op) error {
		switch {
		case o.Kind == durable.Write:
			wrote = true
		case o.Kind == durable.Sync && wrote && !failed:
			failed = true
			if entries, err := reader.read(); err != nil || len(entries) != 2 {
				t.Errorf("before the fsync the reader has %d entries, %v, want 2", len(entries), err)
			}
			return syscall.EIO
		}
		return nil
	}}
	writer, err := openLog(tape.Disk(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.update(t.Context(), add("never:1@amd64")); err == nil {
		t.Fatal("an entry was added though fsync failed")
	}
	for _, r := range []string{"a:1@amd64", strings.Repeat("b", 500) + ":1@amd64"} {
		if err := writer.update(t.Context(), add(r)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := (&logFile{path: path}).read()
	if err != nil || len(want) != 3 {
		t.Fatalf("%d entries, %v, want 3", len(want), err)
	}
	if got, err := reader.read(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("who saw the line that was taken back reads %+v, %v, want %+v", got, err, want)
	}
}
