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

	"griddle/imagestore/template"
)

// block is a block of commands in a document.
type block struct {
	line   int    // of its first command
	text   string // the commands
	notRun string // why it is not run; "" for one that is
	desk   bool   // it is for another computer
	real   bool   // it needs a Debian, which is downloaded
}

// blocks finds the commands of a document: fenced blocks that begin with ```sh. A comment <!-- not run: WHY --> on
// the line before the fence, which readers do not see, takes one out; every other block is run. <!-- on the desk -->
// is before one whose variables are not the server's, and <!-- real: WHY --> before one that is run by `make cloud`
// alone.
func blocks(t *testing.T, file string) []block {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []block
	var at *block
	why, desk, real := "", false, false
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case at != nil && line == "```":
			found, at, why, desk, real = append(found, *at), nil, "", false, false
		case at != nil:
			at.text += line + "\n"
		case line == "```sh":
			at = &block{line: i + 2, notRun: why, desk: desk, real: real}
		case strings.HasPrefix(line, "<!-- not run: "):
			why = strings.TrimSuffix(strings.TrimPrefix(line, "<!-- not run: "), " -->")
		case line == "<!-- on the desk -->":
			desk = true
		case strings.HasPrefix(line, "<!-- real: "):
			real = true
		case strings.TrimSpace(line) != "":
			why, desk, real = "", false, false
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

// sandbox runs the blocks of a document in order, in one shell that stops at the first command that fails, and then
// more. It returns what was printed. With real, blocks that need a Debian are run too, and the network is this
// computer's.
func sandbox(t *testing.T, file string, real bool, prepare, more string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("namespaces need root: run this test as root")
	}
	var s strings.Builder
	s.WriteString("set -euo pipefail\n" + prepare + "\n")
	for _, b := range blocks(t, file) {
		if b.notRun != "" || b.real && !real {
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
	args := []string{"--mount", "--uts", "--pid", "--fork", "--kill-child"}
	if !real {
		args = append(args, "--net")
	}
	args = append(args, "bash", script, dir, filepath.Join(dir, "script"))
	cmd := exec.CommandContext(t.Context(), "unshare", args...)
	if real {
		cmd.Env = append(os.Environ(), "NETWORK=host")
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("running the commands of %s: %v\n%s", file, err, out)
	}
	return string(out)
}

// smallTemplate is a tree that can be published, and that no machine could boot.
func smallTemplate(dir string) error {
	for name, text := range map[string]string{
		"boot/vmlinuz-6.1": "kernel", "boot/initrd.img-6.1": "initrd", "etc/hostname": "template\n",
		"etc/machine-id": "0123456789abcdef0123456789abcdef\n",
		"etc/passwd":     "root:x:0:0::/root:/bin/sh\n", "etc/shadow": "root:*:1::::::\n",
		"etc/os-release": "ID=debian\nPRETTY_NAME=\"Debian\"\n", "etc/ssh/ssh_host_ed25519_key": "key\n",
		"var/lib/dpkg/status": "Package: base-files\nStatus: install ok installed\nVersion: 12\nArchitecture: " +
			"amd64\n\n",
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

// TestOperating runs every command of docs/OPERATING.md on a computer of its own, in order, and compares its table of
// ports with those on which the server listens.
func TestOperating(t *testing.T) {
	const file = "../../docs/OPERATING.md"
	out := sandbox(t, file, false, "", `ss -Hlntu | awk '{print "LISTENS " $1 " " $5}'`)
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
	ports := regexp.MustCompile(`(?m)^\| ((?:UDP|TCP) \d+) \| from the machines`)
	for _, m := range ports.FindAllStringSubmatch(string(b), -1) {
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

// withProgram is what docs/OPERATING.md did before.
const withProgram = "install /usr/src/griddle/bin/griddle /usr/local/sbin/griddle\n" +
	"install -d /usr/lib/griddle && cp -r /usr/src/griddle/build/boot /usr/lib/griddle/\n"

// TestRemoteDocument runs every command of docs/REMOTE.md beside a server, from making an account to deleting it.
func TestRemoteDocument(t *testing.T) {
	out := sandbox(t, "../../docs/REMOTE.md", false, withProgram+
		"griddle serve --interface eth1 --mode proxy >/run/serve.log 2>&1 &\n"+
		"for i in {1..600}; do griddle machine list >/dev/null 2>&1 && break; sleep 0.2; done\n"+
		"griddle machine list || { cat /run/serve.log; exit 1; }\n", "kill %1")
	for _, want := range []string{"logged in to lab as ada, until", "account ada, viewer", "account ada is deleted",
		"logged out of lab", "POST /v1/login"} {
		if !strings.Contains(out, want) {
			t.Errorf("the commands do not print %q:\n%s", want, out)
		}
	}
}

// TestTemplate runs the commands of docs/TEMPLATE.md that need no Debian, on a tree that is as small as can be;
// TestTemplateForReal runs them all.
func TestTemplate(t *testing.T) {
	out := sandbox(t, "../../docs/TEMPLATE.md", false, withProgram+"cp -a /srv/template /srv/web; install -D "+
		"/dev/null /srv/web/etc/wireguard/key", "ls -d /srv/check/web@*/etc/wireguard || echo GONE")
	if !strings.Contains(out, "GONE") {
		t.Errorf("the hook left what it removes:\n%s", out)
	}
	t.Log(out)
	b, err := os.ReadFile("../../docs/TEMPLATE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "| Step | What goes |")
	table, _, _ = strings.Cut(table, "\n\n")
	var steps []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z][a-z-]+) \| `).FindAllStringSubmatch(table, -1) {
		steps = append(steps, m[1])
	}
	if want := template.Steps(); !slices.Equal(steps, want) {
		t.Errorf("the document says that publishing does %v, want %v", steps, want)
	}
}
