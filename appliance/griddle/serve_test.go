package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestServeScripts runs testdata/serve/*.txtar. Each script has a network namespace $NS with the interfaces net0
// (10.91.0.1/24, and one end of a cable) and net1 (the other end), and boot files in $BOOT. Beside the commands of
// programCommands there is: ready, which waits until a server has told its service manager so, after a start or a
// reload.
func TestServeScripts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run this test as root")
	}
	commands := programCommands()
	sockets := map[string]*net.UnixConn{}
	commands["ready"] = func(ts *testscript.TestScript, _ bool, _ []string) {
		c := sockets[ts.Getenv("NOTIFY_SOCKET")]
		b := make([]byte, 100)
		ts.Check(c.SetReadDeadline(time.Now().Add(time.Minute)))
		n, err := c.Read(b)
		// of the server before
		for err == nil && (string(b[:n]) == "STOPPING=1" || strings.HasPrefix(string(b[:n]), "RELOADING=1\n")) {
			n, err = c.Read(b)
		}
		if err != nil || string(b[:n]) != "READY=1" {
			ts.Fatalf("the server said %q, %v, want READY=1", b[:n], err)
		}
	}
	var number atomic.Int32
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/serve",
		Cmds: commands,
		Setup: func(e *testscript.Env) error {
			ns := fmt.Sprintf("griddle-%d-%d", os.Getpid(), number.Add(1))
			e.Defer(func() { exec.Command("ip", "netns", "del", ns).Run() })
			for _, line := range []string{
				"netns add " + ns,
				"-n " + ns + " link set lo up",
				"-n " + ns + " link add net0 type veth peer name net1",
				"-n " + ns + " address add 10.91.0.1/24 dev net0",
				"-n " + ns + " link set net0 up",
				"-n " + ns + " link set net1 up",
			} {
				if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
					return fmt.Errorf("ip %s: %w: %s (run make deps)", line, err, out)
				}
			}
			e.Setenv("NS", ns)
			boot := filepath.Join(e.WorkDir, "boot")
			e.Setenv("BOOT", boot)
			socket := filepath.Join(e.WorkDir, "notify")
			c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
			if err != nil {
				return err
			}
			e.Defer(func() { c.Close() })
			e.Setenv("NOTIFY_SOCKET", socket)
			sockets[socket] = c
			return bootFiles(boot)
		},
	})
}

// bootFiles puts Debian's loaders beside a kernel and an initramfs that nobody will start.
func bootFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"undionly.kpxe", "snponly.efi"} {
		b, err := os.ReadFile("/usr/lib/ipxe/" + name)
		if err != nil {
			return fmt.Errorf("%w (run make deps)", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	for _, name := range []string{"vmlinuz", "initramfs", "firstroot"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("this is "+name), 0o644); err != nil {
			return err
		}
	}
	return nil
}
