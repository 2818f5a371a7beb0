package imagestore_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
)

// The test program runs itself with signDir set, as a site that is killed at a random moment.
const signDir = "GRIDDLE_TEST_SIGN_DIR"

// TestKilledSigner changes and signs a catalog in a process that is killed again and again: the head always speaks of
// what the log has, never of less than before, and the next start repairs it.
func TestKilledSigner(t *testing.T) {
	if dir := os.Getenv(signDir); dir != "" {
		signForEver(t, dir)
		return
	}
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "site.key")
	k, _, err := minisign.LoadOrMakeKey(path)
	if err != nil {
		t.Fatal(err)
	}
	f.grant(document.SiteGrant(k.Public()))
	var signed int64
	for round := range 12 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledSigner$")
		cmd.Env = append(os.Environ(), signDir+"="+f.dir, "GRIDDLE_TEST_KEY="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "signing\n" {
			t.Fatalf("the site said %q, %v", line, err)
		}
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) // the moment of the kill, not a wait for something
		cmd.Process.Kill()
		if err := cmd.Wait(); err == nil {
			t.Fatal("the site ended by itself")
		}
		if _, err := os.Stat(filepath.Join(f.dir, "catalog.head")); err == nil {
			if h := f.head(k); h.Seq < signed {
				t.Errorf("after kill %d the head speaks of %d entries, and spoke of %d", round, h.Seq, signed)
			}
		}
		s, err := imagestore.Open(f.dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.KeepHead(t.Context(), k, 0); err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		entries, err := s.Catalog.Read(t.Context())
		if err != nil || f.head(k).Seq != int64(len(entries)) {
			t.Errorf("after kill %d and a start the head is %+v of %d entries, %v", round, f.head(k), len(entries), err)
		}
		signed = int64(len(entries))
	}
	left, err := filepath.Glob(filepath.Join(f.dir, "*.new"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v are left of killed writers, %v", left, err)
	}
	t.Logf("%d entries were made", signed)
}

func signForEver(t *testing.T, dir string) {
	s, err := imagestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	k, err := minisign.ReadKey(os.Getenv("GRIDDLE_TEST_KEY"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.KeepHead(t.Context(), k, 0); err != nil {
		t.Fatal(err)
	}
	fmt.Println("signing")
	for n := 0; ; n++ {
		if err := s.Grant(t.Context(), catalog.Granting{Key: document.SiteGrant(k.Public()).String(),
			Comment: fmt.Sprint(os.Getpid(), n)}); err != nil {
			t.Fatal(err)
		}
	}
}
