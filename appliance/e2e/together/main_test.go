package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output is written by several commands and read by the test.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string // lines, sorted
	}{
		{"both succeed", []string{"a=echo one; echo two >&2", "long=printf three"}, 0,
			[]string{"a    : 0s, ok", "a    | one", "a    | two", "long : 0s, ok", "long | three"}},
		{"one fails, the other runs to its end", []string{"a=exit 3", "b=sleep 0.2; echo done"}, 1,
			[]string{"a : 0s, FAIL: exit status 3", "b : 0s, ok", "b | done"}},
		{"a failed test is said again",
			[]string{`a=printf 'ok  \tp\n--- FAIL: TestX (0s)\n    x_test.go:1: why\nFAIL\nFAIL\tq\t1s\n'; exit 1`}, 1,
			[]string{"a !     x_test.go:1: why", "a ! --- FAIL: TestX (0s)", "a ! FAIL\tq\t1s",
				"a : 0s, FAIL: exit status 1", "a |     x_test.go:1: why", "a | --- FAIL: TestX (0s)", "a | FAIL",
				"a | FAIL\tq\t1s", "a | ok  \tp"}},
		{"a success says nothing again", []string{`a=echo '--- FAIL: TestX'`}, 0,
			[]string{"a : 0s, ok", "a | --- FAIL: TestX"}},
		{"a pipe fails", []string{"a=false | true"}, 1, []string{"a : 0s, FAIL: exit status 1"}},
		{"no script", []string{"a"}, 2, []string{`together: "a" is not NAME=SCRIPT`}},
		{"nothing", nil, 2, []string{"usage: together NAME=SCRIPT..."}},
	} {
		var out output
		code := run(t.Context(), time.Minute, c.args, &out)
		got := strings.Split(strings.TrimSpace(out.String()), "\n")
		slices.Sort(got)
		if code != c.code || !slices.Equal(got, c.want) {
			t.Errorf("%s: %d %q, want %d %q", c.name, code, got, c.code, c.want)
		}
	}
}

// TestInterrupt: a process in the background ends too, also one that ignores SIGINT.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out output
	dir := t.TempDir()
	done := make(chan int)
	go func() {
		done <- run(ctx, time.Second, []string{
			"polite=sleep 1000 & echo pid $!; wait",
			"deaf=trap '' INT; sleep 1000 & echo pid $!; wait; touch " + filepath.Join(dir, "went-on"),
		}, &out)
	}()
	pids := regexp.MustCompile(`pid (\d+)`)
	for len(pids.FindAllString(out.String(), -1)) < 2 {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if code := <-done; code != 1 || strings.Count(out.String(), "FAIL: interrupted") != 2 {
		t.Errorf("code %d, want 1:\n%s", code, &out)
	}
	for _, m := range pids.FindAllStringSubmatch(out.String(), -1) {
		pid, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		for running(pid) {
			time.Sleep(10 * time.Millisecond)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "went-on")); err == nil {
		t.Error("a script went on after the interrupt")
	}
}

// running reports whether a process exists that is not a zombie.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
