package installed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"griddle/imagestore/packages"
)

func run(t testing.TB, program string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is missing; run make deps", program)
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", program, err, out)
	}
	return string(out)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, dir string) packages.List {
	t.Helper()
	l, err := Read(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestThisMachine compares with what dpkg says of the machine that the test runs on.
func TestThisMachine(t *testing.T) {
	out := run(t, "dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version} ${Architecture}\n")
	want := packages.List{Manager: packages.Dpkg}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); f[0] == "installed" {
			want.Packages = append(want.Packages, packages.Package{Name: f[1], Version: f[2], Arch: f[3]})
		}
	}
	want.Sort()
	if got := read(t, "/"); len(want.Packages) < 50 || !reflect.DeepEqual(got, want) {
		t.Errorf("Read finds %d packages, dpkg-query %d, or others", len(got.Packages), len(want.Packages))
	}
}

func TestDpkg(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "var/lib/dpkg/status"),
		"Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1:2-3\nDescription: x\n Package: no\n\n"+
			"Package: removed\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: half\n"+
			"Status: install reinstreq half-installed\nVersion: 1\n\n\n"+
			"Package: broken\nStatus: install ok half-configured\nVersion: 2\nArchitecture: amd64\nVersion: 3\n")
	write(t, filepath.Join(dir, "var/lib/dpkg/status.d/tzdata"), "Package: tzdata\nVersion: 2024a\nArchitecture: all\n")
	write(t, filepath.Join(dir, "var/lib/dpkg/status.d/tzdata.md5sums"),
		"Package: no\nVersion: 2024a\nArchitecture: all\n")
	want := packages.List{Manager: "dpkg", Packages: []packages.Package{{Name: "a", Version: "1:2-3", Arch: "all"},
		{Name: "broken", Version: "2", Arch: "amd64"}, {Name: "tzdata", Version: "2024a", Arch: "all"}}}
	if got := read(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("Read = %+v, want %+v", got, want)
	}
}

// rpmTree has rpm itself build packages and enter them into the database of a tree.
func rpmTree(t *testing.T) (dir string) {
	t.Helper()
	base := t.TempDir()
	dir = filepath.Join(base, "tree")
	for i, p := range []struct{ name, epoch, version, release, arch string }{
		{"alpha", "", "1.2~rc1", "3.el9", "noarch"}, {"beta", "2", "10^git1", "1", "noarch"},
		{"gamma", "", "0.1", "1", "noarch"},
	} {
		spec := fmt.Sprintf("Name: %s\nVersion: %s\nRelease: %s\nSummary: x\nLicense: x\nBuildArch: %s\n", p.name,
			p.version, p.release, p.arch)
		if p.epoch != "" {
			spec += "Epoch: " + p.epoch + "\n"
		}
		path := filepath.Join(base, fmt.Sprint(i)+".spec")
		write(t, path, spec+"%description\nx\n%files\n")
		run(t, "rpmbuild", "--quiet", "-bb", "--define", "_topdir "+base, path)
	}
	built, _ := filepath.Glob(filepath.Join(base, "RPMS/*/*.rpm"))
	run(t, "rpm", append([]string{"--root", dir, "--dbpath", rpmPath, "--justdb", "--nodeps", "-i"}, built...)...)
	return dir
}

const rpmPath = "/usr/lib/sysimage/rpm"

// rpmSays is what rpm has to say of a tree.
func rpmSays(t *testing.T, dir string) packages.List {
	t.Helper()
	out := run(t, "rpm", "--root", dir, "--dbpath", rpmPath, "-qa",
		"--qf", "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE} %{ARCH}\n")
	l := packages.List{Manager: packages.RPM}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 3 {
			l.Packages = append(l.Packages, packages.Package{Name: f[0], Version: f[1], Arch: f[2]})
		}
	}
	l.Sort()
	return l
}

func TestRPM(t *testing.T) {
	dir := rpmTree(t)
	if got, want := read(t, dir), rpmSays(t, dir); len(want.Packages) != 3 || !reflect.DeepEqual(got, want) {
		t.Errorf("Read = %+v, rpm says %+v", got, want)
	}
}

// header composes an rpm header by the format that parseHeader documents.
func header(name, version, release, arch string, epoch int) []byte {
	var entries, data []byte
	add := func(tag, kind uint32, value []byte) {
		for _, w := range []uint32{tag, kind, uint32(len(data)), 1} {
			entries = binary.BigEndian.AppendUint32(entries, w)
		}
		data = append(data, value...)
	}
	if epoch >= 0 {
		add(tagEpoch, typeInt32, binary.BigEndian.AppendUint32(nil, uint32(epoch)))
	}
	for _, s := range []struct {
		tag   uint32
		value string
	}{{tagName, name}, {tagVersion, version}, {tagRelease, release}, {tagArch, arch}} {
		add(s.tag, typeString, append([]byte(s.value), 0))
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(entries)/16))
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(append(b, entries...), data...)
}

// ndb composes a Packages.db by the format that parseNDB documents: Debian's rpm cannot write one.
func ndb(headers ...[]byte) []byte {
	b := make([]byte, 4096)
	copy(b, "RpmP")
	binary.LittleEndian.PutUint32(b[12:], 1)
	for at := 32; at < 4096; at += 16 {
		copy(b[at:], "Slot")
	}
	for i, h := range headers {
		slot := b[32+32*i:] // every second one is free
		binary.LittleEndian.PutUint32(slot[4:], uint32(i+1))
		binary.LittleEndian.PutUint32(slot[8:], uint32(len(b)/16))
		blob := append([]byte("BlbS"), make([]byte, 12)...)
		binary.LittleEndian.PutUint32(blob[4:], uint32(i+1))
		binary.LittleEndian.PutUint32(blob[12:], uint32(len(h)))
		blob = append(blob, h...)
		b = append(b, append(blob, make([]byte, 16-len(blob)%16)...)...)
	}
	return b
}

func TestNDB(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "usr/lib/sysimage/rpm/Packages.db"), string(ndb(header("a", "1", "2", "x86_64", -1),
		header("gpg-pubkey", "1", "2", "", -1), header("b", "1", "2", "noarch", 3))))
	want := packages.List{Manager: "rpm", Packages: []packages.Package{{Name: "a", Version: "1-2", Arch: "x86_64"},
		{Name: "b", Version: "3:1-2", Arch: "noarch"}}}
	if got := read(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("Read = %+v, want %+v", got, want)
	}
}

// The fixtures of pacman and apk are composed by their documentation: neither program can enter packages here
// without its repositories.
func TestPacman(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "var/lib/pacman/local/ALPM_DB_VERSION"), "9\n")
	write(t, filepath.Join(dir, "var/lib/pacman/local/bash-5.2.026-2/desc"),
		"%NAME%\nbash\n\n%VERSION%\n5.2.026-2\n\n%DESC%\n%VERSION%\n\n%ARCH%\nx86_64\n\n%DEPENDS%\nreadline\nglibc\n\n")
	write(t, filepath.Join(dir, "var/lib/pacman/local/bash-5.2.026-2/files"), "%FILES%\netc/\n")
	write(t, filepath.Join(dir, "var/lib/pacman/local/filesystem-1:2-3/desc"),
		"%NAME%\nfilesystem\n\n%VERSION%\n1:2-3\n\n%ARCH%\nany\n")
	want := packages.List{Manager: "pacman", Packages: []packages.Package{
		{Name: "bash", Version: "5.2.026-2", Arch: "x86_64"}, {Name: "filesystem", Version: "1:2-3", Arch: "any"}}}
	if got := read(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("Read = %+v, want %+v", got, want)
	}
	if out := run(t, "pacman", "--dbpath", filepath.Join(dir, "var/lib/pacman"),
		"-Q"); out != "bash 5.2.026-2\nfilesystem 1:2-3\n" {
		t.Errorf("pacman -Q reads the same as %q", out)
	}
}

func TestAPK(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "lib/apk/db/installed"), "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nS:1\nF:lib\n"+
		"R:ld-musl-x86_64.so.1\na:0:0:755\n\nC:Q1x=\nP:busybox\nV:1.36.1-r5\nA:x86_64\n\n")
	want := packages.List{Manager: "apk", Packages: []packages.Package{
		{Name: "busybox", Version: "1.36.1-r5", Arch: "x86_64"}, {Name: "musl", Version: "1.2.4-r2", Arch: "x86_64"}}}
	if got := read(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("Read = %+v, want %+v", got, want)
	}
}

func TestNone(t *testing.T) {
	if got := read(t, t.TempDir()); got.Manager != "" || len(got.Packages) > 0 {
		t.Errorf("Read of an empty tree = %+v", got)
	}
}

// TestHostile has records that lead out of the tree, or that are none.
func TestHostile(t *testing.T) {
	outside := t.TempDir()
	status := "Package: secret\nStatus: install ok installed\nVersion: 1\n\n"
	for _, path := range []string{"status", "lib/dpkg/status", "var/lib/dpkg/status"} {
		write(t, filepath.Join(outside, path), status)
	}
	for _, way := range []string{"var", "var/lib", "var/lib/dpkg", "var/lib/dpkg/status", "var/lib/dpkg/status.d",
		"var/lib/pacman/local", "lib/apk/db/installed", "usr/lib/sysimage/rpm/rpmdb.sqlite"} {
		dir := t.TempDir()
		link := filepath.Join(dir, way)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		target := outside
		if slices.Contains([]string{"status", "installed", "rpmdb.sqlite"}, filepath.Base(way)) {
			target = filepath.Join(outside, "status")
		}
		if way == "var" {
			target = filepath.Join(outside, "var")
		}
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if got, _ := Read(t.Context(), dir); len(got.Packages) > 0 {
			t.Errorf("Read by way of %s finds %+v", way, got)
		}
	}

	good := header("a", "1", "2", "x86_64", -1)
	for name, text := range map[string]string{
		"var/lib/dpkg/status/x": "a directory", "var/lib/rpm/rpmdb.sqlite": "no database at all",
		"var/lib/rpm/Packages.db": "RpmP", "var/lib/rpm/Packages": "no database at all",
		"usr/lib/sysimage/rpm/Packages.db": string(ndb(good)[:4096+40]),
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, name), text)
		if got, err := Read(t.Context(), dir); err == nil {
			t.Errorf("Read of %s = %+v, want an error", name, got)
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "var/lib/dpkg/status"), "Package: a b\nStatus: install ok installed\nVersion: 1\n")
	if got, err := Read(t.Context(), dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("Read of a name with a space = %+v, %v, want ErrDamaged", got, err)
	}
	large := filepath.Join(dir, "lib/apk/db/installed")
	write(t, large, "P:a\nV:1\n")
	if err := os.Truncate(large, maxText+1); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "var/lib/dpkg/status"), "")
	if got, err := Read(t.Context(), dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("Read of a large file = %+v, %v, want ErrDamaged", got, err)
	}
}

// TestForgedSchema has a database in which Packages is a view without an end.
func TestForgedSchema(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "var/lib/rpm/rpmdb.sqlite")
	write(t, path, "")
	run(t, "sqlite3", path, "CREATE VIEW Packages AS WITH RECURSIVE r(blob) AS (SELECT x'00' UNION ALL SELECT blob "+
		"FROM r) SELECT blob FROM r")
	if got, err := Read(t.Context(), dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("Read = %+v, %v, want ErrDamaged", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("Package: a\nStatus: install ok installed\nVersion: 1\n"))
	f.Add([]byte("P:a\nV:1\n\n"))
	f.Add([]byte("%NAME%\na\n\n%VERSION%\n1\n"))
	f.Add(header("a", "1", "2", "x86_64", 3))
	f.Add(ndb(header("a", "1", "2", "x86_64", 3)))
	f.Add(berkeley(f, "--", map[uint32][]byte{0: {1, 0, 0, 0}, 1: header("a", "1", "2", "x86_64", 3),
		2: header("b", strings.Repeat("1", 200), strings.Repeat("2", 200), "noarch", -1)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, list := range [][]packages.Package{parseDpkg(b, false), parseDpkg(b, true), parseAPK(b)} {
			if len(list) > len(b) {
				t.Errorf("%d packages of %d bytes", len(list), len(b))
			}
		}
		parsePacman(b)
		if p, ok, err := parseHeader(b); ok && (err != nil || p.Name == "") {
			t.Errorf("parseHeader = %+v, %v", p, err)
		}
		for _, parse := range []func([]byte) ([]packages.Package, error){parseNDB, parseBDB} {
			if list, err := parse(b); err == nil && len(list) > len(b) {
				t.Errorf("%d packages of %d bytes", len(list), len(b))
			}
		}
	})
}
