package imagestore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/durable"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
)

// The test program runs itself with these set, as a writer that is killed at a random moment.
const (
	killDir   = "GRIDDLE_TEST_KILL_DIR"
	killRound = "GRIDDLE_TEST_KILL_ROUND"
	killAt    = "GRIDDLE_TEST_KILL_AT" // the file operation at which it kills itself; empty: it is killed from outside
)

// TestKilledWriter publishes, deletes and collects in a process that is killed again and again, at a random file
// operation or at any moment, and checks after each kill that whatever the catalog has is whole, that what was
// reported as done is done, and that nothing is left over.
func TestKilledWriter(t *testing.T) {
	if dir := os.Getenv(killDir); dir != "" {
		writeForEver(t, dir)
		return
	}
	f := newFixture(t)
	key := filepath.Join(t.TempDir(), "publisher.key")
	k, _, err := minisign.LoadOrMakeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.s.TrustKey(t.Context(), k.Public()); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	reported := reports{}
	for round := range killRounds {
		what := fmt.Sprintf("kill %d of seed %d", round, seed)
		at := ""
		if round%3 != 0 {
			at = strconv.Itoa(r.IntN(300))
			what += " at file operation " + at
		}
		out := killed(t, f.dir, key, round, at, time.Duration(20+r.IntN(200))*time.Millisecond)
		reported.read(out)
		if strings.Contains(out, "FAIL") {
			t.Fatalf("%s: the writer failed:\n%s", what, out)
		}
		s, err := imagestore.Open(f.dir) // as after a restart, without anything in memory
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.List(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		there := map[string]bool{}
		for _, l := range list {
			there[l.Ref] = true
			if v, err := s.Verify(t.Context(), l.Parsed(), nil); err != nil || !v.OK {
				t.Errorf("%s: %s has %v, %v", what, l.Ref, v.Problems, err)
			}
		}
		for r, is := range reported {
			if is == "published" && !there[r] || is == "deleted" && there[r] {
				t.Errorf("%s: %s was reported to be %s; it is there: %v", what, r, is, there[r])
			}
		}
		if round%4 == 3 {
			clean(t, what, f.dir)
		}
	}
	n := map[string]int{}
	for _, is := range reported {
		n[is]++
	}
	if n["published"]+n["deleted"] == 0 || n["deleted"] == 0 {
		t.Error("no publication or no deletion came to its end in any round: the kills come too early to show anything")
	}
	t.Logf("figure: %d kills, seed %d: %d publications were reported, %d deletions too, %d deletions were under way",
		killRounds, seed, len(reported), n["deleted"], n["deleting"])
}

// reports is what became of each image as far as the writers came to say: published, deleting or deleted.
type reports map[string]string

func (r reports) read(out string) {
	for _, line := range strings.Split(out, "\n") {
		is, ref, ok := strings.Cut(line, " ")
		if ref, whole := strings.CutSuffix(ref, "."); ok && whole &&
			(is == "published" || is == "deleting" || is == "deleted") {
			r[ref] = is
		}
	}
}

// killed runs a writer until it is killed, and gives its output.
func killed(t *testing.T, dir, key string, round int, at string, after time.Duration) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWriter$", "-test.v")
	cmd.Env = append(os.Environ(), killDir+"="+dir, "GRIDDLE_TEST_KEY="+key,
		killRound+"="+strconv.Itoa(round), killAt+"="+at)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if at == "" {
		time.Sleep(after) // the moment of the kill, not a wait for something
		cmd.Process.Kill()
	}
	if err := cmd.Wait(); err == nil {
		t.Fatalf("the writer ended by itself:\n%s", out.String())
	}
	return out.String()
}

// writeForEver publishes, deletes the oldest image where there are more than three, and collects.
func writeForEver(t *testing.T, dir string) {
	var disk durable.Disk
	if at, err := strconv.Atoi(os.Getenv(killAt)); err == nil {
		n := 0
		disk.Before = func(*durable.Op) error {
			if n++; n > at {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // never goes on
			}
			return nil
		}
	}
	s, err := imagestore.OpenOn(disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	k, err := minisign.ReadKey(os.Getenv("GRIDDLE_TEST_KEY"), nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t, dir, s, k}
	for n := 0; ; n++ {
		l := f.publish(fmt.Sprintf("web:%s.%d@amd64", os.Getenv(killRound), n), way{"", imagetest.Bytes(byte(n), 3000)})
		fmt.Printf("\npublished %s.\n", l.Ref)
		list, err := s.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for len(list) > 3 {
			oldest := list[len(list)-1]
			list = list[:len(list)-1]
			fmt.Printf("\ndeleting %s.\n", oldest.Ref)
			if _, err := s.Delete(t.Context(), oldest.Parsed()); err != nil {
				t.Fatal(err)
			}
			fmt.Printf("\ndeleted %s.\n", oldest.Ref)
		}
		age(t, dir)
		if _, err := s.Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
