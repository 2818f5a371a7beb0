// Package trace runs a program and stops it before each of its system calls.
//
// Call Run with a command and a function that looks at the calls.
//
// The program runs to its end even if this process ends before it. It has one thread.
//
// Sources: ptrace(2), PTRACE_GET_SYSCALL_INFO, which is the same on all processors.
package trace

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Call is a system call that a program is about to do.
type Call struct {
	PID    int
	Number uint64
	Args   [6]uint64
}

// callInfo is the kernel's struct ptrace_syscall_info, for the entry of a call.
type callInfo struct {
	op   uint8
	_    [3]byte
	arch uint32
	_    [2]uint64
	nr   uint64
	args [6]uint64
	_    uint64
}

// entry is the op of a program that is about to do a call.
const entry = 1

// Run starts cmd, calls before with each system call that cmd is about to do, and returns how cmd ended. If before
// returns an error, cmd is killed before it does that call, and the error is returned. The output of cmd must be files.
func Run(cmd *exec.Cmd, before func(Call) error) (unix.WaitStatus, error) {
	// Only the thread that started a program may stop it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer alone()()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid := cmd.Process.Pid
	defer cmd.Process.Release() //nolint:errcheck // it has no result
	status, err := follow(pid, before)
	if err != nil {
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = wait(pid)
	}
	return status, err
}

// alone keeps this thread, and the programs that it starts, on one processor until the returned function is called. A
// program and its tracer run by turns, which takes half as long there.
func alone() (restore func()) {
	var all, one unix.CPUSet
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return func() {}
	}
	one.Set(int(cpu))
	if unix.SchedGetaffinity(0, &all) != nil || unix.SchedSetaffinity(0, &one) != nil {
		return func() {}
	}
	return func() { _ = unix.SchedSetaffinity(0, &all) }
}

// failed is how a program ended that someone killed while it was stopped, since ptrace(2) does not find it then; else
// an error.
func failed(pid int, err error) (unix.WaitStatus, error) {
	if !errors.Is(err, unix.ESRCH) {
		return 0, fmt.Errorf("tracing: %w", err)
	}
	for {
		if status, err := wait(pid); err != nil || status.Exited() || status.Signaled() {
			return status, err
		}
	}
}

// follow lets a program run from call to call until it ends.
func follow(pid int, before func(Call) error) (unix.WaitStatus, error) {
	status, err := wait(pid) // it stops when the kernel has loaded it
	if err != nil || status.Exited() || status.Signaled() {
		return status, err
	}
	if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACESYSGOOD); err != nil {
		return failed(pid, err)
	}
	for signal := 0; ; {
		if err := unix.PtraceSyscall(pid, signal); err != nil {
			return failed(pid, err)
		}
		if status, err = wait(pid); err != nil || status.Exited() || status.Signaled() {
			return status, err
		}
		signal = 0
		if status.StopSignal() != unix.SIGTRAP|0x80 {
			signal = int(status.StopSignal())
			continue
		}
		var info callInfo
		if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(pid),
			unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0); errno != 0 {
			return failed(pid, errno)
		}
		if info.op != entry {
			continue
		}
		if err := before(Call{PID: pid, Number: info.nr, Args: info.args}); err != nil {
			return 0, err
		}
	}
}

func wait(pid int) (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		if err != unix.EINTR {
			return status, err
		}
	}
}
