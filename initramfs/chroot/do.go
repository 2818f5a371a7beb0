package chroot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// order is what the first process of the root gets, as JSON. Names of files are bytes: they may not be UTF-8.
type order struct {
	Root     Root
	Args     [][]byte
	Env      [][]byte
	Files    []File
	Terminal bool
}

func octets(all []string) (out [][]byte) {
	for _, s := range all {
		out = append(out, []byte(s))
	}
	return out
}

func text(all [][]byte) (out []string) {
	for _, b := range all {
		out = append(out, string(b))
	}
	return out
}

// answer is what it says of the program, as JSON.
type answer struct {
	Problem    string `json:",omitempty"` // why the root could not be prepared
	NotStarted string `json:",omitempty"`
	Status     int    `json:",omitempty"`
	Signal     string `json:",omitempty"`
}

// stuckAfter is how long killed processes may take to end.
const stuckAfter = 30 * time.Second

// Do runs a program and waits for its end. Errors about the program are of type *Error; if ctx ends, the error is its
// cause.
func (r Root) Do(ctx context.Context, c Call) error {
	if len(c.Args) == 0 {
		return errors.New("running a program in the new root: there is no program")
	}
	if r.Resolv != nil {
		defer r.placeForResolv()()
	}
	p, err := r.start(c)
	if err != nil {
		return fmt.Errorf("running %s in the new root: %w", c.Args[0], err)
	}
	var over <-chan time.Time
	if c.Limit > 0 {
		timer := time.NewTimer(c.Limit)
		defer timer.Stop()
		over = timer.C
	}
	late := false
	select {
	case <-p.ended:
	case <-over:
		late = true
		err = p.kill()
	case <-ctx.Done():
		if err = p.kill(); err == nil {
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("running %s in the new root: %w", c.Args[0], err)
	}
	failed := &Error{Program: c.Args[0], Limit: c.Limit, Last: p.out.tail()}
	a, ok := <-p.answer
	switch {
	case late:
		failed.Kind = TimedOut
	case !ok:
		failed.Kind, failed.Signal = Killed, "its first process ended" // the program did that, being root
	case a.Problem != "":
		return fmt.Errorf("running %s in the new root: %s", c.Args[0], a.Problem)
	case a.NotStarted != "":
		failed.Kind, failed.Why = NotStarted, a.NotStarted
	case a.Signal != "":
		failed.Kind, failed.Signal = Killed, a.Signal
	case a.Status != 0:
		failed.Kind, failed.Status = Exited, a.Status
	default:
		return nil
	}
	return failed
}

// running is the first process of a root.
type running struct {
	cmd    *exec.Cmd
	out    output
	answer chan answer   // gets one, or is closed without
	ended  chan struct{} // closed when all processes have ended and all output is read
}

// start starts this program again, in new namespaces.
func (r Root) start(c Call) (*running, error) {
	limit := c.Lines
	if limit == 0 {
		limit = MaxLines
	}
	p := &running{out: output{line: c.Line, limit: limit}, answer: make(chan answer, 1), ended: make(chan struct{})}
	var pipes [3][2]*os.File // order, answer, output: where it is read, where it is written
	closeAll := func(end int) {
		for _, pipe := range pipes {
			if pipe[end] != nil {
				_ = pipe[end].Close()
			}
		}
	}
	for i := range pipes {
		var err error
		if pipes[i][0], pipes[i][1], err = os.Pipe(); err != nil {
			closeAll(0)
			closeAll(1)
			return nil, err
		}
	}
	p.cmd = exec.Command("/proc/self/exe")
	p.cmd.Args = []string{insideName}
	p.cmd.Env = []string{}
	p.cmd.Dir = "/"
	p.cmd.ExtraFiles = []*os.File{pipes[0][0], pipes[1][1]}
	p.cmd.Stdout, p.cmd.Stderr = pipes[2][1], pipes[2][1]
	if c.Terminal != nil {
		p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = c.Terminal, c.Terminal, c.Terminal
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
		syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC}
	if err := p.cmd.Start(); err != nil {
		closeAll(0)
		closeAll(1)
		return nil, err
	}
	_, _, _ = pipes[0][0].Close(), pipes[1][1].Close(), pipes[2][1].Close()
	go p.follow(order{r, octets(c.Args), octets(c.Env), c.Files, c.Terminal != nil},
		pipes[0][1], pipes[1][0], pipes[2][0])
	return p, nil
}

// follow passes the order, reads what comes back, and reaps. The order's pipe stays open until the end: when it is
// closed, because this program was killed, the first process of the root ends, and all others with it.
func (p *running) follow(o order, orders, answers, out *os.File) {
	defer close(p.ended)
	defer orders.Close()
	defer answers.Close()
	defer out.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.out.read(out)
	}()
	_ = json.NewEncoder(orders).Encode(o)
	var a answer
	if json.NewDecoder(io.LimitReader(answers, 64<<10)).Decode(&a) == nil {
		p.answer <- a
	}
	close(p.answer)
	_ = p.cmd.Wait()
	<-read
}

// kill ends all processes of the root.
func (p *running) kill() error {
	_ = p.cmd.Process.Kill()
	select {
	case <-p.ended:
		return nil
	case <-time.After(stuckAfter):
		return errors.New("its processes were killed and do not end: a disk or a network filesystem does not answer; " +
			"restart this machine")
	}
}

// placeForResolv makes an empty /etc/resolv.conf where there is none, for a mount on it, and returns a function that
// takes it away.
func (r Root) placeForResolv() (remove func()) {
	const name = "etc/resolv.conf"
	remove = func() {}
	root, err := os.OpenRoot(r.Dir)
	if err != nil {
		return remove
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return remove // it exists, or the program does without
	}
	_ = f.Close()
	return func() {
		root, err := os.OpenRoot(r.Dir)
		if err != nil {
			return
		}
		defer root.Close()
		if st, err := root.Lstat(name); err == nil && st.Mode().IsRegular() && st.Size() == 0 {
			if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return
			}
		}
	}
}
