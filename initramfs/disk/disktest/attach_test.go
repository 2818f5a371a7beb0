package disktest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// attachIt has the name of the file of which this process makes a loop device; then it waits to be killed.
const attachIt = "GRIDDLE_TEST_ATTACH"

// TestKilled: the devices of a test program that is killed go, and one whose number another file has by then stays.
func TestKilled(t *testing.T) {
	if file := os.Getenv(attachIt); file != "" {
		one, two := Attach(t, file), Attach(t, file+"2")
		os.Stdout.WriteString("attached " + one + " " + two + "\n")
		select {}
	}
	dir := t.TempDir()
	for _, name := range []string{"disk", "disk2", "another"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), attachIt+"="+filepath.Join(dir, "disk"))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	devs := strings.Fields(line)
	if err != nil || len(devs) != 3 || devs[0] != "attached" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	back := func(dev string) string {
		b, _ := os.ReadFile(filepath.Join("/sys/block", filepath.Base(dev), "loop/backing_file"))
		return strings.TrimSpace(string(b))
	}
	// The second one is detached, and its number belongs to another file now; the file of the first one is deleted.
	Detach(t, devs[2])
	Tool(t, "losetup", devs[2], filepath.Join(dir, "another"))
	t.Cleanup(func() { Detach(t, devs[2]) })
	if err := os.Remove(filepath.Join(dir, "disk")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(cmd.Process.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for end := time.Now().Add(5 * time.Minute); back(devs[1]) != ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s still has %s", devs[1], back(devs[1]))
		}
	}
	if got := back(devs[2]); got != filepath.Join(dir, "another") {
		t.Errorf("%s has %q, want the other file", devs[2], got)
	}
}
