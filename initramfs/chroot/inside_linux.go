package chroot

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideName is the name by which Do starts this program, without arguments.
const insideName = "griddle-chroot"

// environment is what every program gets.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
	"LANG=C.UTF-8"}

// Inside does nothing in a program that a person or a system started. In one that Do started, it is the first process
// of the root: it prepares the root, runs the program there, and never returns. All other processes of the root end
// with it: the kernel does that.
func Inside() {
	if len(os.Args) == 1 && os.Args[0] == insideName {
		inside(os.NewFile(3, "order"), os.NewFile(4, "answer"))
		os.Exit(0)
	}
}

func inside(orders, answers *os.File) {
	unix.CloseOnExec(int(orders.Fd()))
	unix.CloseOnExec(int(answers.Fd()))
	// Processes of the root can send signals to their first one. To ignore them is not enough: children inherit that.
	signal.Notify(make(chan os.Signal, 1))
	var o order
	if json.NewDecoder(orders).Decode(&o) != nil {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, orders)
		os.Exit(1) // the caller has ended
	}()
	var a answer
	if err := o.Root.enter(); err != nil {
		a.Problem = err.Error()
	} else if err := o.place(); err != nil {
		a.Problem = err.Error()
	} else {
		a = o.run()
	}
	_ = json.NewEncoder(answers).Encode(a)
}

// run starts the program and waits for it. It reaps what the program leaves behind until then.
func (o order) run() (a answer) {
	env := append(environment[:len(environment):len(environment)], text(o.Env)...)
	_ = os.Setenv("PATH", strings.TrimPrefix(environment[0], "PATH="))
	path, err := exec.LookPath(string(o.Args[0]))
	if err != nil {
		return answer{NotStarted: cause(err).Error()}
	}
	files, attr := []uintptr{0, 1, 2}, &syscall.SysProcAttr{Setsid: true}
	if o.Terminal {
		attr.Setctty = true
	} else {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return answer{Problem: err.Error()}
		}
		files[0] = null.Fd()
	}
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)
	child, err := syscall.ForkExec(path, text(o.Args), &syscall.ProcAttr{Dir: "/", Env: env, Files: files, Sys: attr})
	if err != nil {
		return answer{NotStarted: explain(path, err)}
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return answer{Problem: fmt.Sprintf("waiting for the program: %v", err)}
		case pid != child:
		case status.Signaled():
			return answer{Signal: status.Signal().String()}
		default:
			return answer{Status: status.ExitStatus()}
		}
	}
}

// cause is the innermost error of a look-up.
func cause(err error) error {
	var e *exec.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("the system has no such program")
	}
	return err
}

// explain says why the kernel did not start a file that exists. For a script it names the file, not the interpreter.
func explain(path string, err error) string {
	f, openErr := os.Open(path)
	if openErr != nil {
		return err.Error()
	}
	defer f.Close()
	first, _ := bufio.NewReaderSize(io.LimitReader(f, 256), 256).ReadString('\n')
	interpreter, script := strings.CutPrefix(first, "#!")
	words := strings.Fields(interpreter)
	switch {
	case errors.Is(err, unix.ENOENT) && script && len(words) > 0:
		return fmt.Sprintf("the system does not have its interpreter %s", words[0])
	case errors.Is(err, unix.ENOENT):
		return "the system does not have the loader or a library that it needs"
	case errors.Is(err, unix.ENOEXEC):
		return "it is a script without a #! line, or a program for another processor"
	}
	return err.Error()
}
