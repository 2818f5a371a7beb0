// Package quotatest runs a test in a process whose memory the kernel limits: what a stranger can make a server hold is
// measured, not estimated. Call Confined.
package quotatest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// confined names the variable by which the process within knows its group, and the test that it runs.
const confined = "GRIDDLE_TEST_CGROUP"

// Confined runs do in a process of its own, a second run of this test alone, that may have limit bytes of memory, page
// cache included, and no swap. It fails where that process does, as when the kernel kills it, and returns the most that
// the process had. It needs root, and a memory controller of either version
// (Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst), and leaves no group behind.
func Confined(t *testing.T, limit int64, do func(t *testing.T)) (peak int64) {
	t.Helper()
	if group, name, ok := strings.Cut(os.Getenv(confined), "|"); ok && name == t.Name() {
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			t.Fatal(err)
		}
		do(t)
		return 0
	}
	g, err := newGroup(limit)
	if err != nil {
		t.Fatalf("making a memory group, which needs root: %v", err)
	}
	defer os.Remove(g.dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), confined+"="+g.dir+"|"+t.Name())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	peak, perr := g.read(g.peak)
	if err != nil || perr != nil {
		tail := out.Bytes()
		t.Fatalf("with %d bytes of memory: %v, %v, %d bytes at most:\n%s", limit, err, perr, peak,
			tail[max(0, len(tail)-4000):])
	}
	return peak
}

// group is a memory group and the name of the file that has the most it ever had.
type group struct{ dir, peak string }

func newGroup(limit int64) (group, error) {
	g := group{"/sys/fs/cgroup/memory", "memory.max_usage_in_bytes"}
	limits := map[string]string{"memory.limit_in_bytes": fmt.Sprint(limit), "memory.swappiness": "0"}
	if _, err := os.Stat(g.dir); err != nil {
		g = group{"/sys/fs/cgroup", "memory.peak"}
		limits = map[string]string{"memory.max": fmt.Sprint(limit), "memory.swap.max": "0"}
		if err := os.WriteFile(filepath.Join(g.dir, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
			return g, err
		}
	}
	dir, err := os.MkdirTemp(g.dir, "griddle-test-")
	if err != nil {
		return g, err
	}
	g.dir = dir
	for name, value := range limits {
		err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0)
		if err != nil && !strings.Contains(name, "swap") { // a kernel without swap has no such file
			os.Remove(dir)
			return g, err
		}
	}
	return g, nil
}

func (g group) read(name string) (int64, error) {
	b, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}
