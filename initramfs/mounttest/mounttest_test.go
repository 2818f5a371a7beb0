package mounttest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
)

// waits is set in a process that has a mount namespace of its own, and waits for the end of its input.
const waits = "GRIDDLE_TEST_WAITS"

func TestMain(m *testing.M) {
	if os.Getenv(waits) == "" {
		os.Exit(m.Run())
	}
	Own()
	b, err := os.ReadFile("/proc/self/mountinfo")
	fmt.Println(strings.Count(string(b), os.Getenv(waits)), err)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// A disk that is mounted while another test program begins, and unmounted while that still runs, is not in use.
func TestOwn(t *testing.T) {
	dev, dir := disktest.Loop(t, 8<<20, 512), t.TempDir()
	disktest.Tool(t, "mkfs.ext4", "-q", dev)
	disktest.Tool(t, "mount", dev, dir)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), waits+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "0 <nil>\n" {
		t.Errorf("the other program has the disk %q times, %v", line, err)
	}
	disktest.Tool(t, "umount", dir)
	if b, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(dev), "loop/backing_file")); err != nil {
		t.Errorf("%s has %q, %v", dev, b, err)
	}
	disktest.Detach(t, dev) // which fails if it is in use
	disktest.Tool(t, "losetup", dev, disktest.File(t, 1<<20))
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
