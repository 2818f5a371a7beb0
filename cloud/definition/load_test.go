package definition

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"griddle/cloud/diskimage"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update to rewrite it):\n%s", name, got)
	}
}

// tree makes files of pairs of names and contents.
func tree(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

// TestPreview has the whole hierarchy of testdata/web.yaml.
func TestPreview(t *testing.T) {
	d, err := Load(os.DirFS("testdata"), "site/web.yaml", "debug")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := d.Preview(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "web.preview", b.Bytes())
}

func TestMerging(t *testing.T) {
	const head = "name: x\nimage: x:1\noutputs: {a: {}}\n"
	options := func(d *Definition) string {
		o := d.Outputs[0].Options
		var files []string
		for _, f := range o.Files {
			files = append(files,
				fmt.Sprintf("%s %o %d:%d %q%s %v", f.Path, f.Mode, f.UID, f.GID, f.Content, f.Link, f.Dir))
		}
		return fmt.Sprintf("%d %s %q %s", o.Size>>20, o.Filesystem, o.Args, strings.Join(files, ", "))
	}
	for _, c := range []struct {
		name      string
		base, top string
		want      string
		conflicts int
	}{
		{"nothing", head, "include: [base]", `0 ext4 [] `, 0},
		{"later wins", head + "disk: {size: 1GiB, args: [a]}", "include: base\ndisk: {size: 2GiB}",
			`2048 ext4 ["a"] `, 1},
		{"the same is no conflict", head + "disk: {size: 1GiB, args: [a]}",
			"include: base\ndisk: {size: 1GiB, args: [a]}", `1024 ext4 ["a"] `, 0},
		{"a list replaces", head + "disk: {args: [a, b]}", "include: base\ndisk: {args: [c]}", `0 ext4 ["c"] `, 1},
		{"a list is put behind", head + "disk: {args: [a, b]}", "include: base\ndisk: {args+: [c]}",
			`0 ext4 ["a" "b" "c"] `, 0},
		{"a list is put behind nothing", head, "include: base\ndisk: {args+: [c]}", `0 ext4 ["c"] `, 0},
		{"null takes away", head + "disk: {size: 1GiB, args: [a]}",
			"include: base\ndisk: {size: null, args: null}", `0 ext4 [] `, 2},
		{"a mode of a file", head + "files: {/a: {content: x, owner: 1:2}}", "include: base\nfiles: {/a: {mode: 0600}}",
			`0 ext4 [] /a 600 1:2 "x" false`, 0},
		{"another content", head + "files: {/a: {content: x, mode: 0600}}",
			"include: base\nfiles: {/a: {base64: /w==}}", `0 ext4 [] /a 600 0:0 "\xff" false`, 1},
		{"a file taken away", head + "files: {/a: {content: x}, /b: {link: c}}", "include: base\nfiles: {/a: null}",
			`0 ext4 [] /b 777 0:0 ""c false`, 1},
		{"of one output", head + "files: {/a: {content: x}}\ndisk: {args: [q]}",
			"include: base\noutputs: {a: {files: {/a: null, /d: {directory: true}}, disk: {args+: [r]}}}",
			`0 ext4 ["q" "r"] /d 755 0:0 "" true`, 1},
		{"block text", head + "files:\n  /a:\n    mode: \"4755\"\n    content: |\n      one\n        two\n",
			"include: base\n", `0 ext4 [] /a 4755 0:0 "one\n  two\n" false`, 0},
		{"of an output, in two files", head[:len(head)-4] + "{disk: {args+: [r], size: null}}}\ndisk: {args: [q]}",
			"include: base\ndisk: {size: 1GiB}\noutputs: {a: {disk: {args+: [s]}}}", `0 ext4 ["q" "r" "s"] `, 1},
		{"profiles", head + "profiles: {p: {disk: {args+: [p]}, inherit: q}, q: {disk: {args: [q]}}, r: {disk: " +
			"{args+: [r]}, inherit: [p, q]}}", "include: base\nuse: [r, q]", `0 ext4 ["q" "p" "r"] `, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Load(tree("base", c.base, "top", c.top), "top")
			if err != nil {
				t.Fatal(err)
			}
			if got := options(d); got != c.want || len(d.Conflicts) != c.conflicts {
				t.Errorf("merged = %s with conflicts %v, want %s with %d", got, d.Conflicts, c.want, c.conflicts)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	const head = "name: x\nimage: x:1\noutputs: {a: {}}\n"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{"d:1:1: the file is empty"}},
		{"no mapping", "[1]", []string{"d:1:1: it must be a mapping of keys, not a list"}},
		{"no YAML", "a: [", []string{"d:1:4: this is not YAML"}},
		{"two documents", "a: 1\n---\nb: 1\n", []string{"d:3:1: there is a second document"}},
		{"everything at once", "name: X!\nimage: 5\ncolour: red\ndisk: {size: 5, filesystem: xfs, args: {}, " +
			"dropDevices: 1}\noutputs:\n  a: {format: iso, extra: 1}\n  b: 7\n", []string{
			"d:1:7: the name must be", "d:2:8: image must be text, not 5", `d:3:9: the key "colour" is unknown`,
			"d:4:14: the size must be", "d:4:29: filesystem must be one of ext4, btrfs",
			"args must be a list of text", "dropDevices must be true or false",
			"d:6:15: format must be one of qcow2, raw", `the key "extra" is unknown`,
			"d:7:6: an output is a mapping, not 7"}},
		{"files", head + "files:\n  a: {content: x}\n  /b: {content: x, link: y}\n  /c: {}\n  /d: {base64: '!'}\n" +
			"  /e: {content: x, mode: 99}\n  /f: {content: x, owner: root}\n  /g: {source: none}\n" +
			"  /h/../i: {content: x}\n  /j: {directory: false}\n", []string{
			`the path "a" is not absolute`,
			`d:6:3: the file "/b" needs one of content, base64, source, link, directory, and has 2`,
			`"/c" needs one of`, "this is not base64",
			"d:9:26: the mode must be octal", "d:10:27: the owner must be the numbers", "file does not exist",
			"shortest form", "directory can only be true"}},
		{"source above", head + "files: {/a: {source: ../../etc/shadow}}", []string{"leads out of the folder"}},
		{"include above", "include: [/etc/passwd, ../x]\n" + head, []string{"leads out of the folder"}},
		{"include itself", "include: [d]\n" + head, []string{`d:1:11: "d" includes itself`}},
		{"no profile", head + "use: [p]\nprofiles: {q: {}}",
			[]string{`d:4:7: the profile "p" does not exist; there are q`}},
		{"profile in a circle", head + "use: [p]\nprofiles: {p: {inherit: q}, q: {inherit: p}}",
			[]string{`profile "p" inherits itself, by way of p, q`}},
		{"profile with a name", head + "use: [p]\nprofiles: {p: {name: y}}",
			[]string{"a profile cannot have the key name"}},
		{"twice", "name: x\nname: y\n", []string{"d:2:1: name: the key is already defined on line 1"}},
		{"alias", "a: &x 1\nb: *x\n", []string{
			"d:1:4: a: anchors (&) and aliases (*) are not allowed; use include and profiles", "d:2:4: b: anchors"}},
		{"deep", strings.Repeat("[", 200) + strings.Repeat("]", 200),
			[]string{"more than 16 mappings and lists are inside one another"}},
		{"nothing to make", "name: x\nimage: y", []string{"the key outputs is missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Load(tree("d", c.text), "d")
			if err == nil {
				t.Fatalf("Load = %+v, want an error", d)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error has no %q:\n%v", w, err)
				}
			}
		})
	}
}

// TestBytes has files laid over an image be what their sources are.
func TestBytes(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	fsys := tree("sub/base.yaml", "files: {/a: {source: data/all, mode: 04711, owner: 65534:4294967294}}",
		"sub/data/all", string(every),
		"top", "include: [sub/base.yaml]\nname: x\nimage: y\noutputs: {a: {format: tree}}")
	d, err := Load(fsys, "top")
	if err != nil {
		t.Fatal(err)
	}
	f := d.Outputs[0].Options.Files[0]
	if !bytes.Equal(f.Content, every) || f.Mode != 0o4711 || f.UID != 65534 || f.GID != 4294967294 ||
		d.Outputs[0].Options.Format != diskimage.Tree {
		t.Errorf("the file is %+v", f)
	}
}

// FuzzLoad has any bytes be a definition: it must not panic, and what is read must be what a second reading gives.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"site/web.yaml", "base.yaml"} {
		b, err := fs.ReadFile(os.DirFS("testdata"), name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("name: x\nimage: y\noutputs: {a: {disk: {args+: [1]}}}\nprofiles: {p: {inherit: p}}\nuse: p\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := tree("d", string(b), "base.yaml", "disk: {args: [x]}")
		one, err1 := Load(fsys, "d")
		two, err2 := Load(fsys, "d")
		if (err1 == nil) != (err2 == nil) || fmt.Sprintf("%+v", one) != fmt.Sprintf("%+v", two) {
			t.Errorf("two readings differ: %+v, %v; %+v, %v", one, err1, two, err2)
		}
		if err1 == nil {
			if err := one.Preview(&bytes.Buffer{}); err != nil {
				t.Error(err)
			}
		}
	})
}
