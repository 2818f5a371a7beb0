package bootloader

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const poolID = "0f6c1e8a-7d3b-4a52-9c1e-3b5d7f9a1c2e"

func TestReadConfigUndoesRender(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []Config{
		{ESP: "GR-12345678", PoolID: poolID, Root: "@roots/web-20261120.1@amd64"},
		{ESP: "GR-12345678", PoolID: poolID, Root: "@roots/$1;its", Args: []string{"net.ifnames=0",
			"dyndbg=file drivers/x.c +p", "console=tty0", "rw", "a=$b;c!", "$1", "rootflags=subvol=@x", "then;",
			"a=; then"}},
		{Title: "flat", ESP: "GR-12345678", PoolID: poolID, Flat: true,
			Args: []string{"quiet", "panic=10", "$2", "rootflags=subvol=@x"}},
		{Title: "it's \"mine\"", ESP: "GR-12345678", PoolID: poolID, Flat: true},
		{Title: "@ARGS@ @POOL@", ESP: "GR-12345678", PoolID: poolID, Flat: true, Args: []string{"@TITLE@"}},
	} {
		if err := WriteConfig(dir, c); err != nil {
			t.Fatal(err)
		}
		got, err := ReadConfig(dir)
		if got.ESP = c.ESP; got.Script == Script {
			got.Script = 0
		}
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("ReadConfig = %+v, %v, want %+v", got, err, c)
		}
		again, err := got.Render()
		if file, _ := os.ReadFile(configPath(dir)); err != nil || string(again) != string(file) {
			t.Errorf("what was read renders as %s, %v", again, err)
		}
	}
}

// A grub.cfg of the first format names the root that boots, and its title, which a pool does not have any more.
func TestReadConfigOfTheFirstFormat(t *testing.T) {
	const id = "0a1b2c3d-0000-4000-8000-0123456789ab"
	for file, want := range map[string]Config{
		"old.cfg": {PoolID: id, Root: "@roots/web-20261120.1", Old: true,
			Args: []string{"net.ifnames=0", "quoted=its $HOME; {!}"}},
		"oldflat.cfg": {PoolID: id, Title: "Debian", Flat: true},
	} {
		dir := t.TempDir()
		b, err := os.ReadFile(filepath.Join("testdata", file))
		if err == nil {
			err = errors.Join(os.Mkdir(filepath.Join(dir, "griddle"), 0o755), os.WriteFile(configPath(dir), b, 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadConfig(dir)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ReadConfig of %s = %+v, %v, want %+v", file, got, err, want)
		}
		// Written again it is of the new format.
		got.ESP, want.Old = "GR-12345678", false
		if err := WriteConfig(dir, got); err != nil {
			t.Fatal(err)
		}
		want.Script = Script
		if got, err := ReadConfig(dir); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s written again = %+v, %v, want %+v", file, got, err, want)
		}
	}
}

func TestReadConfigOfOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "griddle"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "menuentry 'x' --id y {\n", "linux /vmlinuz root=UUID=x\n", "menuentry 'x",
		"menuentry 'x' --id griddle {\n linux \"$kernel\" quiet\n", "\x00\xff",
		header, header + "set griddle_root='a' b\nif linux \"$kernel\" 'root=UUID=x'; then\n",
		header + "set griddle_root='a'\nif linux 'root=UUID=x'; then\n", strings.Replace(header, "2", "3", 1)} {
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
	f.Add([]byte(header + "set griddle_root='\nif linux '"))
	if old, err := os.ReadFile("testdata/old.cfg"); err == nil {
		f.Add(old)
	}
	f.Add([]byte("menuentry '' --id ''\nlinux '' \\ '"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parse(b); err == nil && c.PoolID == "" {
			t.Errorf("parse(%q) = %+v", b, c)
		}
	})
}
