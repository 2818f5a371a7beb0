package e2etest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/e2e"
)

// Shell runs a command as root on an installed system and returns what it prints.
type Shell func(ctx context.Context, command string) (string, error)

// Ask runs a command, fails the test if that fails, and returns what it prints, without the space around it.
func (sh Shell) Ask(ctx context.Context, t *testing.T, command string) string {
	t.Helper()
	out, err := sh(ctx, command)
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(out)
}

// Sudo is the shell of a user who may become root, by ssh.
func Sudo(r *e2e.Room, k e2e.Key, user, address string) Shell {
	return func(ctx context.Context, command string) (string, error) {
		return r.SSH(ctx, k, user, address, "sudo -n sh -c "+quote("{ "+command+"; } 2>&1"))
	}
}

// quote is s as one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// CheckSystem logs in to the installed system on its console and fails the test where it is not the one that hostname,
// a fresh identity and the newest image would make.
func CheckSystem(ctx context.Context, t *testing.T, m *e2e.Machine, c *e2e.Container, hostname string) {
	t.Helper()
	if err := m.Login(ctx); err != nil {
		t.Error(err)
		return
	}
	CheckShell(ctx, t, m.Run, m, c, hostname)
}

// CheckShell is CheckSystem with a shell that is there.
func CheckShell(ctx context.Context, t *testing.T, sh Shell, m *e2e.Machine, c *e2e.Container, hostname string) {
	t.Helper()
	if got := sh.Ask(ctx, t, "hostname"); got != hostname {
		t.Errorf("the hostname of %s is %q, want %q", m.Name, got, hostname)
	}
	if got := sh.Ask(ctx, t, "dpkg-query -W -f '${Status}' "+e2e.ExtraPackage); got != "install ok installed" {
		t.Errorf("package %s, only in the second version, is %q on %s", e2e.ExtraPackage, got, m.Name)
	}
	if got := sh.Ask(ctx, t, "findmnt -no FSTYPE,FSROOT /"); !strings.HasPrefix(got, "btrfs") ||
		!strings.Contains(got, "/@roots/") {
		t.Errorf("the root of %s is %q, want a btrfs subvolume below @roots", m.Name, got)
	}
	if got := sh.Ask(ctx, t, "systemctl --failed --plain --no-legend"); got != "" {
		t.Errorf("on %s have failed:\n%s", m.Name, got)
	}
	for _, file := range []string{"/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"} {
		template, err := os.ReadFile(filepath.Join(c.Root, file))
		if err != nil {
			t.Error(err)
		}
		if got := sh.Ask(ctx, t, "cat "+file); got == "" || got == strings.TrimSpace(string(template)) {
			t.Errorf("%s of %s is %q, which is empty or the template's", file, m.Name, got)
		}
	}
}
