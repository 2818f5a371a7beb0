package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// check is a command and who decides about its output.
type check struct {
	name    string
	command string
	decide  func(output string) []Point
	secure  bool // only the secure state asks for it
}

// checks returns what is looked at through ssh. The commands are literals but for names that were checked by word.
func checks(w Want) []check {
	root := "sudo -n "
	if w.Admin == "root" {
		root = ""
	}
	list := []check{
		{"passwords",
			root + `awk -F: '{ print $1 ":" ($2 ~ /^[!*]/ ? "locked" : $2 == "" ? "empty" : "set") }' /etc/shadow`,
			passwords, true},
		{"firewall", root + "nft -j list ruleset", func(out string) []Point { return firewall(out, w) }, true},
		{"firewall at boot", "systemctl is-enabled nftables.service || :", firewallAtBoot, true},
	}
	for _, user := range append([]string{"root"}, names(w.Users)...) {
		list = append(list,
			check{"sshd for " + user, root + "/usr/sbin/sshd -T -C user=" + user + ",host=unknown,addr=192.0.2.1",
				func(out string) []Point { return sshd(out, user, w) }, true})
	}
	for _, u := range w.Users {
		list = append(list, check{"sudo of " + u.Name, "sudo -n -l -U " + u.Name + " || :",
			func(out string) []Point { return sudo(out, u) }, false})
	}
	if w.Hostname != "" {
		list = append(list, check{"hostname", "cat /proc/sys/kernel/hostname",
			func(out string) []Point { return hostname(out, w.Hostname) }, false})
	}
	if len(w.Mounts) > 0 {
		list = append(list, check{"data disks", "findmnt -J -o TARGET,SOURCE,FSTYPE,LABEL; echo; " +
			"echo ==; cat /etc/fstab", func(out string) []Point { return mounts(out, w.Mounts) }, false})
	}
	if w.Zone != "" {
		list = append(list, check{"time zone", "readlink -f /etc/localtime; date +%Z",
			func(out string) []Point { return zone(out, w.Zone) }, false})
	}
	if len(w.NTP) > 0 {
		list = append(list, check{"time servers", timeCommand,
			func(out string) []Point { return timeServers(out, w.NTP) }, false})
	}
	return list
}

// timeCommand prints "== SERVICE" for each time service that runs, and then its configuration. The user may have any
// shell.
const timeCommand = `sh -c 'runs() { for u; do systemctl --quiet is-active $u.service && return; done; false; }
if runs systemd-timesyncd; then echo "== timesyncd"; systemd-analyze cat-config systemd/timesyncd.conf; fi
if runs chrony chronyd; then echo "== chrony"
cat /etc/chrony/chrony.conf /etc/chrony.conf /etc/chrony/sources.d/*.sources /etc/chrony/conf.d/*.conf /etc/chrony.d/*
fi
if runs ntpsec ntp ntpd; then echo "== ntp"
cat /etc/ntpsec/ntp.conf /etc/ntp.conf /etc/ntpsec/ntp.d/* /etc/ntp.d/*
fi
true'`

func inside(ctx context.Context, t Target, w Want) ([]Point, error) {
	for _, u := range append(names(w.Users), w.Admin) {
		if u == "" || strings.Trim(u, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" || u[0] == '-' {
			return nil, fmt.Errorf("%q is not a valid user name", u)
		}
	}
	client, err := login(ctx, t, w.Admin, func() {}, ssh.PublicKeys(t.Signer))
	if err != nil {
		return []Point{failed("login of "+w.Admin+" with its key", "%v", err)}, err
	}
	defer client.Close()
	points := []Point{passed("login of "+w.Admin+" with its key", "logged in")}
	for _, c := range checks(w) {
		out, err := output(ctx, t, client, c.command)
		if err != nil {
			if ctx.Err() != nil {
				return points, ctx.Err()
			}
			points = append(points, w.weigh(!c.secure, failed(c.name, "%v", err))...)
			continue
		}
		points = append(points, w.weigh(!c.secure, c.decide(out)...)...)
	}
	return points, nil
}

// most is how much of a command's output is read.
const most = 4 << 20

// output runs a command and returns what it printed.
func output(ctx context.Context, t Target, client *ssh.Client, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout(t))
	defer cancel()
	s, err := client.NewSession()
	if err != nil {
		return "", fmt.Errorf("opening a session: %w", err)
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	stdout, stderr := &bounded{}, &bounded{}
	s.Stdout, s.Stderr = stdout, stderr
	if err := s.Run(command); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		first, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("running %.40q: %w: %.200s", command, err, first)
	}
	return stdout.String(), nil
}

// bounded is a buffer that a hostile server cannot fill without end.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > most {
		return 0, errors.New("more output than is read")
	}
	return b.Buffer.Write(p)
}

func names(users []User) []string {
	var n []string
	for _, u := range users {
		n = append(n, u.Name)
	}
	return n
}
