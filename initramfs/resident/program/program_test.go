package program

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"griddle/appliance/site/notice"
	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
)

// old and young are two programs; they have more than one write each.
var (
	old   = bytes.Repeat([]byte("old program "), 4000)
	young = bytes.Repeat([]byte("young program "), 4000)
)

func offer(b []byte) notice.Agent {
	sum := sha256.Sum256(b)
	return notice.Agent{Version: "young", Built: 2, Size: int64(len(b)), SHA256: hex.EncodeToString(sum[:]),
		Path: "/boot/griddle-agent"}
}

func folder(t testing.TB) Program {
	t.Helper()
	p := Program{Dir: t.TempDir()}
	if err := os.WriteFile(p.path(Name), old, 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func serve(t testing.TB, b []byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(b) }))
	t.Cleanup(s.Close)
	return s.URL + "/boot/griddle-agent"
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p Program) has(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(p.path(Name))
	must(t, err)
	switch {
	case bytes.Equal(b, old):
		return "old"
	case bytes.Equal(b, young):
		return "young"
	}
	t.Fatalf("%s has %d bytes of neither", p.path(Name), len(b))
	return ""
}

// upgrade is what the service does with an offer.
func upgrade(t testing.TB, p Program, url string) error {
	a := offer(young)
	ok, err := p.Wants(&a, 1)
	if err == nil && ok {
		if err = p.Fetch(t.Context(), http.DefaultClient, url, a); err == nil {
			err = p.Replace(a)
		}
	}
	return err
}

func TestReplace(t *testing.T) {
	p, url := folder(t), serve(t, young)
	must(t, upgrade(t, p, url))
	if st, err := os.Stat(p.path(Name)); p.has(t) != "young" || err != nil || st.Mode().Perm() != 0o755 {
		t.Fatalf("the program has mode %v, %v", st.Mode(), err)
	}
	if b, err := os.ReadFile(p.LastGood()); err != nil || !bytes.Equal(b, old) {
		t.Fatalf("the last good program has %d bytes, %v", len(b), err)
	}
	if back, err := p.Guard(); back || err != nil {
		t.Fatalf("Guard() at the first start = %v, %v", back, err)
	}
	must(t, p.Good())
	for range 2 * maxStarts {
		if back, err := p.Guard(); back || err != nil {
			t.Fatalf("Guard() of a good program = %v, %v", back, err)
		}
	}
	if p.has(t) != "young" {
		t.Error("a good program was replaced")
	}
}

// TestFallBack starts a program that never gets to its work: the last good one comes back, and the other one is not
// taken again.
func TestFallBack(t *testing.T) {
	p, url := folder(t), serve(t, young)
	must(t, upgrade(t, p, url))
	starts := 0
	for ; p.has(t) == "young" && starts < 100; starts++ {
		if starts == 2 { // a shutdown in between is not its fault
			must(t, p.Stopped())
		}
		_, err := p.Guard()
		must(t, err)
	}
	if starts != 2+maxStarts+1 {
		t.Errorf("it was started %d times, want %d", starts, 2+maxStarts+1)
	}
	if err := upgrade(t, p, url); !errors.Is(err, ErrFailed) || p.has(t) != "old" {
		t.Errorf("taking it again = %v, want ErrFailed", err)
	}
	if back, err := p.Guard(); back || err != nil {
		t.Errorf("Guard() of the last good program = %v, %v", back, err)
	}
	// The next one is taken, and the last good one is still the old one.
	young := append(bytes.Clone(young), "and wiser"...)
	a := offer(young)
	must(t, p.Fetch(t.Context(), http.DefaultClient, serve(t, young), a))
	must(t, p.Replace(a))
	if b, err := os.ReadFile(p.LastGood()); err != nil || !bytes.Equal(b, old) {
		t.Errorf("the last good program has %d bytes, %v", len(b), err)
	}
}

// TestHostileServer: what the site did not sign, and what is not newer, never becomes the program.
func TestHostileServer(t *testing.T) {
	p := folder(t)
	for _, built := range []int64{2, 3} {
		a := offer(young)
		if ok, err := p.Wants(&a, built); ok || err != nil {
			t.Errorf("an agent built at 2 for one built at %d = %v, %v", built, ok, err)
		}
	}
	if ok, err := p.Wants(nil, 0); ok || err != nil {
		t.Errorf("no agent = %v, %v", ok, err)
	}
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(young); err != nil {
				return
			}
		}
	}))
	t.Cleanup(endless.Close)
	for name, url := range map[string]string{"other bytes": serve(t, bytes.ToUpper(young)), "less": serve(t, young[1:]),
		"more": serve(t, append(bytes.Clone(young), 'x')), "without end": endless.URL, "nothing": serve(t, nil),
		"no server": "http://127.0.0.1:1/x"} {
		if err := upgrade(t, p, url); err == nil || p.has(t) != "old" {
			t.Errorf("%s = %v", name, err)
		}
	}
	must(t, upgrade(t, p, serve(t, young)))
}

// TestPowerCut cuts the power after each operation of an upgrade and of the way back: there is one of the two programs,
// and an upgrade from what is left works.
func TestPowerCut(t *testing.T) {
	url := serve(t, young)
	for name, scenario := range map[string]func(Program) error{
		"upgrade": func(p Program) error { return upgrade(t, p, url) },
		"and back": func(p Program) error {
			err := upgrade(t, p, url)
			for back := false; err == nil && !back; {
				back, err = p.Guard()
			}
			return err
		},
	} {
		p := folder(t)
		tape := &durabletest.Tape{Root: p.Dir}
		p.Disk = tape.Disk()
		must(t, scenario(p))
		want := p.has(t)
		ops := tape.Ops()
		for n := range len(ops) + 1 {
			for i := range 3 {
				start := folder(t)
				disk, err := durabletest.Load(start.Dir)
				must(t, err)
				disk.Apply(ops[:n]...)
				left := Program{Dir: t.TempDir()}
				must(t, disk.PowerCut(left.Dir, rand.New(rand.NewPCG(uint64(n), uint64(i))), float64(i)/2))
				has := left.has(t)
				if n == len(ops) && has != want {
					t.Errorf("%s: when it was done, a power cut leaves the %s program, want the %s one", name, has,
						want)
				}
				if _, err := left.Guard(); err != nil {
					t.Fatalf("%s: Guard() after a power cut at %d of %d = %v", name, n, len(ops), err)
				}
				left.has(t)
				if err := upgrade(t, left, url); err != nil && !errors.Is(err, ErrFailed) {
					t.Fatalf("%s: an upgrade after a power cut at %d of %d = %v", name, n, len(ops), err)
				}
				left.has(t)
			}
		}
	}
}

// TestFullDisk fails at each operation: the program stays, or is the new one.
func TestFullDisk(t *testing.T) {
	url := serve(t, young)
	for n := 0; ; n++ {
		p := folder(t)
		tape := &durabletest.Tape{Root: p.Dir, Fault: func(i int, _ *durable.Op) error {
			if i >= n {
				return errors.New("no space left on device")
			}
			return nil
		}}
		p.Disk = tape.Disk()
		err := upgrade(t, p, url)
		p.has(t)
		if tape.Len() <= n {
			must(t, err)
			return
		}
		if err == nil {
			t.Errorf("an upgrade whose operation %d fails returned nil", n)
		}
	}
}

// TestKilled runs upgrades in a process that is killed at random: each time there is one of the two programs.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("GRIDDLE_TEST_UPGRADE"); dir != "" {
		p := Program{Dir: dir}
		for i := 0; ; i++ {
			b := [][]byte{young, old}[i%2]
			a := offer(b)
			must(t, p.Fetch(t.Context(), http.DefaultClient, serve(t, b), a))
			must(t, p.Replace(a))
			must(t, p.Good())
		}
	}
	p := folder(t)
	seen := map[string]int{}
	for range 25 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "GRIDDLE_TEST_UPGRADE="+p.Dir)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		must(t, cmd.Start())
		time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond)
		must(t, cmd.Process.Kill())
		cmd.Wait()
		seen[p.has(t)]++
		if _, err := p.Guard(); err != nil {
			t.Fatalf("Guard() = %v\n%s", err, out.String())
		}
		if b, err := os.ReadFile(p.LastGood()); err == nil && !bytes.Equal(b, old) && !bytes.Equal(b, young) {
			t.Fatalf("the last good program has %d bytes of neither", len(b))
		}
	}
	t.Log(seen)
}
