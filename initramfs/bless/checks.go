package bless

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/template/hookfile"
	"griddle/initramfs/bless/health"
	"griddle/initramfs/pool/history"
)

// checkTime is how long one check may take.
const checkTime = time.Minute

// keptLines is how much of a check's output a fault has.
const keptLines = 8

// checks runs the checks of image and site, in the order of their names, up to the first one that fails.
func (o Options) checks(ctx context.Context) *Fault {
	dir := filepath.Join(o.Root, health.ChecksDir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &Fault{Reason: err.Error()}
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		verdict, err := hookfile.Judge(e.Name(), func(string) (fs.FileInfo, error) { return os.Stat(path) })
		if err != nil {
			return &Fault{Reason: fmt.Sprintf("the check %s cannot be read: %v", path, err)}
		}
		if verdict == hookfile.NotExecutable {
			o.Log.Warn("this check is not executable, so it is not run", "check", path)
		}
		if verdict != hookfile.Program {
			continue
		}
		begun := time.Now()
		if f := run(ctx, path, checkTime); f != nil {
			return f
		}
		o.Log.Info("a check passed", "check", path, "took", time.Since(begun).Round(time.Millisecond))
	}
	return nil
}

// run runs one check, with all processes that it starts.
func run(ctx context.Context, path string, limit time.Duration) *Fault {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it succeeded, and what it started still has its output
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it did not end within %v", limit)
	}
	return &Fault{Reason: fmt.Sprintf("the check %s failed: %s", path, job.Sentence(err.Error())), Lines: out.lines()}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const maxTail = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if n := len(t.b); n > 2*maxTail {
		t.b = append(t.b[:0], t.b[n-maxTail:]...)
	}
	return len(b), nil
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := history.Tail(strings.Split(string(t.b), "\n"))
	return lines[max(0, len(lines)-keptLines):]
}
