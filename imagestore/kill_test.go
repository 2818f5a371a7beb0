package imagestore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/blob"
)

// The test program runs itself with killDir set, as a writer that is killed at a random moment.
const killDir = "GRIDDLE_TEST_KILL_DIR"

// TestKilledWriter puts blobs and publishes images in a process that is killed again and again, and checks after each
// kill that whatever the catalog has is whole, and that what was reported as done is there.
func TestKilledWriter(t *testing.T) {
	if dir := os.Getenv(killDir); dir != "" {
		writeForEver(t, dir)
		return
	}
	f := newFixture(t)
	key := filepath.Join(t.TempDir(), "publisher.key")
	k, _, err := LoadOrMakeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.s.TrustKey(t.Context(), k.Public()); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]bool{}
	for round := range 25 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWriter$", "-test.v")
		cmd.Env = append(os.Environ(), killDir+"="+f.dir, "GRIDDLE_TEST_KEY="+key, "GRIDDLE_TEST_ROUND="+strconv.Itoa(round))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(30+rand.IntN(150)) * time.Millisecond) // the moment of the kill, not a wait for something
		cmd.Process.Kill()
		cmd.Wait()
		for _, line := range strings.Split(out.String(), "\n") {
			if r, ok := strings.CutPrefix(line, "published "); ok && strings.HasSuffix(r, ".") {
				acknowledged[strings.TrimSuffix(r, ".")] = true
			}
			if strings.Contains(line, "FAIL") {
				t.Fatalf("the writer failed:\n%s", out.String())
			}
		}
		s, err := Open(f.dir) // as after a restart, without anything in memory
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.List(t.Context())
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		there := map[string]bool{}
		for _, l := range list {
			there[l.Ref] = true
			if v, err := s.Verify(t.Context(), l.ref(), nil); err != nil || !v.OK {
				t.Errorf("after kill %d, %s has %v, %v", round, l.Ref, v.Problems, err)
			}
		}
		for r := range acknowledged {
			if !there[r] {
				t.Errorf("after kill %d, %s is gone though its publication was reported", round, r)
			}
		}
		err = s.Blobs.List(t.Context(), func(i blob.Info) error {
			_, err := blob.ReadAll(t.Context(), s.Blobs, i.Digest, 1<<20)
			return err
		})
		if err != nil {
			t.Errorf("after kill %d: %v", round, err)
		}
	}
	if len(acknowledged) == 0 {
		t.Error("no publication came to its end in any round: the kills come too early to show anything")
	}
	t.Logf("%d publications were reported before their process was killed", len(acknowledged))
}

func writeForEver(t *testing.T, dir string) {
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ReadKey(os.Getenv("GRIDDLE_TEST_KEY"), nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t, dir, s, k}
	for n := 0; ; n++ {
		l := f.publish(fmt.Sprintf("web:%s.%d@amd64", os.Getenv("GRIDDLE_TEST_ROUND"), n), way{"", someBytes(byte(n), 3000)})
		fmt.Printf("\npublished %s.\n", l.Ref)
	}
}
