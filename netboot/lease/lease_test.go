package lease

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func config(t *testing.T) Config {
	t.Helper()
	return Config{
		Path:  filepath.Join(t.TempDir(), "leases"),
		First: netip.MustParseAddr("10.0.0.10"), Last: netip.MustParseAddr("10.0.0.12"), Time: time.Hour,
	}
}

func open(t *testing.T, c Config) *Pool {
	t.Helper()
	p, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mac(n byte) MAC { return MAC{0x52, 0x54, 0, 0, 0, n} }

var none netip.Addr

// take offers and commits, as a machine without history does.
func take(t *testing.T, p *Pool, m MAC) netip.Addr {
	t.Helper()
	a, _, err := p.Offer(m, none)
	if err != nil {
		t.Fatal(err)
	}
	if _, out, err := p.Commit(m, a); out != Granted || err != nil {
		t.Fatalf("Commit(%v) = %v, %v, want granted", a, out, err)
	}
	return a
}

func TestPool(t *testing.T) {
	a10, a11, a12 := netip.MustParseAddr("10.0.0.10"), netip.MustParseAddr("10.0.0.11"),
		netip.MustParseAddr("10.0.0.12")
	tests := []struct {
		name string
		run  func(t *testing.T, c Config)
	}{
		{"an address for each machine, then none", func(t *testing.T, c Config) {
			p := open(t, c)
			defer p.Close()
			seen := map[netip.Addr]bool{}
			for n := range byte(3) {
				seen[take(t, p, mac(n))] = true
			}
			if len(seen) != 3 {
				t.Errorf("three machines share %d addresses", len(seen))
			}
			if _, _, err := p.Offer(mac(9), none); !errors.Is(err, ErrFull) {
				t.Errorf("Offer = %v, want ErrFull", err)
			}
			time.Sleep(61 * time.Minute)
			take(t, p, mac(9))
		}},
		{"the same address again after the lease ended", func(t *testing.T, c Config) {
			p := open(t, c)
			defer p.Close()
			a := take(t, p, mac(1))
			take(t, p, mac(2))
			time.Sleep(2 * time.Hour)
			if got := take(t, p, mac(1)); got != a {
				t.Errorf("got %v, want %v", got, a)
			}
		}},
		{"the wanted address if it is free", func(t *testing.T, c Config) {
			p := open(t, c)
			defer p.Close()
			if a, _, _ := p.Offer(mac(1), a12); a != a12 {
				t.Errorf("got %v, want %v", a, a12)
			}
			if a, _, _ := p.Offer(mac(2), a12); a == a12 {
				t.Errorf("an offered address was offered to another machine")
			}
			time.Sleep(2 * time.Minute)
			if a, _, _ := p.Offer(mac(2), a12); a == a12 {
				t.Error("the machine's own offer was not repeated")
			}
			if a, _, _ := p.Offer(mac(3), a12); a != a12 {
				t.Error("an offer is held after its time")
			}
		}},
		{"reservations", func(t *testing.T, c Config) {
			c.Reserved = map[MAC]netip.Addr{mac(7): a11, mac(8): netip.MustParseAddr("10.0.0.200")}
			p := open(t, c)
			defer p.Close()
			if a := take(t, p, mac(8)); a != netip.MustParseAddr("10.0.0.200") {
				t.Errorf("got %v", a)
			}
			for n := range byte(2) {
				if a := take(t, p, mac(n)); a == a11 {
					t.Error("a reserved address went to another machine")
				}
			}
			if _, out, _ := p.Commit(mac(1), a11); out != Refused {
				t.Errorf("Commit of a reserved address = %v, want refused", out)
			}
			if a := take(t, p, mac(7)); a != a11 {
				t.Errorf("got %v, want %v", a, a11)
			}
		}},
		{"excluded addresses", func(t *testing.T, c Config) {
			c.Exclude = []netip.Addr{a10, a12}
			p := open(t, c)
			defer p.Close()
			if a := take(t, p, mac(1)); a != a11 {
				t.Errorf("got %v, want %v", a, a11)
			}
		}},
		{"release and decline", func(t *testing.T, c Config) {
			c.First = a12
			p := open(t, c)
			defer p.Close()
			a := take(t, p, mac(1))
			if err := p.Release(mac(2), a); !errors.Is(err, ErrNotHeld) {
				t.Errorf("release by another machine: %v", err)
			}
			if err := p.Decline(mac(2), a); !errors.Is(err, ErrNotHeld) {
				t.Errorf("decline by another machine: %v", err)
			}
			if err := p.Release(mac(1), a); err != nil {
				t.Error(err)
			}
			take(t, p, mac(2))
			if err := p.Decline(mac(2), a); err != nil {
				t.Error(err)
			}
			if _, _, err := p.Offer(mac(2), none); !errors.Is(err, ErrFull) {
				t.Errorf("Offer after decline = %v, want ErrFull", err)
			}
			time.Sleep(25 * time.Hour)
			take(t, p, mac(1))
		}},
		{"requests without an offer", func(t *testing.T, c Config) {
			p := open(t, c)
			defer p.Close()
			if _, out, _ := p.Commit(mac(1), a10); out != Unknown {
				t.Errorf("unknown machine = %v, want unknown", out)
			}
			take(t, p, mac(1))
			if _, out, _ := p.Commit(mac(1), a12); out != Refused {
				t.Errorf("other address = %v, want refused", out)
			}
			if _, out, _ := p.Commit(mac(2), a10); out != Refused {
				t.Errorf("held address = %v, want refused", out)
			}
		}},
		{"an acknowledged lease is there after a crash", func(t *testing.T, c Config) {
			p := open(t, c)
			a := take(t, p, mac(1))
			b := take(t, p, mac(2))
			if err := p.Release(mac(2), b); err != nil {
				t.Fatal(err)
			}
			// What is on the disk now, with a torn line after it.
			disk, err := os.ReadFile(c.Path)
			if err != nil {
				t.Fatal(err)
			}
			p.Close()
			if err := os.WriteFile(c.Path, append(disk, "0123abcd lease 52:54"...), 0o600); err != nil {
				t.Fatal(err)
			}
			p = open(t, c)
			defer p.Close()
			if p.Dropped() != 1 {
				t.Errorf("Dropped = %d, want 1", p.Dropped())
			}
			if ls := p.Leases(); len(ls) != 1 || ls[0].Addr != a || ls[0].MAC != mac(1) {
				t.Errorf("leases %v, want one of %v", ls, a)
			}
			if _, out, err := p.Commit(mac(1), a); out != Granted || err != nil {
				t.Errorf("renewing after the crash: %v, %v", out, err)
			}
			if _, err := os.Stat(c.Path + ".damaged"); err != nil {
				t.Error(err)
			}
		}},
		{"a failed write is not acknowledged, and healed", func(t *testing.T, c Config) {
			p := open(t, c)
			defer p.Close()
			take(t, p, mac(1))
			p.journal.f.Close()
			a, _, _ := p.Offer(mac(2), none)
			if _, out, err := p.Commit(mac(2), a); err == nil {
				t.Fatalf("Commit = %v, nil on a closed file", out)
			}
			if _, out, err := p.Commit(mac(2), a); out != Granted || err != nil {
				t.Fatalf("Commit afterwards = %v, %v", out, err)
			}
			disk, _ := os.ReadFile(c.Path)
			if rs, bad := parseJournal(disk); len(rs) != 2 || bad != 0 {
				t.Errorf("journal has %d records, %d bad, want 2 and 0", len(rs), bad)
			}
		}},
		{"the journal does not grow without end", func(t *testing.T, c Config) {
			p := open(t, c)
			defer p.Close()
			a := take(t, p, mac(1))
			for range 3000 {
				if _, out, err := p.Commit(mac(1), a); out != Granted || err != nil {
					t.Fatal(out, err)
				}
			}
			disk, _ := os.ReadFile(c.Path)
			if n := strings.Count(string(disk), "\n"); n > 1100 {
				t.Errorf("journal has %d lines", n)
			}
		}},
		{"another range", func(t *testing.T, c Config) {
			p := open(t, c)
			defer p.Close()
			a := take(t, p, mac(1))
			if !p.Holds(mac(1)) || p.Holds(mac(2)) || p.Holds(MAC{}) {
				t.Error("Holds is wrong")
			}
			moved := Config{First: netip.MustParseAddr("10.0.1.1"),
				Last: netip.MustParseAddr("10.0.1.2"), Time: time.Minute,
				Reserved: map[MAC]netip.Addr{mac(3): netip.MustParseAddr("10.0.1.1")}}
			if err := p.Reconfigure(Config{First: moved.Last, Last: moved.First}); err == nil {
				t.Error("a range that runs backwards is taken")
			}
			if ttl, out, err := p.Commit(mac(1), a); ttl != time.Hour || out != Granted || err != nil {
				t.Errorf("renewing after the error = %v, %v, %v", ttl, out, err)
			}
			if err := p.Reconfigure(moved); err != nil {
				t.Fatal(err)
			}
			if _, out, _ := p.Commit(mac(1), a); out != Refused {
				t.Errorf("renewing an address outside the range = %v, want refused", out)
			}
			if a, ttl, err := p.Offer(mac(1), none); a != moved.Last || ttl != time.Minute || err != nil {
				t.Errorf("Offer = %v, %v, %v", a, ttl, err)
			}
			time.Sleep(2 * time.Hour)
			if p.Holds(mac(1)) {
				t.Error("a lease is held after its end")
			}
		}},
		{"one process at a time", func(t *testing.T, c Config) {
			p := open(t, c)
			defer p.Close()
			if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "another process") {
				t.Errorf("second Open = %v", err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config(t)
			synctest.Test(t, func(t *testing.T) { tt.run(t, c) })
		})
	}
}

func TestConfig(t *testing.T) {
	_, err := Open(Config{First: netip.MustParseAddr("10.0.0.9"), Last: netip.MustParseAddr("10.0.0.1"), Time: -1})
	for _, want := range []string{"path of the journal is missing", "runs backwards", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want it to say %q", err, want)
		}
	}
}

// Commits at the same time share the disk's waits, and each has its record in the journal when it returns.
func TestGroupCommit(t *testing.T) {
	c := config(t)
	c.Last = netip.MustParseAddr("10.0.3.255")
	p := open(t, c)
	defer p.Close()
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() {
			m := MAC{2, 0, 0, 0, byte(n >> 8), byte(n)}
			a, _, err := p.Offer(m, none)
			if err != nil {
				t.Error(err)
				return
			}
			if _, out, err := p.Commit(m, a); out != Granted || err != nil {
				t.Error(out, err)
				return
			}
			disk, err := os.ReadFile(c.Path)
			if err != nil || !strings.Contains(string(disk), " "+a.String()+" ") {
				t.Errorf("%v is granted and not in the journal (%v)", a, err)
			}
		})
	}
	wg.Wait()
}

// A full disk refuses leases, and takes none away: neither at work nor at a start. With room again all is well.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("mounting a small file system: %v (run this test as root)", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	c := config(t)
	c.Path, c.Last = filepath.Join(dir, "leases"), netip.MustParseAddr("10.0.0.250")
	p := open(t, c)
	a := take(t, p, mac(1))
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	// The journal's last page has room for some tens of records yet.
	refused := 0
	for n := byte(2); n < 120; n++ {
		b, _, err := p.Offer(mac(n), none)
		if err != nil {
			t.Fatal(err)
		}
		if _, out, err := p.Commit(mac(n), b); err != nil {
			if refused++; !errors.Is(err, unix.ENOSPC) || out == Granted {
				t.Fatalf("Commit on a full disk = %v, %v", out, err)
			}
		}
	}
	if refused == 0 {
		t.Fatal("the disk never was full")
	}
	if _, err := os.Stat(c.Path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a part of a new journal is left: %v", err)
	}
	p.Close()
	if disk, err := os.ReadFile(c.Path); err != nil {
		t.Fatal(err)
	} else if rs, bad := parseJournal(disk); len(rs) != 119-refused || bad != 0 {
		t.Errorf("the journal has %d records, %d bad, want the %d granted ones", len(rs), bad, 119-refused)
	}
	p = open(t, c)
	defer p.Close()
	if !errors.Is(p.Trouble(), unix.ENOSPC) || !p.Holds(mac(1)) {
		t.Errorf("Open on a full disk: trouble %v, first lease known: %v", p.Trouble(), p.Holds(mac(1)))
	}
	if _, _, err := p.Commit(mac(1), a); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("renewing on a full disk = %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if _, out, err := p.Commit(mac(1), a); out != Granted || err != nil {
		t.Errorf("renewing with room again = %v, %v", out, err)
	}
}

func FuzzJournal(f *testing.F) {
	good := record{verb: verbLease,
		Lease: Lease{MAC: mac(1), Addr: netip.MustParseAddr("10.0.0.10"), End: time.Unix(1e9, 0)}}
	f.Add(good.line())
	f.Add([]byte("00000000 \n\n"))
	f.Add(append(good.line(), good.line()[:20]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, _ := parseJournal(b)
		for _, r := range records {
			if again, err := parseRecord([]byte(strings.TrimSuffix(string(r.line()), "\n"))); err != nil || again != r {
				t.Errorf("%q does not read back: %v", r.line(), err)
			}
		}
	})
}
