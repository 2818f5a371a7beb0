package guesttest

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Hold starts a program that ends with ours at the latest. done is closed when it has ended and was waited for.
func Hold(cmd *exec.Cmd) (done <-chan struct{}, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ended, started := make(chan struct{}), make(chan error)
	go func() {
		// The kernel sends the signal when the thread ends that started the process, so the thread stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in cmd.ProcessState
			close(ended)
		}
	}()
	return ended, <-started
}
