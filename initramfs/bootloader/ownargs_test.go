package bootloader

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/sysroot"
)

// own are files of a root with its kernel arguments, as they may be.
var own = map[string]struct {
	text string
	want []string // nil: those of grub.cfg
}{
	"two":        {`_format=1` + "\n" + `="quiet" "dyndbg=file x.c +p"`, []string{"quiet", "dyndbg=file x.c +p"}},
	"none":       {`_format=1` + "\n" + `=`, []string{}},
	"of the job": {`_format=1` + "\n" + `="a" "b"` + "\n" + `_of_job="b"`, []string{"a", "b"}},
	"what a shell would run": {`_format=1` + "\n" + `="$(halt)" "$1" "$griddle_good" "a;b" "{!}" "*" "($pool)/*" "a=b"`,
		[]string{"$(halt)", "$1", "$griddle_good", "a;b", "{!}", "*", "($pool)/*", "a=b"}},
	"another format":      {`_format=2` + "\n" + `="a"`, nil},
	"no format":           {`="a"`, nil},
	"a word outside":      {`_format=1` + "\n" + `="a" b`, nil},
	"an open quote":       {`_format=1` + "\n" + `="a" "b`, nil},
	"an empty word":       {`_format=1` + "\n" + `="a" ""`, nil},
	"an apostrophe":       {`_format=1` + "\n" + `="it's"`, nil},
	"a backslash":         {`_format=1` + "\n" + `="a\\b"`, nil},
	"escaped quotes":      {`_format=1` + "\n" + `=\"a\"`, []string{"a"}},
	"a line in a value":   {`_format=1` + "\n" + `="a\` + "\n" + `b"`, nil},
	"a tab":               {`_format=1` + "\n" + "=\"a\tb\"", nil},
	"not ASCII":           {`_format=1` + "\n" + `="ä"`, nil},
	"twice":               {`_format=1` + "\n" + `="a"` + "\n" + `="b"`, []string{"b"}},
	"zero":                {`_format=1` + "\n" + "=\"a\"\x00\"b\"", []string{"a"}},
	"no arguments":        {`_format=1`, []string{}},
	"variables of GRUB's": {`_format=1` + "\n" + `="a"` + "\n\x00", []string{"a"}},
}

// block is such a file. It also has variables that are none of its business.
func block(text string) string {
	out := "# GRUB Environment Block\n"
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "=") || strings.HasPrefix(line, "_") {
			line = "griddle_arguments" + line
		}
		out += line
	}
	return out + "\ngriddle_good=evil\ngriddle_candidate=evil\npool=hd9\nkernel=/evil\ninitrd=/evil\nroot=hd9\n" +
		"prefix=/evil\ngriddle_flags=evil\n"
}

// GRUB takes the arguments that a root has of its own, as package arguments reads them, and nothing else of the file.
func TestGRUBTakesOwnArguments(t *testing.T) {
	dir := t.TempDir()
	names := map[string]string{}
	plant := func(name, text string) sysroot.Dir {
		root := "r" + strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' {
				return r
			}
			return '-'
		}, name)
		at := filepath.Join(dir, Roots, root)
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		open, err := os.OpenRoot(at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { open.Close() })
		s := sysroot.Dir{Root: open}
		names[name] = root
		for file, text := range map[string]string{"vmlinuz": "k", "initrd.img": "i", arguments.File: text,
			"boot/vmlinuz-1": "k"} {
			if text == "-" {
				continue
			}
			if err := s.Write(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	roots := map[string]sysroot.Dir{}
	for name, c := range own {
		roots[name] = plant(name, block(c.text))
	}
	for name, text := range map[string]string{"missing": "-", "empty": "", "rubbish": "\x00\xff", "huge line": block(
		"_format=1\n=" + strings.Repeat(`"a" `, 200))} {
		roots[name] = plant(name, text)
	}
	pool, id := format(t, dir)
	conf := Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/last", Args: []string{"of-the-file", "x=y z"}}
	for name, root := range names {
		a, err := arguments.Read(roots[name])
		if err != nil {
			t.Fatal(err)
		}
		want := conf.Args
		if a != nil {
			want = a.All
		}
		if c, ok := own[name]; ok && (a == nil) != (c.want == nil) || ok && a != nil && !slices.Equal(a.All, c.want) {
			t.Errorf("%s: Read = %+v, want %q", name, a, c.want)
		}
		for _, try := range []bool{false, true}[:1+len(name)%2] {
			b := env(t, root, "", 0)
			fixed := conf.fixed("rootflags=subvol=@roots/"+root, "griddle.try")
			if try {
				b = env(t, "gone", root, 1)
			} else {
				fixed = fixed[:len(fixed)-1]
			}
			got := grubtest.Boot(t, esp(t, conf, b, b), pool)
			if got.Root != root || got.Kernel != "/@roots/"+root+"/vmlinuz" ||
				got.Initrd != "/@roots/"+root+"/initrd.img" || !slices.Equal(got.Args, append(fixed, want...)) {
				t.Errorf("%s: GRUB starts %s with %q, want %q:\n%s", name, got.Kernel, got.Args,
					append(fixed, want...), got.Screen)
			}
		}
	}
}

// A root's own arguments are those of that root alone: the one that GRUB takes after it, and the menu, have theirs.
func TestGRUBTakesArgumentsOfEachRoot(t *testing.T) {
	dir := t.TempDir()
	for root, args := range map[string][]string{"broken": {"of-broken"}, "good": nil, "two": {"of-two"}} {
		at := filepath.Join(dir, Roots, root)
		for _, file := range []string{"vmlinuz", "initrd.img", "boot/vmlinuz-1", "boot/initrd.img-1"} {
			file = filepath.Join(at, file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if args == nil {
			continue
		}
		open, err := os.OpenRoot(at)
		if err != nil {
			t.Fatal(err)
		}
		defer open.Close()
		if err := arguments.Write(sysroot.Dir{Root: open}, arguments.Arguments{All: args}); err != nil {
			t.Fatal(err)
		}
	}
	pool, id := format(t, dir)
	conf := Config{ESP: "GR-1B4E28BA", PoolID: id, Root: "@roots/last", Args: []string{"of-the-file"}}
	for _, c := range []struct{ good, candidate, entry, root, arg string }{
		{"good", "broken", "", "good", "of-the-file"},
		{"two", "broken", "", "two", "of-two"},
		{"two", "", "kernels>0", "two", "of-two"},
		{"good", "", "kernels>0", "good", "of-the-file"},
	} {
		tries := 0
		if c.candidate != "" {
			tries = 1
		}
		b := env(t, c.good, c.candidate, tries)
		if c.entry != "" {
			at := strings.TrimRight(string(b), "#") + "saved_entry=" + c.entry + "\n"
			b = []byte(at + string(b[len(at):]))
		}
		got := grubtest.Boot(t, esp(t, conf, b, b), pool)
		if got.Root != c.root || len(got.Args) == 0 || got.Args[len(got.Args)-1] != c.arg ||
			strings.Count(got.Screen, "argument <of-") != 1 {
			t.Errorf("%+v: GRUB starts %s with %q:\n%s", c, got.Root, got.Args, got.Screen)
		}
	}
}
