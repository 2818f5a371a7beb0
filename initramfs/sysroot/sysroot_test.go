package sysroot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// open is a new tree, and a folder beside it that nothing may be written to.
func open(t *testing.T) (Dir, string) {
	t.Helper()
	top := t.TempDir()
	outside := filepath.Join(top, "outside")
	for _, dir := range []string{outside, filepath.Join(top, "tree")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(filepath.Join(top, "tree"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return Dir{root}, outside
}

func TestReplaceKeepsModeAndOwner(t *testing.T) {
	t.Parallel()
	d, _ := open(t)
	if err := d.Write("etc/shadow", []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := d.Replace("etc/shadow", []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Replace("etc/gshadow", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"etc/shadow": 0o640, "etc/gshadow": 0o600} {
		if st, err := d.Stat(name); err != nil || st.Mode() != want {
			t.Errorf("%s has the mode %v, want %v; %v", name, st.Mode(), want, err)
		}
	}
	if b, err := d.Read("etc/shadow"); string(b) != "new" || err != nil {
		t.Errorf("Read = %q, %v", b, err)
	}
	if err := d.Write("su", nil, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if st, err := d.Stat("su"); err != nil || st.Mode() != 0o755|os.ModeSetuid {
		t.Errorf("a setuid file has the mode %v, %v", st.Mode(), err)
	}
}

func TestLinksLeadNowhereElse(t *testing.T) {
	t.Parallel()
	d, outside := open(t)
	for name, target := range map[string]string{"absolute": outside, "relative": "../outside",
		"up": "../../../../../../.." + outside} {
		if err := d.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
		if err := d.Write(name+"/file", []byte("x"), 0o644); err != nil {
			t.Errorf("Write through the %s link: %v", name, err)
		}
		// As in the started system, whose top is the top of the tree.
		inside := strings.TrimPrefix(strings.TrimPrefix(target, "../../../../../../.."), "../")
		if b, err := d.Root.ReadFile(strings.TrimPrefix(inside, "/") + "/file"); string(b) != "x" || err != nil {
			t.Errorf("the file behind the %s link is %q, %v", name, b, err)
		}
		if err := d.Write(name, []byte("x"), 0o644); err != nil {
			t.Errorf("Write did not replace the %s link: %v", name, err)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside is %v, %v", left, err)
	}
}

func TestLinksLeadAsInTheStartedSystem(t *testing.T) {
	t.Parallel()
	d, _ := open(t)
	for name, target := range map[string]string{"var/run": "/run", "bin": "usr/bin", "etc/vi": "/bin/../bin/vi",
		"loop": "/loop2", "loop2": "loop", "dangling": "/nothing", "usr/bin/vi": "/etc/alternatives/vi"} {
		if err := errors.Join(d.Parent(name), d.Symlink(target, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Write("etc/alternatives/vi", []byte("vi"), 0o755); err != nil {
		t.Fatal(err)
	}
	if b, err := d.Read("etc/vi"); string(b) != "vi" || err != nil {
		t.Errorf("Read over three links = %q, %v", b, err)
	}
	if p := d.Program("vi"); p != "usr/bin/vi" {
		t.Errorf("Program = %q", p)
	}
	if err := d.MakeDir("var/run/a/b", 0o755); err != nil || !d.Has("run/a/b") {
		t.Errorf("MakeDir below a link to a folder that is missing: %v", err)
	}
	if d.Has("dangling") || d.HasFile("dangling") || d.HasFile("bin") || !d.HasFile("etc/vi") {
		t.Error("a dangling link, or a folder, is a file; or a file is none")
	}
	_, err := d.Read("loop/file")
	const want = "reading /loop/file: it leads over more than 40 symlinks, the last one /loop"
	if !FromTree(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("Read of a loop: %v", err)
	}
	if err := d.Write("etc/vi/file", nil, 0o644); !FromTree(err) {
		t.Errorf("Write below a file: %v", err)
	}
}

func TestReadRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	d, _ := open(t)
	if err := d.Write("large", make([]byte, MaxRead+1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read("large"); !FromTree(err) || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("Read of a large file: %v", err)
	}
	if b, err := d.Read("missing"); b != nil || err != nil {
		t.Errorf("Read of a missing file = %q, %v", b, err)
	}
}
