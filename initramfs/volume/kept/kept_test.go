package kept

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"griddle/initramfs/volume"
)

// TestKept keeps a record, and removes it when it is empty.
func TestKept(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	if r, err := Of(top); err != nil || len(r.Programs()) > 0 {
		t.Errorf("Of a pool without @persistent = %+v, %v", r, err)
	}
	if err := os.MkdirAll(filepath.Join(top, "@persistent", filepath.Dir(File)), 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.OpenRoot(filepath.Join(top, "@persistent"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	want := volume.Record{Version: 1, Arrays: []volume.RecordedArray{{Name: "home",
		ID: "0a1b2c3d-0000-4000-8000-0123456789ab", Devices: 2}}}
	if err := Write(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, err := Of(top); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Of = %+v, %v, want %+v", got, err, want)
	}
	for range 2 {
		if err := Write(dir, volume.Record{}); err != nil {
			t.Errorf("Write of an empty record = %v", err)
		}
		if _, err := dir.Lstat(File); !os.IsNotExist(err) {
			t.Errorf("an empty record has a file: %v", err)
		}
	}
	if err := dir.WriteFile(File, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Of(top); err == nil || !strings.Contains(err.Error(), "/persistent/griddle/volumes.json: ") {
		t.Errorf("Of a record without a version = %v", err)
	}
}
