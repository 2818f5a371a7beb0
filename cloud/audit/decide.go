package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// passwords takes lines of user:locked, user:empty or user:set.
func passwords(out string) []Point {
	const name = "locked passwords"
	var open []string
	var n int
	for line := range strings.Lines(out) {
		user, state, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		if n++; state != "locked" {
			open = append(open, user+" ("+state+")")
		}
	}
	switch {
	case n == 0:
		return []Point{failed(name, "no accounts are listed")}
	case len(open) > 0:
		return []Point{failed(name, "not locked: %s", strings.Join(open, ", "))}
	}
	return []Point{passed(name, "all %d accounts are locked", n)}
}

// sshd takes what sshd -T prints for one user.
func sshd(out, user string, w Want) []Point {
	name := "sshd's settings for " + user
	have := map[string][]string{}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		have[key] = append(have[key], value)
	}
	var wrong []string
	for _, want := range [][2]string{
		{"permitrootlogin", "no"}, {"passwordauthentication", "no"}, {"kbdinteractiveauthentication", "no"},
		{"permitemptypasswords", "no"}, {"pubkeyauthentication", "yes"}, {"authenticationmethods", "publickey"},
		{"hostbasedauthentication", "no"}, {"port", fmt.Sprint(w.SSHPort)},
	} {
		if got := have[want[0]]; !slices.Equal(got, []string{want[1]}) {
			wrong = append(wrong, fmt.Sprintf("%s %s", want[0], strings.Join(got, " and ")))
		}
	}
	allowed := strings.Fields(strings.Join(have["allowusers"], " "))
	slices.Sort(allowed)
	declared := names(slices.DeleteFunc(slices.Clone(w.Users), func(u User) bool { return u.Local }))
	slices.Sort(declared)
	if !slices.Equal(allowed, declared) {
		wrong = append(wrong, "allowusers "+strings.Join(allowed, " "))
	}
	if len(wrong) > 0 {
		return []Point{failed(name, "%s", strings.Join(wrong, ", "))}
	}
	return []Point{passed(name, "keys only, port %d, no root", w.SSHPort)}
}

// sudo takes what sudo -l -U prints.
func sudo(out string, u User) []Point {
	name := "sudo of " + u.Name
	may := strings.Contains(out, "NOPASSWD: ALL")
	// Sudo that wants a password is none: there are no passwords. A single command without one is
	// more than was declared.
	some := strings.Contains(out, "NOPASSWD:")
	switch {
	case u.Sudo && !may:
		return []Point{failed(name, "cannot become root without a password")}
	case !u.Sudo && some:
		return []Point{failed(name, "may do without a password what was not declared")}
	case u.Sudo:
		return []Point{passed(name, "without a password, as declared")}
	}
	return []Point{passed(name, "none, as declared")}
}

// firewallAtBoot takes what systemctl is-enabled prints.
func firewallAtBoot(out string) []Point {
	const name = "firewall at boot"
	if s := strings.TrimSpace(out); s != "enabled" {
		return []Point{failed(name, "nftables.service is %s", s)}
	}
	return []Point{passed(name, "nftables.service is enabled")}
}

// mounts takes findmnt's JSON, a line ==, and fstab.
func mounts(out string, want []Mount) []Point {
	type filesystem struct {
		Target, Source, Fstype string
		Label                  *string
		Children               []json.RawMessage
	}
	table, fstab, _ := strings.Cut(out, "\n==\n")
	var top struct{ Filesystems []json.RawMessage }
	if err := json.Unmarshal([]byte(table), &top); err != nil {
		return []Point{failed("data disks", "findmnt printed no table: %v", err)}
	}
	mounted := map[string]filesystem{}
	for queue := top.Filesystems; len(queue) > 0; queue = queue[1:] {
		var f filesystem
		if json.Unmarshal(queue[0], &f) == nil {
			mounted[f.Target] = f // what is mounted last lies on top
			queue = append(queue, f.Children...)
		}
	}
	var points []Point
	for _, m := range want {
		name := "data disk at " + m.Path
		f, ok := mounted[m.Path]
		label := ""
		if f.Label != nil {
			label = *f.Label
		}
		switch {
		case !ok:
			points = append(points, failed(name, "nothing is mounted there"))
		case m.Label != "" && label != m.Label:
			points = append(points, failed(name, "%s has the label %q, not %q", f.Source, label, m.Label))
		case m.Label != "" && !optional(fstab, m):
			points = append(points, failed(name, "fstab does not mount LABEL=%s there with nofail", m.Label))
		default:
			points = append(points, passed(name, "%s (%s, %s)", f.Source, f.Fstype, label))
		}
	}
	return points
}

// optional reports whether fstab mounts by label, and boots without the disk.
func optional(fstab string, m Mount) bool {
	for line := range strings.Lines(fstab) {
		f := strings.Fields(line)
		if len(f) >= 4 && f[0] == "LABEL="+m.Label && f[1] == m.Path {
			return slices.Contains(strings.Split(f[3], ","), "nofail")
		}
	}
	return false
}

// hostname takes the kernel's.
func hostname(out, want string) []Point {
	const name = "hostname"
	if have := strings.TrimSpace(out); have != want {
		return []Point{failed(name, "%s, not %s", have, want)}
	}
	return []Point{passed(name, "%s", want)}
}

// zone takes the target of /etc/localtime and the abbreviation that date prints.
func zone(out, want string) []Point {
	const name = "time zone"
	file, abbreviation, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if !strings.HasSuffix(file, "/zoneinfo/"+want) {
		return []Point{failed(name, "%s", file)}
	}
	return []Point{passed(name, "%s (%s)", want, abbreviation)}
}

// timeServers takes what timeCommand prints.
func timeServers(out string, want []string) []Point {
	const name = "time servers"
	var have []string
	service := ""
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		list, assigns := strings.CutPrefix(strings.TrimSpace(line), "NTP=")
		switch {
		case len(f) == 2 && f[0] == "==":
			service = f[1]
		case service == "timesyncd" && assigns:
			have = append(have, strings.Fields(list)...)
			if list == "" {
				have = nil // systemd's way to begin again
			}
		case (service == "chrony" || service == "ntp") && len(f) > 1 && (f[0] == "server" || f[0] == "pool"):
			have = append(have, f[1])
		}
	}
	if service == "" {
		return []Point{failed(name, "neither systemd-timesyncd nor chrony nor an ntpd runs")}
	}
	sorted := slices.Sorted(slices.Values(want))
	slices.Sort(have)
	if !slices.Equal(have, sorted) {
		return []Point{failed(name, "%v", have)}
	}
	return []Point{passed(name, "%v", have)}
}
