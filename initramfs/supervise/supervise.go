// Package supervise is process 1 of the boot image.
//
// Call Run, as process 1 alone: it reaps all processes, ends all others when the agent ends, and does not return,
// because the kernel panics if process 1 ends.
package supervise

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"griddle/initramfs/console"

	"github.com/u-root/u-root/pkg/libinit"
	"golang.org/x/sys/unix"
)

// LogFile gets what the agent writes to its standard output and error.
const LogFile = "/run/agent.log"

const agentPath = "/proc/self/exe"

// Run mounts what a kernel needs and runs this program as the agent, again and again. It does as little as possible:
// whatever goes wrong in the agent is shown, and leaves a shell on each console. Nothing is ever rebooted from here.
func Run() {
	mount()
	// What Debian's packages gave goes before u-root's commands of the same name, which know less (blkid).
	for _, kv := range [][2]string{{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/bbin"}, {"HOME", "/root"},
		{"TERM", "linux"}} {
		os.Setenv(kv[0], kv[1])
	}
	// Drivers talk over the screen otherwise; "dmesg" still has it all.
	_ = os.WriteFile("/proc/sys/kernel/printk", []byte("3 4 1 3\n"), 0)
	for {
		why := runAgent()
		killAll()
		shells(why)
		killAll()
	}
}

// mount makes what the kernel does not. Errors show up later, where something is missing.
func mount() {
	libinit.Create([]libinit.Creator{
		libinit.Mount{Source: "devtmpfs", Target: "/dev", FSType: "devtmpfs", Opts: "mode=0755"},
		libinit.Mount{Source: "proc", Target: "/proc", FSType: "proc"},
		libinit.Mount{Source: "sysfs", Target: "/sys", FSType: "sysfs"},
		libinit.Mount{Source: "tmpfs", Target: "/run", FSType: "tmpfs", Opts: "mode=0755,size=64m"},
		libinit.Mount{Source: "tmpfs", Target: "/tmp", FSType: "tmpfs", Opts: "mode=1777,size=256m"},
		libinit.Dir{Name: "/dev/pts", Mode: 0o755},
		libinit.Mount{Source: "devpts", Target: "/dev/pts", FSType: "devpts", Opts: "ptmxmode=666,mode=620"},
		libinit.Symlink{NewPath: "/dev/fd", Target: "/proc/self/fd"},
		// Opening these loads their modules (modules.devname of depmod); elsewhere udev makes them.
		libinit.Dev{Name: "/dev/loop-control", Mode: unix.S_IFCHR | 0o600, Dev: int(unix.Mkdev(10, 237))},
		libinit.Dev{Name: "/dev/fuse", Mode: unix.S_IFCHR | 0o600, Dev: int(unix.Mkdev(10, 229))},
		libinit.Dir{Name: "/dev/shm", Mode: 0o1777},
		libinit.Mount{Source: "tmpfs", Target: "/dev/shm", FSType: "tmpfs", Opts: "mode=1777"},
	}, true)
}

// runAgent returns when the agent has ended, with what it said last.
func runAgent() string {
	log, err := os.OpenFile(LogFile, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Sprintf("opening %s: %v", LogFile, err)
	}
	defer log.Close()
	cmd := exec.Command(agentPath, "agent")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Sprintf("starting the agent: %v", err)
	}
	status := reapUntil(cmd.Process.Pid)
	b, _ := os.ReadFile(LogFile)
	said := strings.Split(strings.TrimSpace(string(b)), "\n")
	said = said[max(0, len(said)-16):]
	return fmt.Sprintf("%s\n\nThe agent ended (%s).", strings.Join(said, "\n"), status)
}

// reapUntil reaps every child, ours or adopted, until pid is among them.
func reapUntil(pids ...int) string {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err.Error()
		}
		for _, p := range pids {
			if p != pid {
				continue
			}
			if ws.Signaled() {
				return "signal " + ws.Signal().String()
			}
			return fmt.Sprintf("exit code %d", ws.ExitStatus())
		}
	}
}

// shells shows why on every console with a shell below it, and returns when one of them is left.
func shells(why string) {
	text := strings.ReplaceAll("\n"+why+"\nThis is a shell. To start the agent again, enter \"exit\".\n"+
		"For more tools, enter \"fetch-tools\".\n\n", "\n", "\r\n")
	var pids []int
	for _, path := range console.Paths() {
		f, err := console.Open(path, 0)
		if err != nil {
			continue
		}
		console.Reset(f)
		fmt.Fprintf(f, "\x1bc%s", text)
		cmd := console.Shell(f, path)
		if cmd.Start() == nil {
			pids = append(pids, cmd.Process.Pid)
		}
		f.Close()
	}
	if len(pids) == 0 {
		select {} // no console at all: there is nobody to ask, and ending would be a panic
	}
	reapUntil(pids...)
}

// killAll ends every process but this one. A shell that outlived the agent would share its terminal with the next.
// What is stuck in the kernel, with a broken disk for example, is left behind after a while.
func killAll() {
	_ = unix.Kill(-1, unix.SIGKILL)
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err == unix.ECHILD {
			return
		}
		if pid <= 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
}
