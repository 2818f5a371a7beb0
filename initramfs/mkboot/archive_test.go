package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"griddle/initramfs"
	"griddle/initramfs/toolbox"
)

// bootImage is what `make boot` made: what it says of itself, and the archives of which it is.
type bootImage struct {
	dir   string
	build initramfs.Build
	files map[string]cpio.Record // of the image
	tools map[string]cpio.Record
}

// readBootImage reads the image of `make boot`. Its parts come from the cache of mkboot, before they are compressed.
func readBootImage(t *testing.T) bootImage {
	t.Helper()
	t.Chdir("../..")
	b := bootImage{dir: "build/boot", files: map[string]cpio.Record{}, tools: map[string]cpio.Record{}}
	doc, err := os.ReadFile(filepath.Join(b.dir, agentName+".json"))
	if err != nil {
		t.Fatalf("%v (run make boot)", err)
	}
	if err := json.Unmarshal(doc, &b.build); err != nil || b.build.Tools == nil || !b.build.Tools.Valid() {
		t.Fatalf("the boot image says %s of itself, %v", doc, err)
	}
	m, err := newBuilder(t.TempDir(), false, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	k, err := m.kernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []func() ([]byte, error){
		func() ([]byte, error) { return m.base(k) }, func() ([]byte, error) { return m.coreCommands(t.Context()) }} {
		raw, err := part()
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, raw, b.files)
	}
	z, err := os.Open(filepath.Join(b.dir, initramfs.ToolsDir, b.build.Tools.Name()))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	dec, err := zstd.NewReader(z)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	raw, err := io.ReadAll(dec)
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, raw, b.tools)
	return b
}

func readAll(t *testing.T, raw []byte, into map[string]cpio.Record) {
	t.Helper()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		into[r.Name] = r
	}
}

// textOf is the content of a file or a link.
func textOf(t *testing.T, r cpio.Record) string {
	t.Helper()
	b := make([]byte, r.FileSize)
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(b)
}

// isTable says whether a file is one of the tables that the tools archive replaces.
func isTable(name string) bool {
	return strings.HasPrefix(name, "lib/modules/") && strings.HasPrefix(path.Base(name), "modules.")
}

// TestArchive looks at the tools archive that `make boot` made: it replaces nothing of the boot image but the tables of
// the modules, each module that the tables name is there, and so is everything that links and scripts lead to.
func TestArchive(t *testing.T) {
	b := readBootImage(t)
	there := func(name string) bool {
		_, one := b.files[name]
		_, other := b.tools[name]
		return one || other
	}
	for _, name := range keys(b.tools) {
		r := b.tools[name]
		if r.Mode&cpio.S_IFMT == cpio.S_IFDIR {
			continue
		}
		if _, both := b.files[name]; both && !isTable(name) {
			t.Errorf("%s is in the boot image too", name)
		}
		text := textOf(t, r)
		switch {
		case r.Mode&cpio.S_IFMT == cpio.S_IFLNK:
			to := text
			if !path.IsAbs(to) {
				to = path.Join("/", path.Dir(name), text)
			}
			if !there(to[1:]) {
				t.Errorf("the link %s leads to %s, which does not exist", name, to)
			}
		case strings.HasPrefix(text, "#!"):
			line, _, _ := strings.Cut(text[2:], "\n")
			if f := strings.Fields(line); len(f) == 0 || !there(strings.TrimPrefix(f[0], "/")) && f[0] != "/bin/sh" {
				t.Errorf("the script %s is for %q, which does not exist", name, line)
			}
		}
	}
	below := "lib/modules/" + b.build.Kernel + "/"
	table := textOf(t, b.tools[below+"modules.dep"])
	for line := range strings.Lines(table) {
		for _, p := range strings.Fields(strings.ReplaceAll(line, ":", " ")) {
			if !there(below + p) {
				t.Errorf("modules.dep names %s, which does not exist", p)
			}
		}
	}
	for name := range b.files {
		p, ok := strings.CutPrefix(name, below)
		if ok && strings.HasSuffix(p, ".ko") && !strings.Contains(table, p+":") {
			t.Errorf("modules.dep does not name %s of the boot image", p)
		}
	}
	for _, module := range []string{"md/raid1", "md/dm-crypt", "md/dm-mod", "md/dm-raid", "md/dm-thin-pool"} {
		if !strings.Contains(table, "kernel/drivers/"+module+".ko:") {
			t.Errorf("modules.dep has no %s", module)
		}
	}
}

func keys(m map[string]cpio.Record) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// root unpacks the programs of the boot image into a directory, and the tools as a machine does.
func (b bootImage) root(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range keys(b.files) {
		r := b.files[name]
		if strings.HasPrefix(name, "lib/firmware/") || strings.HasPrefix(name, "lib/modules/") {
			continue
		}
		if err := cpio.CreateFileInRoot(r, dir, false); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
		"etc/group": "root:x:0:\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("bash", filepath.Join(dir, "bin/sh")); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"dev", "proc", "tmp", "root", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, minor := range map[string]int{"null": 3, "zero": 5, "random": 8, "urandom": 9} {
		if err := syscall.Mknod(filepath.Join(dir, "dev", name), syscall.S_IFCHR|0o666, 1<<8|minor); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(http.StripPrefix("/boot/", http.FileServerFS(os.DirFS(b.dir))))
	defer server.Close()
	box := toolbox.Box{Archive: b.build.Tools, Server: server.URL, CA: []byte("the site's\n"), Root: dir,
		State: t.TempDir()}
	if err := box.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// in runs a program in the root of a boot image, away from this computer's processes, disks and networks.
func in(t *testing.T, root, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	const within = `mount -t proc proc /proc && exec "$@"`
	cmd := exec.CommandContext(ctx, "/bin/bash", append([]string{"-c", within, "-", program}, args...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin:/bbin", "HOME=/root", "TERM=vt220", "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root,
		Cloneflags:   syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC,
		Unshareflags: syscall.CLONE_NEWNS} // which makes the mounts private
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestTools starts each program of the tools archive in the boot image's own root, and does with some what a person
// would.
func TestTools(t *testing.T) {
	b := readBootImage(t)
	root := b.root(t)
	started := 0
	for _, p := range toolPackages() {
		for _, name := range p.take {
			if strings.ContainsAny(name, "/*") {
				continue
			}
			i := slices.IndexFunc(below(binDirs(), name), func(p string) bool {
				_, err := os.Stat(filepath.Join(root, p))
				return err == nil
			})
			if i < 0 {
				t.Errorf("there is no program %s", name)
				continue
			}
			out, err := in(t, root, "/"+below(binDirs(), name)[i], "--version")
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() > 0 && exit.ExitCode() != 126 &&
				exit.ExitCode() != 127 {
				err = nil // it started, and does not know the option
			}
			if err != nil || strings.Contains(out, "shared librar") {
				t.Errorf("%s --version: %v\n%s", name, err, out)
			}
			started++
		}
	}
	if started < 100 {
		t.Errorf("%d programs were started, want most of the archive", started)
	}
	for _, c := range []struct{ script, want string }{
		{"printf '%s\\n' 1 2 3 4 5 6 7 | tail -5 | head -1", "3"},
		{"command -v tail", "/usr/bin/tail"},
		{"lsblk --version", "lsblk from util-linux"},
		{"vi --version | head -1", "VIM - Vi IMproved"},
		{"ssh -V", "OpenSSH"},
		{"curl --version | grep -o 'https'", "https"},
		{"truncate -s 64M /tmp/disk && sgdisk -n 1:0:+8M -n 2:0:0 /tmp/disk >/dev/null && " +
			"sfdisk -l /tmp/disk | tail -1", "Linux filesystem"},
		{"parted -s /tmp/disk print | tail -2", "67.1MB"},
		{"truncate -s 32M /tmp/luks && echo secret | cryptsetup -q luksFormat --pbkdf pbkdf2 " +
			"--pbkdf-force-iterations 1000 /tmp/luks - && cryptsetup luksDump /tmp/luks | head -1",
			"LUKS header information"},
		{"pvcreate --version | head -1; lvm version | head -1", "LVM version"},
		{"lvmconfig activation/udev_rules activation/udev_sync", "udev_rules=0\nudev_sync=0"},
		{"mdadm --examine /tmp/disk", "MBR Magic"},
		{"truncate -s 16M /tmp/ntfs && mkfs.ntfs -F -q /tmp/ntfs >/dev/null && " +
			"ntfsinfo -m /tmp/ntfs", "Volume Version"},
		{"truncate -s 8M /tmp/ext && mkfs.ext4 -q /tmp/ext && fsck.ext4 -fn /tmp/ext && " +
			"dumpe2fs -h /tmp/ext 2>&1 | head -3", "dumpe2fs"},
		{"locale=$(printf 'ä' | wc -m); echo chars $locale", "chars 1"},
		{"tput -T xterm-256color colors; tput -T linux colors", "256"},
		{"grep -c BEGIN /etc/ssl/certs/ca-certificates.crt; tail -1 /etc/ssl/certs/ca-certificates.crt", "the site's"},
		{"ssh-keygen -q -t ed25519 -N '' -f /root/key && ssh-keygen -lf /root/key.pub", "(ED25519)"},
		{"awk 'BEGIN { print 6 * 7 }'; echo x | nc -h 2>&1 | head -1", "42"},
	} {
		out, err := in(t, root, "/bin/bash", "-c", c.script)
		if !strings.Contains(out, c.want) {
			t.Errorf("%s = %v\n%s\nwant %q", c.script, err, out, c.want)
		}
	}
}
