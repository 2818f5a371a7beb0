package secure

import (
	"strings"
	"testing"
)

func TestMissing(t *testing.T) {
	all := "usr/lib/systemd/systemd usr/bin/cloud-init usr/sbin/sshd usr/bin/sudo usr/sbin/nft usr/bin/dbus-daemon"
	for _, c := range []struct {
		name  string
		s     Server
		tree  bool
		paths string
		want  string
	}{
		{"all", Server{}, false, all, ""},
		{"nothing", Server{}, false, "", "systemd, cloud-init, an ssh server, sudo, nftables, dbus: " +
			"apt-get install --no-install-recommends systemd-sysv cloud-init openssh-server sudo nftables dbus"},
		{"old places", Server{}, false,
			"lib/systemd/systemd usr/local/bin/cloud-init usr/bin/sshd bin/sudo sbin/nft usr/bin/dbus-broker", ""},
		{"no sudo", Server{}, false, strings.ReplaceAll(all, "usr/bin/sudo", "usr/bin/sudoedit"),
			"sudo: apt-get install --no-install-recommends sudo"},
		{"a volume", Server{Volumes: []Volume{{Name: "data"}}}, false, all,
			"mkfs.ext4 for the volumes: apt-get install --no-install-recommends e2fsprogs"},
		{"a container's volume", Server{Volumes: []Volume{{Name: "data"}}}, true, all, ""},
		{"time and CA", Server{NTP: []string{"ntp"}, CA: "x"}, false, all, "a time service, ca-certificates: " +
			"apt-get install --no-install-recommends systemd-timesyncd ca-certificates"},
	} {
		missing := Missing(c.s.Needs(c.tree), func(p string) bool {
			return strings.Contains(" "+c.paths+" ", " "+p+" ")
		})
		var names []string
		for _, n := range missing {
			names = append(names, n.Name)
		}
		got := strings.Join(names, ", ")
		if len(missing) > 0 {
			got += ": " + Install(missing, "dpkg")
		}
		if got != c.want {
			t.Errorf("%s: missing is %q, want %q", c.name, got, c.want)
		}
	}
	if got := Install([]Need{{Name: "x"}}, "apk"); got != "" {
		t.Errorf("Mend for an unknown manager = %q", got)
	}
}
