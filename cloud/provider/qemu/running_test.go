package qemu

import (
	"context"
	"encoding/json"
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

	"griddle/cloud/provider"
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
		b, err := m.Do(t.Context(), "query-block", nil)
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
			all[filepath.Base(filepath.Dir(l.Inserted.Image.Filename))+"/"+
				filepath.Base(l.Inserted.Image.Filename)] = l.Inserted.Image.Size
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
		t.Fatalf("built again it is %+v, %v", y, err)
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
			text, err := m.Human(t.Context(), "info usernet")
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
		{Protocol: "tcp", From: 2223, To: 2223, Source: prefix()},
		{Protocol: "udp", From: 5353, To: 5353, Source: prefix()},
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
		if err := until(t.Context(), q, func(all []provider.Resource) bool {
			return all[5].State == provider.Stopped
		}); err != nil {
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
		return s.State == provider.Ready && len(s.Forwards) == 1 && s.Forwards[0].Port == 2222 &&
			s.Forwards[0].Public != 2222
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
	if err := until(t.Context(), q, func(all []provider.Resource) bool {
		return all[5].State == provider.Ready
	}); err != nil {
		t.Error(err)
	}
}
