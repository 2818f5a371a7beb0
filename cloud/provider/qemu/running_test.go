package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"

	"griddle/cloud/provider"
	"griddle/cloud/provider/providertest"
	"griddle/imagestore/durable"
)

func prefix() netip.Prefix { return netip.MustParsePrefix("10.77.0.0/24") }

// one brings the stack of crash_test.go up, and takes it down with the test.
func one(t *testing.T) (*QEMU, *record) {
	t.Helper()
	q, err := crashed(t.TempDir(), durable.Disk{})
	if err != nil {
		t.Fatalf("%v; run make deps", err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		if err := down(ctx, q); err != nil {
			t.Error(err)
		}
		checkEmpty(t, q.Dir)
	})
	x, err := up(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	r, err := q.byID(provider.KindServer, x.ID)
	if err != nil || r == nil {
		t.Fatalf("the server's record: %v, %v", r, err)
	}
	return q, r
}

// blocks is the files of the disks that a running server has, and their sizes.
func blocks(t *testing.T, q *QEMU, r *record) map[string]int64 {
	t.Helper()
	all := make(map[string]int64)
	err := q.running(t.Context(), r, func(m *monitor) error {
		b, err := m.do(t.Context(), "query-block", nil)
		if err != nil {
			return err
		}
		var list []struct {
			Inserted struct {
				Image struct {
					Filename string
					Size     int64 `json:"virtual-size"`
				}
			}
		}
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
		for _, l := range list {
			all[filepath.Base(filepath.Dir(l.Inserted.Image.Filename))+"/"+filepath.Base(l.Inserted.Image.Filename)] = l.Inserted.Image.Size
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestDisks has volumes come, grow and go while the server runs.
func TestDisks(t *testing.T) {
	q, r := one(t)
	if all := blocks(t, q, r); len(all) != 3 || all["data/"+imageDisk] != 1<<30 || all["./"+serverDisk] != 1<<20 {
		t.Errorf("it has disks %v, want its root, its seed and 1 GiB of data", all)
	}
	if _, err := q.Ensure(t.Context(), &provider.Volume{Stack: "demo", Name: "data", Size: 3 << 30}); err != nil {
		t.Fatal(err)
	}
	if all := blocks(t, q, r); all["data/"+imageDisk] != 3<<30 {
		t.Errorf("after its volume grew it has %v", all)
	}
	r.Server.Volumes = nil
	for range 2 {
		if err := q.refresh(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if all := blocks(t, q, r); len(all) != 2 {
		t.Errorf("without its volume it has %v", all)
	}
	v, err := q.records("stacks", "demo", "volume")
	if err != nil || len(v) != 1 {
		t.Fatalf("the volumes are %v, %v", v, err)
	}
	r.Server.Volumes = []string{v[0].id()}
	for range 2 {
		if err := q.refresh(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if all := blocks(t, q, r); len(all) != 3 {
		t.Errorf("with its volume again it has %v", all)
	}
}

// TestVolumeOutlives writes to a volume, and builds its server anew.
func TestVolumeOutlives(t *testing.T) {
	q, r := one(t)
	file := filepath.Join(q.home(provider.KindVolume, "demo", "data"), imageDisk)
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("kept"), 4096); err != nil {
		t.Fatal(err)
	}
	x := provider.Resource{Kind: provider.KindServer, Stack: "demo", Name: "web-1", ID: r.id()}
	if err := q.Remove(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if err := until(t.Context(), q, func(all []provider.Resource) bool { return len(all) == 5 }); err != nil {
		t.Fatal(err)
	}
	y, err := up(t.Context(), q)
	if err != nil || y.ID == x.ID {
		t.Fatalf("built anew it is %+v, %v", y, err)
	}
	b := make([]byte, 4)
	if _, err := f.ReadAt(b, 4096); err != nil || string(b) != "kept" {
		t.Errorf("its volume has %q, %v", b, err)
	}
}

// TestForwards reads from QEMU what it forwards, with an own address and without.
func TestForwards(t *testing.T) {
	q, r := one(t)
	check := func(public string, ports ...uint16) {
		t.Helper()
		err := q.running(t.Context(), r, func(m *monitor) error {
			text, err := m.human(t.Context(), "info usernet")
			if err != nil {
				return err
			}
			all := parseUsernet(text)
			if len(all) != len(ports) {
				t.Errorf("it forwards %v, want %d ports", all, len(ports))
			}
			for _, f := range all {
				if f.public.String() != public || r.Server.Address != "" && f.Public != f.Port {
					t.Errorf("it forwards %v, want it at %s", f, public)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check("127.88.0.1", 2222, 2223)
	wall := &provider.Firewall{Stack: "demo", Name: "web", Rules: []provider.Rule{
		{Protocol: "tcp", From: 2223, To: 2223, Source: prefix()}, {Protocol: "udp", From: 5353, To: 5353, Source: prefix()},
	}}
	for range 2 {
		if _, err := q.Ensure(t.Context(), wall); err != nil {
			t.Fatal(err)
		}
		check("127.88.0.1", 2223, 5353)
	}
	r.Server.Address, r.Server.Public = "", publicAddress()
	if err := q.refresh(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	check("127.0.0.1", 2223, 5353)
	wall.Rules = nil
	if _, err := q.Ensure(t.Context(), wall); err != nil {
		t.Fatal(err)
	}
	check("127.0.0.1")
}

// TestPortTaken has somebody else listen where the server's ports were.
func TestPortTaken(t *testing.T) {
	q, r := one(t)
	x := provider.Resource{Kind: provider.KindServer, Stack: "demo", Name: "web-1", ID: r.id()}
	stopAndWait := func() {
		t.Helper()
		if err := q.Control(t.Context(), x, provider.Stop); err != nil {
			t.Fatal(err)
		}
		if err := until(t.Context(), q, func(all []provider.Resource) bool { return all[5].State == provider.Stopped }); err != nil {
			t.Fatal(err)
		}
	}
	stopAndWait()
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(r.Server.Public, 2222)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := q.Control(t.Context(), x, provider.Start); err != nil {
		t.Fatal(err)
	}
	err = until(t.Context(), q, func(all []provider.Resource) bool {
		s := all[5]
		return s.State == provider.Ready && len(s.Forwards) == 1 && s.Forwards[0].Port == 2222 && s.Forwards[0].Public != 2222
	})
	if err != nil {
		t.Error(err)
	}
}

// TestHung has a server's process stopped: it answers nothing, and is ended all the same.
func TestHung(t *testing.T) {
	q, r := one(t)
	pids := processes(t, q.Dir)
	if len(pids) != 1 {
		t.Fatalf("processes %v, want one", pids)
	}
	pid, err := strconv.Atoi(pids[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := end(t.Context(), q.serverDir(r)); err != nil {
		t.Error(err)
	}
	if left := processes(t, q.Dir); len(left) != 0 {
		t.Errorf("processes %v are left", left)
	}
}

// TestKillOthers has a process whose descriptor is of another file: it is left alone.
func TestKillOthers(t *testing.T) {
	q, r := one(t)
	other, err := os.Create(filepath.Join(t.TempDir(), aliveFile))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	cmd.ExtraFiles = []*os.File{other}
	cmd.Dir = q.serverDir(r)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := end(t.Context(), q.serverDir(r)); err != nil {
		t.Error(err)
	}
	if err := kill(q.serverDir(r)); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("somebody else's process is gone: %v", err)
	}
	cmd.Process.Kill()
	cmd.Wait()
}

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
		if i, err := e.Info(); err != nil || e.Type().IsRegular() && i.Mode().Perm()&0o077 != 0 && e.Name() != consoleFile {
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
	user := bytes.Repeat([]byte("#cloud-config\n"), 20000)
	want := map[string][]byte{"meta-data": []byte("{}\n"), "network-config": []byte("{\"version\": 2}\n"), "user-data": user}
	if err := (seed{want["meta-data"], want["network-config"], user}).write(dir); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "blkid", "-p", "-o", "export", filepath.Join(dir, seedFile)).Output()
	if err != nil || !strings.Contains(string(out), "LABEL=cidata\n") || !strings.Contains(string(out), "TYPE=iso9660\n") {
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
	iso, err := iso9660.Read(file.New(f, true), 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range want {
		got, err := iso.ReadFile(name)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s has %d bytes, %v, want %d", name, len(got), err, len(b))
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
		"nothing": nil, "half": good[:len(good)/2], "more": append(bytes.Clone(good), "{}"...), "another field": bytes.Replace(good, []byte(`"serial"`), []byte(`"cereal"`), 1),
		"huge": append(bytes.Clone(good), make([]byte, mostRecord)...),
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
		{Kind: provider.KindServer, ID: "../../../etc"}, {Kind: provider.KindServer, ID: "demo/../00000000"}, {Kind: "..", ID: r.id()}, {Kind: "", ID: r.id()},
		{Kind: provider.KindImage, ID: ".."}, {Kind: provider.KindVolume, ID: "demo//x"}, {Kind: provider.KindVolume, ID: r.id()}, {},
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

// TestEnded has QEMU end by somebody's hand: the server is stopped, and starts again.
func TestEnded(t *testing.T) {
	q, r := one(t)
	pid, err := strconv.Atoi(processes(t, q.Dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err = until(t.Context(), q, func(all []provider.Resource) bool {
		return all[5].State == provider.Stopped && strings.Contains(all[5].Reason, "signal 15")
	})
	if err != nil {
		t.Fatal(err)
	}
	x := provider.Resource{Kind: provider.KindServer, Stack: "demo", Name: "web-1", ID: r.id()}
	if err := q.Control(t.Context(), x, provider.Start); err != nil {
		t.Fatal(err)
	}
	if err := until(t.Context(), q, func(all []provider.Resource) bool { return all[5].State == provider.Ready }); err != nil {
		t.Error(err)
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
