package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// block is a block of commands in a document.
type block struct {
	line   int    // of its first command
	text   string // the commands
	notRun string // why it is not run; "" for one that is
	desk   bool   // it is for another computer
}

// blocks finds the commands of a document: fenced blocks that begin with ```sh. A comment <!-- not run: WHY --> on the line before
// the fence, which readers do not see, takes one out; every other block is run. <!-- on the desk --> is before one whose variables
// are not the server's.
func blocks(t *testing.T, file string) []block {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []block
	var at *block
	why, desk := "", false
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case at != nil && line == "```":
			found, at, why, desk = append(found, *at), nil, "", false
		case at != nil:
			at.text += line + "\n"
		case line == "```sh":
			at = &block{line: i + 2, notRun: why, desk: desk}
		case strings.HasPrefix(line, "<!-- not run: "):
			why = strings.TrimSuffix(strings.TrimPrefix(line, "<!-- not run: "), " -->")
		case line == "<!-- on the desk -->":
			desk = true
		case strings.TrimSpace(line) != "":
			why, desk = "", false
		}
		if at == nil && (strings.HasPrefix(line, "    griddle ") || strings.HasPrefix(line, "    systemctl ")) {
			t.Errorf("%s:%d: a command outside of a block", file, i+1)
		}
	}
	if at != nil || len(found) == 0 {
		t.Fatalf("%s has %d blocks, and the last one does not end", file, len(found))
	}
	return found
}

// sandbox runs the blocks of a document in order, in one shell that stops at the first command that fails, and then more. It returns
// what was printed.
func sandbox(t *testing.T, file string, prepare, more string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("namespaces need root: run this test as root")
	}
	var s strings.Builder
	s.WriteString("set -euo pipefail\n" + prepare + "\n")
	for _, b := range blocks(t, file) {
		if b.notRun != "" {
			continue
		}
		fmt.Fprintf(&s, "echo '== %s:%d'\n", filepath.Base(file), b.line)
		if b.desk {
			b.text = "(\n" + b.text + ")\n"
		}
		s.WriteString(b.text)
	}
	s.WriteString("echo '== end'\n" + more + "\n")
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "script"), []byte(s.String()), 0o600),
		bootFiles(filepath.Join(dir, "boot")),
		exec.Command("cp", program, filepath.Join(dir, "griddle")).Run(),
		smallTemplate(filepath.Join(dir, "template")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	script, err := filepath.Abs("testdata/docs/sandbox.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "bash", script, dir, filepath.Join(dir, "script"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("running the commands of %s: %v\n%s", file, err, out)
	}
	return string(out)
}

// smallTemplate is a tree that can be published, and that no machine could boot.
func smallTemplate(dir string) error {
	for name, text := range map[string]string{
		"boot/vmlinuz-6.1": "kernel", "boot/initrd.img-6.1": "initrd", "etc/hostname": "template\n", "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
		"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/shadow": "root:*:1::::::\n", "etc/os-release": "ID=debian\nPRETTY_NAME=\"Debian\"\n", "etc/ssh/ssh_host_ed25519_key": "key\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(dir, "usr/bin"), 0o755)
}

// TestOperating runs every command of docs/OPERATING.md on a computer of its own, in order, and compares its table of ports with
// those on which the server listens.
func TestOperating(t *testing.T) {
	const file = "../../docs/OPERATING.md"
	out := sandbox(t, file, "", `ss -Hlntu | awk '{print "LISTENS " $1 " " $5}'`)
	var got, want []string
	for _, m := range regexp.MustCompile(`(?m)^LISTENS (tcp|udp) \S*:(\d+)$`).FindAllStringSubmatch(out, -1) {
		if m[2] != "22" { // the sandbox's sshd
			got = append(got, strings.ToUpper(m[1])+" "+m[2])
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\| ((?:UDP|TCP) \d+) \| from the machines`).FindAllStringSubmatch(string(b), -1) {
		if !strings.Contains(m[1], "32768") {
			want = append(want, m[1])
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("the server listens on %v, and the table of ports says %v", got, want)
	}
	t.Log(out)
}
