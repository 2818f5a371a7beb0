package resident

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/sysroot"
)

// systemd understands every line of the units.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	args := []string{"verify", "--man=no", "--recursive-errors=no"}
	for _, u := range Units() {
		path := filepath.Join(dir, u.Name)
		text := strings.ReplaceAll(u.Text, Programs+"/griddle-agent", "/bin/true") // systemd looks for the program
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "griddle-") {
			t.Errorf("systemd says %s", line)
		}
	}
	if err != nil {
		t.Errorf("systemd-analyze: %v (apt-get install systemd)\n%s", err, out)
	}
}

// The timer's question is another one than that of a person: it may be refused.
func TestNightly(t *testing.T) {
	if !strings.Contains(askText, " update --nightly --when reboot --no-wait\n") {
		t.Errorf("the timer asks by\n%s", askText)
	}
}

// The service keeps its sandbox, whatever else is installed beside it.
func TestSandbox(t *testing.T) {
	for _, line := range []string{"CapabilityBoundingSet=CAP_DAC_OVERRIDE", "NoNewPrivileges=yes",
		"ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes",
		"ReadWritePaths=/usr/lib/griddle /persistent/griddle",
		"ProtectKernelTunables=yes", "ProtectKernelModules=yes", "ProtectControlGroups=yes", "DevicePolicy=closed",
		"DeviceAllow=/dev/tpmrm0 rw", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "RestrictNamespaces=yes",
		"LockPersonality=yes", "MemoryDenyWriteExecute=yes", "SystemCallArchitectures=native"} {
		if !strings.Contains(Unit, "\n"+line+"\n") {
			t.Errorf("the service runs without %s", line)
		}
	}
}

// A system has what carries out updates after Install; the timer waits for the site.
func TestInstall(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d := sysroot.Dir{Root: root}
	if Installed(d) {
		t.Error("an empty tree carries out updates")
	}
	if err := Install(d); err != nil || !Installed(d) {
		t.Errorf("Install = %v, Installed = %t", err, Installed(d))
	}
	const wants = "etc/systemd/system/multi-user.target.wants/"
	for _, name := range []string{UnitName, PathUnit, settleUnit} {
		if to, err := d.Readlink(wants + name); to != "../"+name {
			t.Errorf("%s is not enabled: %q, %v", name, to, err)
		}
	}
	const timers = "etc/systemd/system/timers.target.wants/"
	if d.Has(timers+TimerUnit) || !strings.Contains(KeepText, "\n/"+timers+TimerUnit+"\n") {
		t.Error("the timer is enabled, or would not stay enabled after an update")
	}
}
