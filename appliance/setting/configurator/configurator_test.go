package configurator

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"griddle/appliance/setting"
)

var update = flag.Bool("update", false, "write the goldens again")

func TestFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]setting.Configure{
		"puppet-git": {Tool: setting.Puppet, Git: "https://git.example.org/site.git", Branch: "main",
			Every: setting.Duration(time.Hour + time.Minute), Data: map[string]any{"role": "desk"}},
		"puppet-path":  {Tool: setting.Puppet, Path: "/srv/the site", Entry: "manifests/it's.pp"},
		"ansible-git":  {Tool: setting.Ansible, Git: "ssh://git@git.example.org/site.git", Branch: "v1"},
		"ansible-path": {Tool: setting.Ansible, Path: "/srv/site", Data: map[string]any{"a": []any{1, "b"}}},
	} {
		files, err := Files(c)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		fmt.Fprintf(&text, "=== units %s\n", Units(c))
		for _, f := range files {
			fmt.Fprintf(&text, "=== %04o %s\n%s", f.Permissions(), f.Path, f.Content)
			if f.Path == script {
				cmd := exec.CommandContext(t.Context(), "sh", "-n")
				cmd.Stdin = strings.NewReader(f.Content)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: sh does not read the script: %v: %s", name, err, out)
				}
			}
			if err := (setting.Settings{Files: []setting.File{f}}).Check(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		p := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(p, []byte(text.String()), 0o644); err != nil {
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
}

// Programs of those names write down how the scripts call them.
func TestCalls(t *testing.T) {
	t.Parallel()
	for tool, want := range map[setting.Tool]string{
		setting.Puppet: "puppet <apply> <--detailed-exitcodes> <--modulepath> </srv/it's/modules> " +
			"</srv/it's/site.pp>\n",
		setting.Ansible: "ansible-playbook <-i> <localhost,> <-c> <local> </srv/it's/local.yml>\n",
	} {
		dir := t.TempDir()
		for _, name := range []string{"puppet", "ansible-playbook"} {
			fake := "#!/bin/sh\nprintf '" + name + "'\nprintf ' <%s>' \"$@\"\necho\nexit 2\n"
			if err := os.WriteFile(filepath.Join(dir, name), []byte(fake), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		text := program(setting.Configure{Tool: tool, Path: "/srv/it's"})
		text = strings.Replace(text, "\nPATH=", "\nPATH="+dir+":", 1)
		cmd := exec.CommandContext(t.Context(), "sh", "-s")
		cmd.Stdin = strings.NewReader(text)
		var out bytes.Buffer
		cmd.Stdout = &out
		err := cmd.Run()
		if out.String() != want {
			t.Errorf("%s is called by\n%s, want\n%s", tool, &out, want)
		}
		if ok := err == nil; ok != (tool == setting.Puppet) {
			t.Errorf("%s, which ends with 2: %v", tool, err)
		}
	}
}

// A bundle that git made is fetched by the script as from a server, also a second time.
func TestBundle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bundle := exec.CommandContext(t.Context(), "sh", "-ec", `
		export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
		git init -q -b main site; cd site; echo one >site.pp; git add .; git commit -q -m one
		git bundle create -q ../site.bundle --all
		mkdir ../bin; printf '#!/bin/sh\nfor f; do :; done; cat "$f"\n' >../bin/puppet; chmod 755 ../bin/puppet`)
	bundle.Dir = dir
	if out, err := bundle.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, branch := range []string{"", "main"} {
		c := setting.Configure{Tool: setting.Puppet, Git: filepath.Join(dir, "site.bundle"), Branch: branch}
		if err := (setting.Settings{Configure: &c}).Check(); err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(program(c), "\nPATH=", "\nPATH="+dir+"/bin:", 1)
		text = strings.ReplaceAll(text, copied, dir+"/copy")
		cmd := exec.CommandContext(t.Context(), "sh", "-s")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "one\n" {
			t.Errorf("branch %q: %q, %v", branch, out, err)
		}
	}
}
