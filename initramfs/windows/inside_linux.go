package windows

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"time"

	"griddle/appliance/job"

	"golang.org/x/sys/unix"
)

// insideName is the name by which Ask starts this program, without arguments.
const insideName = "griddle-windows"

// The limits of that process.
const (
	maxTime   = time.Minute
	maxCPU    = 30        // seconds
	maxMemory = 384 << 20 // bytes that it may write to
	goMemory  = 192 << 20 // bytes from which on the garbage is collected more often
	maxAnswer = 4096      // bytes
)

// answer is what that process prints.
type answer struct {
	System  System
	Problem string
}

// Ask says which Windows is on a volume, whose device file is given. It takes at most a minute, and changes nothing.
func Ask(ctx context.Context, device string) (System, error) {
	s, err := ask(ctx, device)
	if err != nil {
		return System{}, fmt.Errorf("looking for the name of the Windows on %s: %w", device, err)
	}
	return s, nil
}

func ask(ctx context.Context, device string) (System, error) {
	f, err := os.OpenFile(device, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return System{}, err
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args, cmd.Env, cmd.ExtraFiles, cmd.WaitDelay = []string{insideName}, []string{}, []*os.File{f}, time.Second
	out := &output{left: maxAnswer}
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		return System{}, fmt.Errorf("the process that reads it failed: %w", errors.Join(err, ctx.Err()))
	}
	var a answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		return System{}, fmt.Errorf("reading the answer: %w", err)
	}
	if a.Problem != "" {
		return System{}, errors.New(job.Sentence(a.Problem))
	}
	for _, s := range []*string{&a.System.Product, &a.System.Version, &a.System.Build, &a.System.Computer} {
		*s = job.Printable(*s)
	}
	return a.System, nil
}

// output keeps the beginning of what a process prints.
type output struct {
	bytes.Buffer
	left int
}

func (o *output) Write(p []byte) (int, error) {
	n := min(len(p), o.left)
	o.left -= n
	o.Buffer.Write(p[:n])
	return len(p), nil
}

// Inside does nothing in a program that a person or a system started. In one that Ask started, it answers and never
// returns.
func Inside() {
	if len(os.Args) != 1 || os.Args[0] != insideName {
		return
	}
	a := inside(os.NewFile(3, "volume"))
	if json.NewEncoder(os.Stdout).Encode(a) != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

func inside(volume *os.File) (a answer) {
	for resource, limit := range map[int]uint64{unix.RLIMIT_CPU: maxCPU, unix.RLIMIT_DATA: maxMemory,
		unix.RLIMIT_FSIZE: 0, unix.RLIMIT_CORE: 0} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return answer{Problem: "setting the limits of the process: " + err.Error()}
		}
	}
	debug.SetMemoryLimit(goMemory)
	defer func() {
		if r := recover(); r != nil {
			a = answer{Problem: fmt.Sprint("it is damaged: ", r)}
		}
	}()
	var err error
	if a.System, err = read(volume); err != nil {
		a.Problem = err.Error()
	}
	return a
}
