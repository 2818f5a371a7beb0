package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"griddle/appliance/griddle/cli"
	"griddle/cloud/provider/lxd/lxdtest"
)

// cloudDoc is docs/CLOUD.md with what is in it to be tried.
type cloudDoc struct {
	stacks   map[string]string // by the file name in their first line
	commands []string          // of indented blocks, in order
	inline   []string          // between backticks
}

func readCloudDoc(t *testing.T) cloudDoc {
	t.Helper()
	b, err := os.ReadFile("../../docs/CLOUD.md")
	if err != nil {
		t.Fatal(err)
	}
	d := cloudDoc{stacks: map[string]string{}}
	var rest []string
	blocks := strings.Split(string(b), "```")
	for i, block := range blocks {
		if body, ok := strings.CutPrefix(block, "yaml\n# "); ok && i%2 == 1 {
			name, _, _ := strings.Cut(body, "\n")
			d.stacks[name] = strings.TrimPrefix(block, "yaml\n")
			continue
		}
		rest = append(rest, block)
	}
	for line := range strings.Lines(strings.Join(rest, "")) {
		if text, ok := strings.CutPrefix(line, "    griddle "); ok {
			text, _, _ = strings.Cut(text, " #")
			d.commands = append(d.commands, strings.TrimSpace(text))
			continue
		}
		for _, m := range regexp.MustCompile("`griddle ([^`]+)`").FindAllStringSubmatch(line, -1) {
			d.inline = append(d.inline, m[1])
		}
	}
	return d
}

// docHome is an empty home, which is also the current directory.
func docHome(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		".ssh/id_ed25519.pub": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB7RmVVqkPZ0Ph7yVqX3b6HqQ0b8n2q4Wl3eJ9sYk1Zz " +
			"ops@desk\n",
		"head.yaml": "#cloud-config\npackages: [jq]\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// docRun runs the program in this process.
func docRun(home string, more map[string]string, args ...string) (code int, out string) {
	var both bytes.Buffer
	e := &cli.Env{Stdin: strings.NewReader(""), Stdout: &both, Stderr: &both, Getenv: func(k string) string {
		if v, ok := more[k]; ok {
			return v
		}
		return map[string]string{"HOME": home, "PATH": os.Getenv("PATH"), "DB_PASSWORD": "hunter2"}[k]
	}}
	root := rootCommand(e)
	root.SetArgs(args)
	return e.Exit(root.ExecuteContext(context.Background())), both.String()
}

// TestCloudDocStack brings the stack file of docs/CLOUD.md up, and runs its commands one after the other.
func TestCloudDocStack(t *testing.T) {
	d := readCloudDoc(t)
	text := d.stacks["stack.yaml"]
	if len(d.stacks) != 1 || text == "" {
		t.Fatalf("the document has %d stack files", len(d.stacks))
	}
	home := docHome(t)
	var n fakes
	f := newFakeCloud(t, &n, home, filepath.Join(home, ".local/state/griddle/cloud"))
	more := map[string]string{"LXD_SOCKET": f.socket}
	if err := servable("root"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"publish", "dir:" + home + "/root", "web:1", "--store", "store"}, {"image",
		"channel", "set", "web:stable", "1", "--store", "store"}} {
		if code, out := docRun(home, more, args...); code != 0 {
			t.Fatalf("griddle %v ended with %d: %s", args, code, out)
		}
	}
	// As it is, it must be good; brought up, it gets the fake's addresses.
	if err := os.WriteFile("stack.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := docRun(home, more, "cloud", "check"); code != 0 || !strings.Contains(out,
		"stack shop on lxd, 3 servers, no faults") {
		t.Fatalf("griddle cloud check ended with %d: %s", code, out)
	}
	mended := strings.Replace(strings.Replace(text, "192.0.2.16/28", f.prefix.String(), 1), "ssh: {from",
		fmt.Sprintf("ssh: {port: %d, from", f.port), 1)
	if mended == text {
		t.Fatal("the stack file has other addresses than the test knows")
	}
	if err := os.WriteFile("stack.yaml", []byte(mended), 0o600); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, line := range d.commands {
		args := strings.Fields(line)
		if args[0] != "cloud" {
			continue
		}
		c, _, err := rootCommand(&cli.Env{}).Find(args)
		if err != nil {
			t.Errorf("griddle %s: %v", line, err)
			continue
		}
		switch c.Name() {
		case "audit":
			continue // looks at a system, of which there is none here
		case "up", "upgrade", "scale", "plan", "check":
			args = slices.Concat(args[:2], []string{"--store", "store", "--cache", "disks"}, args[2:])
			if c.Name() == "check" {
				args = append(slices.Concat(args[:2], []string{"--store", "store"}), args[6:]...)
			}
		case "list", "clean":
			if c.Parent().Name() == "cache" {
				args = append(args, "--cache", "disks")
			}
		}
		if c.Flags().Lookup("yes") != nil {
			args = append(args, "--yes")
		}
		code, out := docRun(home, more, args...)
		if code != 0 {
			t.Errorf("griddle %s ended with %d: %s", line, code, out)
		}
		ran++
	}
	if ran < 15 {
		t.Errorf("%d commands ran", ran)
	}
	if code, out := docRun(home, more, "cloud", "delete", "--yes"); code != 0 {
		t.Errorf("griddle cloud delete ended with %d: %s", code, out)
	}
	if left := f.lxd.Paths(); slices.ContainsFunc(left, func(p string) bool {
		return strings.Contains(p,
			"/instances/")
	}) {
		t.Errorf("left over: %v", left)
	}
}

// TestCloudDocCommands looks whether every command that docs/CLOUD.md names is there, with the flags that it names.
func TestCloudDocCommands(t *testing.T) {
	d := readCloudDoc(t)
	if len(d.inline) < 15 {
		t.Errorf("the document names %d commands", len(d.inline))
	}
	for _, line := range slices.Concat(d.commands, d.inline) {
		c, rest, err := rootCommand(&cli.Env{}).Find(strings.Fields(line))
		if err != nil || !c.Runnable() || c.Parent() == nil {
			t.Errorf("griddle %s: %v", line, err)
			continue
		}
		c.InitDefaultHelpFlag()
		if err := c.ParseFlags(rest); err != nil {
			t.Errorf("griddle %s: %v", line, err)
		}
	}
}

// TestCloudFullStack has check take the file that has every key in it, with the files that it names there.
func TestCloudFullStack(t *testing.T) {
	text, err := os.ReadFile("../../cloud/stack/testdata/good/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	home := docHome(t)
	key, err := os.ReadFile(".ssh/id_ed25519.pub")
	if err != nil {
		t.Fatal(err)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, identity.Recipient())
	if err == nil {
		_, err = w.Write([]byte("secret"))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	cert, _ := lxdtest.Certificate(t)
	config := "#cloud-config\npackages: [jq]\n"
	for name, content := range map[string][]byte{
		"stack.yaml": text, "ca.pem": cert, "keys of all": key, "guest.pub": key,
		"cert.age": sealed.Bytes(), "key.txt": []byte(identity.String() + "\n"), "common.yaml": []byte(config),
		"log.yaml": []byte(config), "rack-a": []byte("a\n"),
		"clouds.yaml": []byte("clouds: {site: {auth: {auth_url: 'https://keystone.example/v3', username: me, " +
			"password: x, project_name: p, user_domain_name: d, project_domain_name: d}}}\n"),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	code, out := docRun(home, nil, "cloud", "check")
	if code != 0 || !strings.Contains(out, "no faults") {
		t.Errorf("griddle cloud check ended with %d: %s", code, out)
	}
}
