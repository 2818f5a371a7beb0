package care

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/chroot"
	"griddle/initramfs/maintain"
	"griddle/initramfs/mounttest"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"
)

// TestMain runs the tests in a mount namespace of their own, so that other tests do not keep loop devices in use.
func TestMain(m *testing.M) {
	chroot.Inside()
	mounttest.Own()
	os.Exit(m.Run())
}

const adaKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMgER+oTq/ggOWnGoqhy6QkLlMK2+XvJBHehHinQ8WHT ada@example"

// bed is a machine to run commands on.
type bed struct {
	*Command
	made    pooltest.Beside
	system  string // folder of the system that runs
	out     strings.Builder
	errs    strings.Builder
	ran     []string
	secrets []string // that a person types
}

func machine(t *testing.T) *bed {
	t.Helper()
	b := &bed{made: pooltest.Others(t, pooltest.Installed(t)), system: t.TempDir()}
	pooltest.Put(t, b.system, map[string]string{
		"etc/hostname": "lab-1\n", "etc/hosts": "127.0.0.1 localhost\n",
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
		"etc/shadow": "root:*:19000:0:99999:7:::\n", "etc/group": "root:x:0:\n", "etc/skel/.profile": "x",
		"etc/sudoers": "@includedir /etc/sudoers.d\n", "etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\n",
		"usr/share/zoneinfo/Europe/Berlin": "x", "etc/fstab": "UUID=a / btrfs noatime 0 0\n",
	})
	for _, p := range []string{"mount.nfs", "mount.cifs", "realm", "puppet", "git"} {
		pooltest.Put(t, b.system, map[string]string{"usr/bin/" + p: "x"})
		if err := os.Chmod(filepath.Join(b.system, "usr/bin", p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.Command = &Command{In: strings.NewReader(""), Out: &b.out, Err: &b.errs,
		Secret: func(string) (string, error) {
			if len(b.secrets) == 0 {
				return "", errors.New("no one types")
			}
			s := b.secrets[0]
			b.secrets = b.secrets[1:]
			return s, nil
		},
		Pool: func(string) (*pool.Pool, error) {
			return pool.Open(pool.Place{Job: pooltest.Job, Pool: b.made.Device, ESP: b.made.ESP, Disk: b.made.Disk,
				BIOS: pool.Extent(b.made.BIOS)})
		},
		Firmware: func() (*nvram.Vars, error) { return nvram.In(b.made.Vars), nil },
		Machine: func(*pool.Pool) (maintain.Machine, func() error, error) {
			root, err := os.OpenRoot(b.system)
			if err != nil {
				return maintain.Machine{}, nil, err
			}
			return maintain.Machine{Root: root, Running: true, SetHostname: func(string) error { return nil },
				Bootloader: func() error { b.ran = append(b.ran, "grub"); return nil },
				Run: func(_ context.Context, p maintain.Program) error {
					b.ran = append(b.ran, p.Name)
					return nil
				}}, root.Close, nil
		},
		Shell: func(_ context.Context, s *pool.System) error {
			text, err := os.ReadFile(filepath.Join(s.Dir, "etc/hostname"))
			b.ran = append(b.ran, "shell in "+strings.TrimSpace(string(text)))
			return err
		}}
	return b
}

// run runs a command line; what is after < is typed.
func (b *bed) run(t *testing.T, line, typed string) (code int, out string) {
	t.Helper()
	b.out.Reset()
	b.errs.Reset()
	b.In = strings.NewReader(typed)
	code = b.Run(t.Context(), strings.Fields(line))
	return code, b.out.String() + b.errs.String()
}

// The document's commands all work, in its order.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/MAINTENANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	b := machine(t)
	t.Chdir(t.TempDir())
	pooltest.Put(t, ".", map[string]string{"ada.pub": adaKey + "\n", "password.txt": "correct horse\n"})
	seen := 0
	for line := range strings.Lines(string(text)) {
		command, ok := strings.CutPrefix(line, "    griddle-agent ")
		if !ok {
			continue
		}
		seen++
		b.secrets = []string{"battery staple", "battery staple"}
		f := strings.Fields(command)
		if code, out := b.run(t, command, f[len(f)-1]+"\n"); code != 0 {
			t.Errorf("%s ends with %d:\n%s", strings.TrimSpace(command), code, out)
		}
	}
	if seen < 20 {
		t.Errorf("the document has %d commands", seen)
	}
	for _, task := range maintain.Tasks() {
		if !strings.Contains(string(text), "griddle-agent maintain "+task.Name) {
			t.Errorf("the document does not show maintain %s", task.Name)
		}
	}
	for _, want := range []string{"grub", "shell in two", "mount", "realm", "systemctl"} {
		if !slices.Contains(b.ran, want) {
			t.Errorf("the commands ran %q, and not %s", b.ran, want)
		}
	}
}

func TestRecover(t *testing.T) {
	b := machine(t)
	if code, out := b.run(t, "recover", ""); code != 0 || !strings.Contains(out, "one@amd64") ||
		!strings.Contains(out, "boots") || !strings.Contains(out, "no kernel") || !strings.Contains(out, "are free") {
		t.Errorf("recover = %d:\n%s", code, out)
	}
	for _, c := range []struct {
		line, typed string
		code        int
		want        string
	}{
		{"recover delete-root two@amd64", "", 1, "no name was typed: nothing was deleted"},
		{"recover delete-root two@amd64", "two\n", 1, "not its name"},
		{"recover delete-root one@amd64 --yes", "", 1, "that boots"},
		{"recover delete-root three --yes", "", 1, "does not have it"},
		{"recover delete-image one@amd64", "x\n", 1, "The root two@amd64 stays. Its next update has to fetch a whole"},
		{"recover boot bare", "", 1, "no kernel"},
		{"recover boot", "", 2, "usage: griddle-agent recover"},
		{"recover burn two@amd64", "", 2, "usage: griddle-agent recover"},
		{"recover --no", "", 2, "usage: griddle-agent recover"},
		{"recover delete-root two@amd64 bare --yes", "", 2, "usage: griddle-agent recover"},
		{"recover delete-root two@amd64", "two@amd64\n", 0, "with the subvolume /var"},
		{"recover list two@amd64", "", 2, "usage"},
	} {
		if code, out := b.run(t, c.line, c.typed); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s < %q = %d, want %d and %q:\n%s", c.line, c.typed, code, c.code, c.want, out)
		}
	}
	left, err := os.ReadDir(filepath.Join(b.made.Top, "@roots"))
	if err != nil || fmt.Sprint(left) != "[d bare/ d one@amd64/]" {
		t.Errorf("left are %v, %v", left, err)
	}
}

// What changes is shown, and done only if a person types the name of the disk.
func TestFormerLoader(t *testing.T) {
	b := machine(t)
	for _, c := range []struct {
		line, typed string
		code        int
		want        string
	}{
		{"recover former-loader", "", 1, "no name was typed: nothing was changed"},
		{"recover former-loader", "/dev/sda\n", 1, "not its name"},
		{"recover former-loader two@amd64", "", 2, "usage: griddle-agent recover"},
		{"recover former-loader", b.made.Disk + "\n", 0, `"Griddle" is deleted`},
		{"recover former-loader", "", 0, "Nothing to do"},
	} {
		code, out := b.run(t, c.line, c.typed)
		if code != c.code || !strings.Contains(out, c.want) ||
			c.code == 0 != strings.Contains(out, "The machine starts by") && c.typed != "" {
			t.Errorf("%s < %q = %d, want %d and %q:\n%s", c.line, c.typed, code, c.code, c.want, out)
		}
	}
	if code, out := b.run(t, "recover list", ""); code != 0 || !strings.Contains(out, "one@amd64") {
		t.Errorf("then recover list = %d:\n%s", code, out)
	}
}

func TestMaintainRefuses(t *testing.T) {
	b := machine(t)
	for _, c := range []struct {
		line    string
		secrets []string
		code    int
		want    string
	}{
		{"maintain burn", nil, 2, `has no "burn"`},
		{"maintain hostname", nil, 2, "Hostname: not valid: it is missing"},
		{"maintain hostname a b", nil, 2, "one argument too many"},
		{"maintain hostname UPPER", nil, 2, "hostname"},
		{"maintain ssh --prot 3", nil, 2, "usage: griddle-agent maintain ssh"},
		{"maintain root-password", []string{"a", "b"}, 1, "not the same"},
		{"maintain user ada --ssh-key missing.pub", nil, 2, "no such file"},
		{"maintain hostname --help", nil, 0, "Example: griddle-agent maintain hostname lab-07"},
	} {
		b.secrets = c.secrets
		if code, out := b.run(t, c.line, ""); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s = %d, want %d and %q:\n%s", c.line, code, c.code, c.want, out)
		}
	}
	b.Secret = nil
	code, out := b.run(t, "maintain root-password", "")
	if code != 2 || !strings.Contains(out, "--password-file FILE") {
		t.Errorf("without a terminal = %d:\n%s", code, out)
	}
	if code, out := b.run(t, "maintain root-password --password-file -", "typed\n"); code != 0 {
		t.Errorf("from the input = %d:\n%s", code, out)
	}
}

func TestRunHere(t *testing.T) {
	t.Setenv("PATH", "/nowhere")
	if err := runHere(t.Context(), maintain.Program{Name: "cat", Input: "x"}); err != nil {
		t.Error(err)
	}
	err := runHere(t.Context(), maintain.Program{Name: "sh", Args: []string{"-c", "cat; exit 3"}, Input: "said this"})
	if err == nil || !strings.Contains(err.Error(), "exit status 3: said this") {
		t.Errorf("a program that fails: %v", err)
	}
}

// On a machine that Griddle did not install, and without root, both commands say so.
func TestOtherMachines(t *testing.T) {
	c := Here()
	var out strings.Builder
	c.Out, c.Err, c.Menu = &out, &out, nil
	for _, line := range []string{"recover list", "maintain hostname lab-1"} {
		out.Reset()
		if code := c.Run(t.Context(), strings.Fields(line)); code != 1 ||
			!strings.Contains(out.String(), "it was not installed by Griddle") {
			t.Errorf("%s = %d: %s", line, code, out.String())
		}
	}
}
