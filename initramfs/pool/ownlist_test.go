package pool

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"griddle/initramfs/bootloader"
)

const ownUUID = "0a1b2c3d-0000-4000-8000-00000000000"

func TestWriteOwn(t *testing.T) {
	top := t.TempDir()
	if err := os.MkdirAll(filepath.Join(top, "@persistent"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := readOwn(top); err == nil {
		t.Error("a pool without a list is read")
	}
	dir, err := Persistent(top)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	want := []bootloader.OwnRoot{{Name: "root-a", UUID: ownUUID + "a"}, {Name: "root-b", UUID: ownUUID + "b"}}
	if err := WriteOwn(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, err := readOwn(top); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("readOwn = %+v, %v, want %+v", got, err, want)
	}
	for name, bad := range map[string][]bootloader.OwnRoot{"none": nil, "a name": {{Name: "a b", UUID: ownUUID + "a"}},
		"a UUID": {{Name: "a", UUID: "../x"}}, "twice": {want[0], want[0]}} {
		if err := WriteOwn(dir, bad); err == nil {
			t.Errorf("a list with %s is written", name)
		}
	}
}

func FuzzOwn(f *testing.F) {
	f.Add([]byte(`{"version":1,"roots":[{"name":"root-a","uuid":"` + ownUUID + `a"}]}`))
	f.Add([]byte(`{"version":2,"roots":[]}`))
	f.Add([]byte(`{"version":1,"roots":[{"name":"a","uuid":"` + ownUUID + `a"}]}{}`))
	f.Add([]byte(strings.Repeat(" ", maxOwn+1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseOwn(b)
		if (err == nil) != (len(got) > 0) {
			t.Errorf("parseOwn = %+v, %v", got, err)
		}
		conf := bootloader.Config{ESP: "GR-1B4E28BA", PoolID: ownUUID + "f", Own: got}
		if len(got) > 0 && got[0].UUID != conf.PoolID {
			conf.Root = roots + "/" + got[0].Name
			for _, r := range got {
				if r.UUID == conf.PoolID {
					return
				}
			}
			if _, err := conf.Render(); err != nil {
				t.Errorf("%+v is read, and cannot be written to grub.cfg: %v", got, err)
			}
		}
	})
}
