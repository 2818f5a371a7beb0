package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/imagestore/sendstream"
	"griddle/imagestore/source/sourcetest"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// template makes a subvolume with one file and gives the source for it.
func template(t *testing.T) (*Source, string) {
	t.Helper()
	dir := filepath.Join(sourcetest.Btrfs(t), "web")
	sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", dir)
	must(t, os.WriteFile(filepath.Join(dir, "file"), bytes.Repeat([]byte("griddle "), 20_000), 0o644))
	s, err := Find(context.Background(), "btrfs:"+dir, Options{})
	must(t, err)
	return s, dir
}

func quiet(string) {}

func TestCopyIsKeptAndRetired(t *testing.T) {
	ctx := context.Background()
	s, dir := template(t)
	first, err := s.Take(ctx, "web@1@amd64", quiet)
	must(t, err)
	if _, err := s.Take(ctx, "web@1@amd64", quiet); !errors.Is(err, ErrBusy) {
		t.Errorf("Take of a name that is at work = %v, want ErrBusy", err)
	}
	if got, err := s.Kept(first.UUID, first.Ctransid); got != nil || err != nil {
		t.Errorf("Kept finds %v, %v before Keep", got, err)
	}
	must(t, first.Keep())
	parent, err := s.Kept(first.UUID, first.Ctransid)
	must(t, err)
	if parent == nil || parent.Name != "web@1@amd64" {
		t.Fatalf("Kept = %+v, want web@1@amd64", parent)
	}
	if other, err := s.Kept(first.UUID, first.Ctransid+1); other != nil || err != nil {
		t.Errorf("Kept with another ctransid = %v, %v, want nothing", other, err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "more"), []byte("new"), 0o644))
	second, err := s.Take(ctx, "web@1@amd64", quiet)
	must(t, err)
	if second.Name != "web@1@amd64+2" {
		t.Errorf("the second copy is %s, want web@1@amd64+2", second.Name)
	}
	full, delta := sent(t, second, nil), sent(t, second, parent)
	if full.Op != sendstream.OpSubvol || full.UUID != second.UUID || full.Ctransid != second.Ctransid {
		t.Errorf("the full stream begins with %+v, want %v %d", full, second.UUID, second.Ctransid)
	}
	if delta.Op != sendstream.OpSnapshot || delta.UUID != second.UUID || delta.Ctransid != second.Ctransid ||
		delta.CloneUUID != first.UUID || delta.CloneCtransid != first.Ctransid {
		t.Errorf("the delta begins with %+v, want %v on %v", delta, second.UUID, first.UUID)
	}
	must(t, second.Keep())
	old := func(name string) bool { return name == "web@1@amd64" }
	must(t, s.Retire(ctx, old))
	if got, want := listing(t, s.keep), []string{"web@1@amd64", "web@1@amd64+2"}; !slices.Equal(got, want) {
		t.Errorf("while the parent is held there is %v, want %v", got, want)
	}
	parent.Release()
	must(t, s.Retire(ctx, old))
	if got, want := listing(t, s.keep), []string{"web@1@amd64+2"}; !slices.Equal(got, want) {
		t.Errorf("then there is %v, want %v", got, want)
	}
}

// sent reads a whole stream and gives its first command.
func sent(t *testing.T, c, parent *Copy) sendstream.Command {
	t.Helper()
	out, err := c.send(context.Background(), parent, "--quiet")
	must(t, err)
	defer out.Close()
	r, err := sendstream.NewReader(out)
	must(t, err)
	cmd, err := r.Next()
	must(t, err)
	first := *cmd
	for err == nil {
		_, err = r.Next()
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	if parent != nil {
		changes, err := c.Changes(context.Background(), parent)
		must(t, err)
		defer changes.Close()
		if n, err := io.Copy(io.Discard, changes); err != nil || n == 0 {
			t.Errorf("Changes has %d bytes, %v", n, err)
		}
	} else if have := r.Offset(); c.Bytes < have/2 || c.Bytes > have*2 {
		t.Errorf("Bytes = %d, want about %d", c.Bytes, have)
	}
	return first
}

// TestEndWaitsForTake ends a copy while another publisher is taking one: the marker, on which that one relies, must not
// go meanwhile.
func TestEndWaitsForTake(t *testing.T) {
	ctx := context.Background()
	s, _ := template(t)
	for name, end := range map[string]func(*Copy) error{"kept": (*Copy).Keep, "discarded": (*Copy).Discard} {
		c, err := s.Take(ctx, name, quiet)
		must(t, err)
		taken, err := s.lock()
		must(t, err)
		ended := make(chan error, 1)
		go func() { ended <- end(c) }()
		for blocked := false; !blocked; {
			select {
			case err := <-ended:
				taken()
				t.Fatalf("the copy was %s, %v, while somebody took one", name, err)
			default:
				blocked = isLockBlocked(t, s.keep)
			}
		}
		if !exists(c.Dir + publishing) {
			t.Errorf("the marker is gone before the copy is %s", name)
		}
		taken()
		must(t, <-ended)
		if exists(c.Dir + publishing) {
			t.Errorf("the marker is left after the copy was %s", name)
		}
	}
}

// isLockBlocked says whether someone waits for the flock of path (proc(5), /proc/locks: "1: -> FLOCK …
// MAJOR:MINOR:INODE 0 EOF").
func isLockBlocked(t *testing.T, path string) bool {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	locks, err := os.ReadFile("/proc/locks")
	must(t, err)
	for line := range strings.Lines(string(locks)) {
		if strings.Contains(line, "-> FLOCK") && strings.Contains(line, fmt.Sprintf(":%d 0 EOF", st.Ino)) &&
			strings.Contains(line, fmt.Sprintf(" %d ", os.Getpid())) {
			return true
		}
	}
	return false
}

func TestSendTellsWhyItFailed(t *testing.T) {
	s, dir := template(t)
	c, err := s.Take(context.Background(), "x", quiet)
	must(t, err)
	defer c.Discard()
	out, err := c.send(context.Background(), &Copy{Dir: dir}, "--quiet") // not read-only
	must(t, err)
	if _, err := io.Copy(io.Discard, out); err == nil || !strings.Contains(err.Error(), "not read-only") {
		t.Errorf("reading the stream = %v, want what btrfs send said", err)
	}
}

func TestCollect(t *testing.T) {
	ctx := context.Background()
	s, _ := template(t)
	alive, err := s.Take(ctx, "alive", quiet)
	must(t, err)
	dead, err := s.Take(ctx, "dead", quiet)
	must(t, err)
	done, err := s.Take(ctx, "done", quiet)
	must(t, err)
	must(t, dead.lock.Close(), done.lock.Close()) // as the end of the process does
	must(t, os.WriteFile(filepath.Join(s.keep, "unborn.publishing"), nil, 0o600))
	must(t, s.Collect(ctx, func(u sendstream.UUID, c uint64) bool { return u == done.UUID && c == done.Ctransid }))
	if got, want := listing(t, s.keep), []string{"alive", "alive.publishing", "done"}; !slices.Equal(got, want) {
		t.Errorf("Collect left %v, want %v", got, want)
	}
	must(t, alive.Discard())
	if got, want := listing(t, s.keep), []string{"done"}; !slices.Equal(got, want) {
		t.Errorf("Discard left %v, want %v", got, want)
	}
}

func TestNestedSubvolumes(t *testing.T) {
	ctx := context.Background()
	s, dir := template(t)
	must(t, os.MkdirAll(filepath.Join(dir, "var/lib"), 0o755))
	machines := filepath.Join(dir, "var/lib/machines")
	sourcetest.Run(t, "btrfs", "-q", "subvolume", "create", machines)
	must(t, os.Chmod(machines, 0o700), os.Chown(machines, 3, 4))
	sourcetest.Run(t, "setfattr", "-n", "user.x", "-v", "y", machines)
	above, err := os.Stat(filepath.Dir(machines))
	must(t, err)
	var warned []string
	c, err := s.Take(ctx, "a", func(w string) { warned = append(warned, w) })
	must(t, err)
	if len(warned) != 1 || !strings.Contains(warned[0], machines+" is an empty subvolume") {
		t.Errorf("warned %q", warned)
	}
	out, err := c.send(ctx, nil, "--quiet")
	must(t, err)
	in := filepath.Join(filepath.Dir(dir), "in")
	must(t, os.Mkdir(in, 0o755))
	cmd := exec.Command("btrfs", "receive", "-q", in)
	cmd.Stdin = out
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("btrfs receive: %v: %s", err, msg)
	}
	got := sourcetest.Run(t, "sh",
		"-c", "cd "+in+"/a/var/lib && stat -c '%n %F %a %u %g' machines && getfattr --only-values -n user.x machines")
	if want := "machines directory 700 3 4\ny"; got != want {
		t.Errorf("the image has %q, want %q", got, want)
	}
	if fi, err := os.Stat(filepath.Join(in, "a/var/lib")); err != nil || !fi.ModTime().Equal(above.ModTime()) {
		t.Errorf("the directory above has another time: %v, %v", fi, err)
	}
	must(t, c.Discard())

	must(t, os.WriteFile(filepath.Join(machines, "guest"), nil, 0o644))
	if _, err := s.Take(ctx, "b", quiet); !errors.Is(err, ErrUnsuitable) ||
		!strings.Contains(err.Error(), machines+" is a nested subvolume") {
		t.Errorf("Take with a nested subvolume that holds something = %v", err)
	}
	if got := listing(t, s.keep); len(got) > 0 {
		t.Errorf("the refused copy left %v", got)
	}
}

func TestRootOfAMount(t *testing.T) {
	ctx := context.Background()
	mnt := sourcetest.Btrfs(t)
	must(t, os.WriteFile(filepath.Join(mnt, "file"), []byte("x"), 0o644))
	s, err := Find(ctx, "btrfs:"+mnt, Options{})
	must(t, err)
	for _, name := range []string{"a", "b"} {
		c, err := s.Take(ctx, name, func(w string) { t.Errorf("warned: %s", w) })
		must(t, err)
		if got, want := listing(t, c.Dir), []string{"file"}; !slices.Equal(got, want) {
			t.Errorf("copy %s holds %v, want %v", name, got, want)
		}
		must(t, c.Keep())
	}
}
