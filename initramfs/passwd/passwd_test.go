package passwd

import (
	"os"
	"path/filepath"
	"testing"

	"griddle/initramfs/sysroot"
)

func TestTable(t *testing.T) {
	u := Parse([]byte("root:x:0:0::/:\nrubbish\nada:x:1000:1000::/home/ada:\nada:x:7:7:::\n+::::::\n"), UserFields)
	if _, f := u.Find("ada"); f == nil || f[2] != "1000" {
		t.Errorf("ada is %q", f)
	}
	if _, f := u.Find("rubbish"); f != nil {
		t.Errorf("rubbish is %q", f)
	}
	u.Set("bob", "x", "1001", "1001", "", "/home/bob", "")
	u.Set("root", "x", "0", "0", "Root", "/", "")
	const want = "root:x:0:0:Root:/:\nrubbish\nada:x:1000:1000::/home/ada:\nada:x:7:7:::\n" +
		"bob:x:1001:1001::/home/bob:\n+::::::\n"
	if got := string(u.Bytes()); got != want {
		t.Errorf("passwd is\n%swant\n%s", got, want)
	}
	if n := u.Numbers(); len(n) != 4 || n[1000] != "ada" || n[7] != "ada" {
		t.Errorf("numbers %v", n)
	}
	g := Parse([]byte("sudo:x:27:eve\n"), GroupFields)
	g.Join("sudo", "ada")
	g.Join("sudo", "ada")
	g.Join("missing", "ada")
	if got := string(g.Bytes()); got != "sudo:x:27:eve,ada\n" {
		t.Errorf("group is %q", got)
	}
	s := Parse([]byte("ada:100000:65536\n"), SubIDFields)
	if !s.Reserve("ada") || !s.Reserve("bob") || string(s.Bytes()) != "ada:100000:65536\nbob:165536:65536\n" {
		t.Errorf("subuid is %q", s.Bytes())
	}
	if full := Parse([]byte("a:4294900000:60000\n"), SubIDFields); full.Reserve("bob") {
		t.Errorf("there is a range above all numbers: %q", full.Bytes())
	}
}

// Files that a system lacks stay missing, and a file that changes keeps its mode.
func TestSave(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"passwd": "root:x:0:0::/:\n", "shadow": "root:*:::::::\n",
		"group": "root:x:0:\n"} {
		p := filepath.Join(dir, "etc", name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d := sysroot.Dir{Root: root}
	a, err := Read(d)
	if err != nil || a.GShadow != nil || a.SubUID != nil {
		t.Fatalf("accounts %+v, %v", a, err)
	}
	before, err := d.Stat("etc/group")
	if err != nil {
		t.Fatal(err)
	}
	a.Shadow.Set("ada", "!", "", "", "", "", "", "", "")
	if err := a.Save(d); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Read("etc/shadow"); err != nil || string(got) != "root:*:::::::\nada:!:::::::\n" {
		t.Errorf("shadow is %q, %v", got, err)
	}
	if st, err := d.Stat("etc/shadow"); err != nil || st.Mode() != 0o640 {
		t.Errorf("shadow: %v, %v", st.Mode(), err)
	}
	if now, err := d.Stat("etc/group"); err != nil || !os.SameFile(before, now) {
		t.Errorf("group was written: %v", err)
	}
	if d.Has("etc/gshadow") || d.Has("etc/subuid") {
		t.Error("there are files that the system did not have")
	}
}
