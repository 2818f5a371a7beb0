package setting

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"griddle/appliance/setting"
	"griddle/initramfs/sysroot"
)

var update = flag.Bool("update", false, "write the goldens again")

// Each archive of testdata has settings.json, the files of an image (in/PATH MODE UID:GID, in/PATH -> TARGET, all but
// the path optional), and what Apply makes of it: error, notes, run, and all files that are new or changed
// (out/PATH ...).
func TestApply(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("files of several users are written: run the tests as root")
	}
	all, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(all) == 0 {
		t.Fatal(err, all)
	}
	for _, name := range all {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := &txtar.Archive{Comment: archive.Comment}
			got.Files = append(slices.DeleteFunc(slices.Clone(archive.Files), isResult), results(t, archive.Files)...)
			if *update {
				if err := os.WriteFile(name, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want, got := txtar.Format(archive), txtar.Format(got); !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func isResult(f txtar.File) bool {
	return f.Name != "settings.json" && !strings.HasPrefix(f.Name, "in/")
}

// results applies the settings of an archive twice and returns what that gave.
func results(t *testing.T, files []txtar.File) []txtar.File {
	t.Helper()
	d := unpack(t, files)
	before := snapshot(t, d)
	var log, notes []string
	apply := func() error {
		log, notes = nil, nil
		return Apply(t.Context(), d.Root, settings(t, files), Options{
			Run: func(_ context.Context, name string, args ...string) error {
				log = append(log, strings.Join(append([]string{name}, args...), " "))
				return nil
			},
			Note: func(text string) { notes = append(notes, text) },
		})
	}
	err := apply()
	after := snapshot(t, d)
	if again := apply(); fmt.Sprint(err) != fmt.Sprint(again) {
		t.Errorf("applied again: %v, before: %v", again, err)
	}
	if twice := snapshot(t, d); !slices.EqualFunc(after, twice, same) {
		t.Errorf("applied again, the files are\n%s\nbefore\n%s", txtar.Format(&txtar.Archive{Files: twice}),
			txtar.Format(&txtar.Archive{Files: after}))
	}
	var out []txtar.File
	if err != nil {
		if !errors.Is(err, ErrImage) {
			t.Errorf("%v does not wrap ErrImage", err)
		}
		out = append(out, txtar.File{Name: "error", Data: []byte(err.Error() + "\n")})
	}
	for name, lines := range map[string][]string{"notes": notes, "run": log} {
		if len(lines) > 0 {
			out = append(out, txtar.File{Name: name, Data: []byte(strings.Join(lines, "\n") + "\n")})
		}
	}
	slices.SortFunc(out, func(a, b txtar.File) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range after {
		if !slices.ContainsFunc(before, func(b txtar.File) bool { return same(b, f) }) {
			out = append(out, f)
		}
	}
	return out
}

func same(a, b txtar.File) bool { return a.Name == b.Name && bytes.Equal(a.Data, b.Data) }

// settings are those of an archive.
func settings(t testing.TB, files []txtar.File) setting.Settings {
	t.Helper()
	i := slices.IndexFunc(files, func(f txtar.File) bool { return f.Name == "settings.json" })
	if i < 0 {
		t.Fatal("there is no settings.json")
	}
	return resolve(t, files[i].Data)
}

// resolve makes settings of a document.
func resolve(t testing.TB, document []byte) setting.Settings {
	t.Helper()
	doc, err := setting.Decode("test", document)
	if err != nil {
		t.Fatal(err)
	}
	s, err := setting.Merge(doc).Resolve(setting.Machine{Name: "lab-1"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tree opens a folder.
func tree(t testing.TB, dir string) sysroot.Dir {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return sysroot.Dir{Root: root}
}

// unpack makes a tree of the files of an image.
func unpack(t testing.TB, files []txtar.File) sysroot.Dir {
	t.Helper()
	d := tree(t, t.TempDir())
	for _, f := range files {
		name, ok := strings.CutPrefix(f.Name, "in/")
		if !ok {
			continue
		}
		if link, target, ok := strings.Cut(name, " -> "); ok {
			if err := errors.Join(d.Parent(link), d.Symlink(target, link)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		mode, owner := fs.FileMode(0o644), sysroot.Owner{}
		fields := strings.Fields(name)
		for _, f := range fields[1:] {
			if uid, gid, ok := strings.Cut(f, ":"); ok {
				owner.UID, _ = strconv.Atoi(uid)
				owner.GID, _ = strconv.Atoi(gid)
			} else {
				n, err := strconv.ParseUint(f, 8, 12)
				if err != nil {
					t.Fatal(err)
				}
				mode = fs.FileMode(n)
			}
		}
		if err := d.WriteAs(fields[0], f.Data, mode, owner); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// snapshot lists a tree: its files and links, and the folders whose mode or owner is not the usual one.
func snapshot(t testing.TB, d sysroot.Dir) []txtar.File {
	t.Helper()
	var out []txtar.File
	err := fs.WalkDir(d.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		st, err := d.Lstat(name)
		if err != nil {
			return err
		}
		owner := sysroot.OwnerOf(st)
		about := fmt.Sprintf(" %04o %d:%d", st.Mode().Perm(), owner.UID, owner.GID)
		if st.Mode()&fs.ModeSetuid != 0 {
			about += " setuid"
		}
		switch {
		case st.IsDir():
			if about != " 0755 0:0" {
				out = append(out, txtar.File{Name: "out/" + name + "/" + about})
			}
		case st.Mode()&fs.ModeSymlink != 0:
			target, err := d.Readlink(name)
			if err != nil {
				return err
			}
			out = append(out, txtar.File{Name: "out/" + name + " -> " + target})
		default:
			b, err := d.ReadFile(name)
			if err != nil {
				return err
			}
			out = append(out, txtar.File{Name: "out/" + name + about, Data: b})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
