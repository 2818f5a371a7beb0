package netboot

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

const tftpPort = 69

// explain turns the error of opening a socket into one that says what to do. port zero means a raw socket.
func explain(err error, iface string, port int) error {
	what := fmt.Sprintf("opening UDP port %d on %s", port, iface)
	if port == 0 {
		what = "opening a raw socket on " + iface
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		who := "another program"
		if h := holders(os.DirFS("/proc"), port); len(h) > 0 {
			who = strings.Join(h, ", ")
		}
		hint := "stop it"
		if port == 67 {
			hint = "stop it, or let it share the port (dnsmasq: bind-interfaces) and use proxy mode"
		}
		return fmt.Errorf("%s: used by %s; %s: %w", what, who, hint, err)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		capability := "CAP_NET_BIND_SERVICE"
		if port == 0 || port > 1023 {
			capability = "CAP_NET_RAW"
		}
		return fmt.Errorf("%s: the capability %s is missing; run as root, "+
			"or add it with setcap or AmbientCapabilities=: %w",
			what, capability, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// holders names the programs that have UDP port open, as "dnsmasq (pid 123)". What it may not see it leaves out.
// Sources: proc(5), /proc/net/udp and /proc/PID/fd.
func holders(proc fs.FS, port int) []string {
	inodes := map[string]bool{}
	for _, table := range []string{"net/udp", "net/udp6"} {
		b, err := fs.ReadFile(proc, table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
			// "  41: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12345 2 ..."
			f := strings.Fields(lines.Text())
			if len(f) < 10 {
				continue
			}
			_, hex, _ := strings.Cut(f[1], ":")
			if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	if len(inodes) == 0 {
		return nil
	}
	var found []string
	dirs, _ := fs.Glob(proc, "[0-9]*/fd")
	for _, dir := range dirs {
		fds, err := fs.ReadDir(proc, dir)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			to, err := fs.ReadLink(proc, path.Join(dir, fd.Name()))
			if err != nil || !inodes[to] {
				continue
			}
			pid := path.Dir(dir)
			comm, _ := fs.ReadFile(proc, path.Join(pid, "comm"))
			found = append(found, fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(comm)), pid))
			break
		}
	}
	return found
}
