package bootloader

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

const poolID = "0f6c1e8a-7d3b-4a52-9c1e-3b5d7f9a1c2e"

func TestReadConfigUndoesRender(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []Config{
		{Title: "web:20261120.1", ESP: "GR-12345678", PoolID: poolID, Root: "@roots/web-20261120.1@amd64"},
		{Title: "it's \"mine\"", ESP: "GR-12345678", PoolID: poolID, Root: "@roots/it's",
			Args: []string{"net.ifnames=0", "dyndbg=file drivers/x.c +p", "console=tty0", "rw", "a=$b;c!"}},
		{Title: "flat", ESP: "GR-12345678", PoolID: poolID, Flat: true, Args: []string{"quiet"}},
	} {
		if err := WriteConfig(dir, c); err != nil {
			t.Fatal(err)
		}
		got, err := ReadConfig(dir)
		got.ESP = c.ESP
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("ReadConfig = %+v, %v, want %+v", got, err, c)
		}
		again, err := got.Render()
		if file, _ := os.ReadFile(configPath(dir)); err != nil || string(again) != string(file) {
			t.Errorf("what was read renders as %s, %v", again, err)
		}
	}
}

func TestReadConfigOfOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "griddle"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "menuentry 'x' --id y {\n", "linux /vmlinuz root=UUID=x\n", "menuentry 'x",
		"menuentry 'x' --id griddle {\n linux \"$kernel\" quiet\n", "\x00\xff"} {
		if err := os.WriteFile(configPath(dir), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if c, err := ReadConfig(dir); !errors.Is(err, ErrConfig) {
			t.Errorf("ReadConfig of %q = %+v, %v, want ErrConfig", text, c, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	good, err := Config{ESP: "GR-12345678", PoolID: poolID, Root: "@roots/a"}.Render()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("menuentry '' --id ''\nlinux '' \\ '"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parse(b); err == nil && c.PoolID == "" {
			t.Errorf("parse(%q) = %+v", b, c)
		}
	})
}
