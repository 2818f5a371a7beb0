package qemu

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kdomanski/iso9660"

	"griddle/cloud/provider"
	"griddle/cloud/provider/providertest"
	"griddle/cloud/userdata/seed"
	"griddle/imagestore/durable"
)

// TestArgvAndModes looks for user-data where others could read it.
func TestArgvAndModes(t *testing.T) {
	q, r := one(t)
	argv, err := os.ReadFile(filepath.Join("/proc", processes(t, q.Dir)[0], "cmdline"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(argv, []byte("cloud-config")) || bytes.Contains(argv, []byte("ssh-ed25519")) {
		t.Errorf("QEMU's arguments are %q", argv)
	}
	all, err := os.ReadDir(q.serverDir(r))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if i, err := e.Info(); err != nil || e.Type().IsRegular() && i.Mode().Perm()&0o077 != 0 &&
			e.Name() != consoleFile {
			t.Errorf("%s has mode %v, %v", e.Name(), i.Mode(), err)
		}
	}
	if i, err := os.Stat(q.path("stacks")); err != nil || i.Mode().Perm() != 0o700 {
		t.Errorf("the state has mode %v, %v", i.Mode(), err)
	}
}

// TestSeedDisk reads the seed back, and has blkid find it as cloud-init does.
func TestSeedDisk(t *testing.T) {
	dir := t.TempDir()
	made := seed.Seed{InstanceID: "i-1", Hostname: "web-1", UserData: bytes.Repeat([]byte("#cloud-config\n"), 20000),
		Network: &seed.Network{}}
	want, err := seed.NoCloud(made)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeSeed(dir, made); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "blkid", "-p", "-o", "export", filepath.Join(dir, seedFile)).Output()
	if err != nil || !strings.Contains(string(out), "LABEL=cidata\n") ||
		!strings.Contains(string(out), "TYPE=iso9660\n") {
		t.Errorf("blkid says %s, %v; want an ISO named cidata", out, err)
	}
	f, err := os.Open(filepath.Join(dir, seedFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil || i.Mode().Perm() != 0o600 || i.Size()%2048 != 0 {
		t.Errorf("the seed is %v of %d bytes, %v", i.Mode(), i.Size(), err)
	}
	iso, err := iso9660.OpenImage(f)
	if err != nil {
		t.Fatal(err)
	}
	root, err := iso.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	children, err := root.GetChildren()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range children {
		b, err := io.ReadAll(c.Reader())
		if err != nil {
			t.Fatal(err)
		}
		got[strings.TrimSuffix(strings.TrimSuffix(c.Name(), ";1"), ".")] = b
	}
	if len(got) != len(want) {
		t.Errorf("the disk has %d files, want %d", len(got), len(want))
	}
	for _, w := range want {
		if !bytes.Equal(got[w.Name], w.Content) {
			t.Errorf("%s has %d bytes, want %d", w.Name, len(got[w.Name]), len(w.Content))
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("the directory has %v, want the seed alone", left)
	}
}

// TestConsole has a server that writes a lot.
func TestConsole(t *testing.T) {
	q, r := one(t)
	x := provider.Resource{Kind: provider.KindServer, Stack: "demo", Name: "web-1", ID: r.id()}
	f, err := os.OpenFile(filepath.Join(q.serverDir(r), consoleFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(make([]byte, mostConsole), "the end\n"...)); err != nil {
		t.Fatal(err)
	}
	if _, err := q.List(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("more\n"); err != nil {
		t.Fatal(err)
	}
	b, err := q.Console(t.Context(), x)
	if err != nil || len(b) != shownConsole || !bytes.HasSuffix(b, []byte("the end\nmore\n")) {
		t.Errorf("Console = %d bytes, %v, ending with %q", len(b), err, b[max(0, len(b)-20):])
	}
	if i, err := f.Stat(); err != nil || i.Size() > 100 {
		t.Errorf("its file has %d bytes, %v", i.Size(), err)
	}
}

// TestBadState has records that somebody changed.
func TestBadState(t *testing.T) {
	q, r := one(t)
	file := filepath.Join(q.serverDir(r), recordFile)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(file, good, 0o600)
	for name, b := range map[string][]byte{
		"nothing": nil, "half": good[:len(good)/2], "more": append(bytes.Clone(good), "{}"...),
		"another field": bytes.Replace(good, []byte(`"serial"`), []byte(`"cereal"`), 1),
		"huge":          append(bytes.Clone(good), make([]byte, mostRecord)...),
	} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := q.List(t.Context(), "demo"); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: List = %v, want an error that names the file", name, err)
		}
	}
	other := bytes.Replace(good, []byte(`"web-1"`), []byte(`"web-2"`), 1)
	if err := os.WriteFile(file, other, 0o600); err != nil {
		t.Fatal(err)
	}
	x := provider.Resource{Kind: provider.KindServer, Stack: "demo", Name: "web-1", ID: r.id()}
	if err := q.Remove(t.Context(), x); !errors.Is(err, provider.ErrTaken) {
		t.Errorf("Remove of what bears another's labels = %v, want ErrTaken", err)
	}
}

// TestHostileIDs has IDs and kinds that would lead out of the state, or to the wrong kind.
func TestHostileIDs(t *testing.T) {
	q, r := one(t)
	for _, x := range []provider.Resource{
		{Kind: provider.KindServer, ID: "../../../etc"}, {Kind: provider.KindServer, ID: "demo/../00000000"},
		{Kind: "..", ID: r.id()}, {Kind: "", ID: r.id()}, {Kind: provider.KindImage, ID: ".."},
		{Kind: provider.KindVolume, ID: "demo//x"}, {Kind: provider.KindVolume, ID: r.id()}, {},
	} {
		x.Stack, x.Name = "demo", "web-1"
		if err := q.Remove(t.Context(), x); err != nil {
			t.Errorf("Remove of %+v = %v, want nil: there is no such thing", x, err)
		}
		if err := q.Control(t.Context(), x, provider.Stop); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("Control of %+v = %v, want ErrNotFound", x, err)
		}
		if _, err := q.Console(t.Context(), x); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("Console of %+v = %v, want ErrNotFound", x, err)
		}
	}
	wall, err := q.records("stacks", "demo", "firewall")
	if err != nil || len(wall) != 1 {
		t.Fatalf("the firewalls are %v, %v", wall, err)
	}
	x := provider.Resource{Kind: provider.KindFirewall, Stack: "demo", Name: wall[0].name(), ID: wall[0].id()}
	if err := q.Control(t.Context(), x, provider.Stop); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("Control of a firewall = %v, want ErrNotFound", err)
	}
	for _, stack := range []string{".", "..", "../images", "a/b", "/"} {
		if _, err := q.List(t.Context(), stack); !errors.Is(err, provider.ErrInvalid) {
			t.Errorf("List(%q) = %v, want ErrInvalid", stack, err)
		}
	}
}

// TestImageMismatch has an image whose bytes are not its digest's, or end early.
func TestImageMismatch(t *testing.T) {
	q, err := crashed(t.TempDir(), durable.Disk{})
	if err != nil {
		t.Fatal(err)
	}
	i := providertest.Blank(provider.Raw, 0)
	i.Digest = providertest.Blank(provider.Raw, 1).Digest
	if _, err := q.Ensure(t.Context(), i); !errors.Is(err, provider.ErrInvalid) {
		t.Errorf("other bytes: %v, want ErrInvalid", err)
	}
	i.Size++
	if _, err := q.Ensure(t.Context(), i); err == nil {
		t.Error("bytes that end early gave no error")
	}
	checkEmpty(t, q.Dir)
}
