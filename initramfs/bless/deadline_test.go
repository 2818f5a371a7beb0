package bless

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What systemd says about itself becomes a part of the reason.
func TestState(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/bin")
	for _, c := range []struct{ is, jobs, want string }{
		{"maintenance", "", "it is in emergency or rescue mode"},
		{"starting", "", "it is still starting"},
		{"starting", "  12 mnt-data.mount start running\n  5 multi-user.target start waiting\n" +
			"  9 x.service start running\n", "it still waits for mnt-data.mount, x.service"},
		{"degraded", "", "it is up, but it was not blessed"},
		{"stopping", "", "systemd says stopping"},
		{"", "", "systemd does not answer"},
	} {
		script := "#!/bin/sh\ncase $1 in\nis-system-running) echo '" + c.is + "'; exit 1;;\nlist-jobs) echo '" +
			c.jobs + "';;\nesac\n"
		if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := state(t.Context()); got != c.want {
			t.Errorf("for %q with the jobs %q the state is %q, want %q", c.is, c.jobs, got, c.want)
		}
	}
}

// The logs have the ends of the units that failed, and of systemd's own errors.
func TestLogs(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/bin")
	for name, script := range map[string]string{
		"systemctl": "for u in a b c d; do echo $u.service loaded failed failed The service $u; done",
		"journalctl": `for a; do case $a in
--unit=*) printf "%s says 1\n\n%s says 2\n\033[31m%s says 3\n%s says 4\n" ${a#*=} ${a#*=} ${a#*=} ${a#*=};;
--identifier=systemd) echo a mount did not come;;
esac; done`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for _, u := range []string{"a", "b", "c"} {
		for _, l := range []string{".service says 2", ".service says 3", ".service says 4"} {
			if l == ".service says 3" {
				want = append(want, u+".service: [31m"+u+l)
			} else {
				want = append(want, u+".service: "+u+l)
			}
		}
	}
	want = append(want, "systemd: a mount did not come")
	if got := logs(t.Context()); !slices.Equal(got, want) {
		t.Errorf("the logs are\n%q, want\n%q", got, want)
	}
	t.Setenv("PATH", "/nothing")
	if got := logs(t.Context()); len(got) > 0 {
		t.Errorf("without tools the logs are %q", got)
	}
}
