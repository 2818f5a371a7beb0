package diskimage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// childEnv makes the test's program another process that makes one disk, in the directory that it names.
const childEnv = "GRIDDLE_TEST_DISKIMAGE"

func TestMain(m *testing.M) {
	dir := os.Getenv(childEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	os.Exit(child(dir))
}

// child makes a disk of the archive that TAR names, with the loaders below GRUB, if that is set. With STEPS it tells
// each step on a line, and goes on when it is answered by one on file 3.
func child(dir string) int {
	c := &Cache{Dir: dir}
	if grub := os.Getenv("GRUB"); grub != "" {
		c.GRUB = os.DirFS(grub)
	}
	if os.Getenv("STEPS") != "" {
		next := bufio.NewReader(os.NewFile(3, "answers"))
		c.Progress = func(s string) {
			fmt.Println(s)
			if _, err := next.ReadString('\n'); err != nil {
				os.Exit(3)
			}
		}
	}
	i := Image{Ref: "small:1@amd64", Digest: "sha256:" + os.Getenv("DIGEST"), Arch: "amd64",
		Tar: func(_ context.Context, w io.Writer, _ Bytes) error {
			f, err := os.Open(os.Getenv("TAR"))
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(w, f)
			return err
		}}
	size, _ := strconv.ParseInt(os.Getenv("SIZE"), 10, 64)
	d, err := c.Make(context.Background(), i, Options{Format: Format(os.Getenv("FORMAT")), Size: size})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("made", d.Digest)
	return 0
}

// process starts a child that is told to go on by answer.
func process(t *testing.T, cmd *exec.Cmd, dir, archive string, i Image,
	f Format) (lines *bufio.Scanner, answer func()) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), childEnv+"="+dir, "TAR="+archive, "DIGEST="+strings.TrimPrefix(i.Digest, "sha256:"),
		"FORMAT="+string(f), "STEPS=1", fmt.Sprint("SIZE=", smallDisk))
	cmd.ExtraFiles, cmd.Stderr = []*os.File{r}, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return bufio.NewScanner(out), func() { io.WriteString(w, "\n") }
}

// saved writes an image's archive to a file that everybody can read.
func saved(t *testing.T, dir, name string, i Image) string {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(i.Tar(t.Context(), f, nil), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// TestKilled kills a process that makes a disk at each of its steps, before and while it does what it says.
func TestKilled(t *testing.T) {
	i := small(t, false)
	want := make1(t, &Cache{Dir: t.TempDir()}, i, Options{Size: smallDisk})
	dir, from := t.TempDir(), saved(t, t.TempDir(), "tar", i)
	steps := 0
	for n := 0; ; n++ {
		cmd := exec.Command(os.Args[0])
		lines, answer := process(t, cmd, dir, from, i, QCOW2)
		done := false
		for k := 0; lines.Scan(); k++ {
			if done = strings.HasPrefix(lines.Text(), "made "); done || k == n/2 {
				break
			}
			steps = max(steps, k+1)
			answer()
		}
		if n%2 == 1 {
			answer()
		}
		if !done {
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
		}
		if err := cmd.Wait(); err != nil &&
			(done || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL) {
			t.Fatalf("run %d: %v", n, err)
		}
		disks, err := (&Cache{Dir: dir}).List()
		if err != nil || len(disks) > 1 {
			t.Fatalf("run %d: the cache has %+v, %v", n, disks, err)
		}
		if len(disks) == 1 {
			if got, _, err := fileDigest(t.Context(), disks[0].Path, nil); err != nil || got != want.Digest ||
				disks[0].Digest != want.Digest {
				t.Errorf("run %d: the disk has digest %s, %v, want %s", n, got, err, want.Digest)
			}
			break
		}
	}
	if steps < 4 {
		t.Errorf("it was killed at %d steps, want 4 or more", steps)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".build-*")); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

// TestOrdinaryUser makes a disk as a user who has nothing but a range of others' numbers, and gets the
// bytes that root gets.
func TestOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("run as root")
	}
	dir, err := os.MkdirTemp("", "griddle-user-") // t.TempDir's parents are root's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const uid = 65534 // nobody: unshare looks the name up
	ids, program, cache := filepath.Join(dir, "ids"), filepath.Join(dir, "program"), filepath.Join(dir, "cache")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(ids, []byte("nobody:700000:65536\n"), 0o644),
		os.Mkdir(cache, 0o755), os.Chown(cache, uid, uid)); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(name string, i Image) string {
		t.Helper()
		// In a mount namespace of its own the computer's /etc/subuid is another.
		cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-ec",
			`mount --bind "$0" /etc/subuid; mount --bind "$0" /etc/subgid; exec setpriv --reuid 65534 --regid 65534 `+
				`--clear-groups "$1"`, ids, program)
		lines, answer := process(t, cmd, cache, saved(t, dir, name, i), i, Raw)
		last := ""
		for lines.Scan() {
			last = lines.Text()
			answer()
		}
		cmd.Wait() // its last line says how it went
		return last
	}
	i := small(t, false)
	want := make1(t, &Cache{Dir: t.TempDir()}, i, Options{Format: Raw, Size: smallDisk})
	if got := run("plain", i); got != "made "+want.Digest {
		t.Errorf("an ordinary user got %q, want what root got, %s", got, want.Digest)
	}
	if got := run("node", small(t, true)); !strings.Contains(got,
		`"./dev/null": a device node, which only root can make`) {
		t.Errorf("an ordinary user with a device node got %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, ".build-*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
