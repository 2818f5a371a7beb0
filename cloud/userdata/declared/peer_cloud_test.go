//go:build cloud

package declared_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"griddle/cloud/guesttest"
	"griddle/cloud/userdata"
)

// guest is the tree of a Debian 12 with cloud-init.
func guest(t *testing.T) string {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	if err := guesttest.Tree(t.Context(), tree, os.Stderr); err != nil {
		t.Fatal(err)
	}
	return tree
}

// put leaves a file in the tree.
func put(t *testing.T, tree, path string, b []byte, mode os.FileMode) {
	t.Helper()
	path = filepath.Join(tree, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, mode); err != nil {
		t.Fatal(err)
	}
}

// inGuest runs a program of the tree, and returns what it writes.
func inGuest(t *testing.T, tree string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "chroot", append([]string{tree}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

// TestPeer has Debian's cloud-init check the user-data, and convert the network for each program that configures it.
func TestPeer(t *testing.T) {
	tree := guest(t)
	for _, name := range examples {
		for _, f := range files(t, name) {
			put(t, tree, "/tmp/"+f.Name, f.Content, 0o644)
		}
		out := inGuest(t, tree, "cloud-init", "schema", "--config-file", "/tmp/user-data")
		if !strings.Contains(out, "Valid cloud-config") || strings.Contains(out, "eprecated") {
			t.Errorf("%s: %s", name, out)
		}
	}
	for _, f := range files(t, "full") {
		put(t, tree, "/tmp/"+f.Name, f.Content, 0o644)
	}
	var text bytes.Buffer
	for _, program := range []string{"eni", "networkd", "network-manager"} {
		dir := "/tmp/" + program
		out := inGuest(t, tree, "cloud-init", "devel", "net-convert", "--network-data", "/tmp/network-config",
			"--kind", "yaml", "--directory", dir, "--distro", "debian", "--output-kind", program)
		if strings.Contains(out, "WARN") || strings.Contains(out, "Traceback") {
			t.Errorf("%s: %s", program, out)
		}
		root := os.DirFS(filepath.Join(tree, dir))
		err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fs.ReadFile(root, p)
			if strings.HasSuffix(p, ".rules") { // they come in any order
				lines := strings.SplitAfter(string(b), "\n")
				slices.Sort(lines)
				b = []byte(strings.Join(lines, ""))
			}
			fmt.Fprintf(&text, "=== %s: /%s\n%s\n", program, p, bytes.TrimSpace(b))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	p := filepath.Join("testdata", "full.converted")
	if *update {
		if err := os.WriteFile(p, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), text.String()); d != "" {
		t.Errorf("%s (-want +got):\n%s", p, d)
	}
}

// TestScript runs the script on a system that has the users: twice, and the second time changes nothing.
func TestScript(t *testing.T) {
	tree := guest(t)
	s := settings(t, "full")
	s.Swap = 0 // it would be the host's
	s.UserData = ""
	for _, e := range merged(t, s).Config["write_files"].([]any) {
		entry := e.(map[string]any)
		b, err := userdata.Decode(entry, userdata.MaxInput)
		if err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if entry["permissions"] == "0755" {
			mode = 0o755
		}
		put(t, tree, entry["path"].(string), b, mode)
	}
	// No systemd runs here: units can be enabled, and nothing else.
	put(t, tree, "/usr/local/sbin/systemctl", []byte(`#!/bin/sh
case "$*" in
*enable*) SYSTEMD_OFFLINE=1 exec /usr/bin/systemctl "$@" ;;
*is-active*) exit 3 ;;
esac
`), 0o755)
	put(t, tree, "/etc/environment", []byte("LANG=C\nHTTP_PROXY=old\n"), 0o644)
	inGuest(t, tree, "useradd", "-m", "ada")
	inGuest(t, tree, "ssh-keygen", "-A")
	states := `getent passwd ada | cut -d: -f5,7; id -nG ada; cat /etc/environment
stat -c '%u %g %a' '/srv/a key'; sshd -T | grep -E '^(port|permitrootlogin)' | sort
ls /etc/systemd/system/*.wants | grep griddle`
	var got string
	for range 2 {
		inGuest(t, tree, "/usr/local/lib/griddle/settings")
		got = inGuest(t, tree, "sh", "-c", states)
	}
	want := `Ada Lovelace:/bin/sh
ada video lab
LANG=C
http_proxy=http://proxy.example.org:3128
https_proxy=http://proxy.example.org:3128
HTTP_PROXY=http://proxy.example.org:3128
HTTPS_PROXY=http://proxy.example.org:3128
no_proxy=localhost,127.0.0.1,::1,.example.org
NO_PROXY=localhost,127.0.0.1,::1,.example.org
1500 4 600
permitrootlogin without-password
port 2222
griddle-configure.service
griddle-routes.service
griddle-configure.timer
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the system (-want +got):\n%s", d)
	}
}
