//go:build cloud

package declared_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"griddle/appliance/setting"
	"griddle/cloud/guesttest"
	"griddle/cloud/userdata/declared"
	"griddle/cloud/userdata/seed"
)

const declaration = `{
	"hostname": "lab-1", "domain": "example.org", "zone": "Europe/Berlin",
	"root": {"passwordHash": "$6$saltsalt$0123456789"},
	"users": [{"name": "ada", "fullName": "Ada Lovelace", "uid": 1500, "groups": ["lab"], "sudo": true,
			"passwordHash": "$6$saltsalt$9876543210"},
		{"name": "games", "shell": "/bin/sh", "groups": ["lab"]}],
	"ssh": {"port": 2222, "rootLogin": "no"},
	"network": {"interfaces": [
		{"name": "lan0", "mac": "52:54:00:00:00:77", "addresses": ["10.99.0.7/24", "fd00:99::7/64"],
			"routes": [{"to": "default", "via": "10.99.0.1"}, {"to": "default", "via": "fd00:99::1"},
				{"to": "10.1.0.0/16", "via": "10.99.0.1", "metric": 77}]},
		{"name": "lan0.7", "vlan": {"id": 7, "link": "lan0"}, "addresses": ["10.98.0.7/24"]}]},
	"files": [{"path": "/etc/lab.key", "content": "x\n", "owner": "1500", "group": "lab", "secret": true},
		{"path": "/etc/motd", "content": "hello\n", "owner": "ada"}],
	"proxy": "http://proxy.example.org:3128", "swap": "32M"}`

// look says what became of the settings, on lines that begin with =.
const look = `#!/bin/sh
systemctl start griddle-routes.service
{
	hostname -f; readlink -f /etc/localtime
	for user in root ada games; do getent shadow $user | cut -d: -f1,2; getent passwd $user | cut -d: -f3,5,7; id -nG $user; done
	su ada -c 'sudo -n id -un'
	sshd -T | grep -E '^(port|permitrootlogin) '
	ss -Hltn | grep -c :2222
	ip -4 -o addr show scope global | awk '{print $2, $4}'
	ip -6 -o addr show dev lan0 scope global | awk '{print $2, $4}'
	ip -4 route show default | sed 's/ *$//' | sed 's/ onlink//'
	ip -6 route show default | sed 's/ metric.*//'
	ip -4 route show 10.1.0.0/16 | sed 's/ *$//'
	stat -c '%n %U:%G %a' /etc/lab.key /etc/motd
	grep ^https_proxy /etc/environment
	awk '{print $1, $3}' /proc/swaps | tail -n +2
} 2>&1 | sed 's/^/= /' >/dev/ttyS0
echo '=== looked' >/dev/ttyS0
`

// TestBoot boots a Debian with ifupdown from a seed, and looks at what became of the settings.
func TestBoot(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 15*time.Minute)
	defer stop()
	d, err := setting.Decode("machine", []byte(declaration))
	if err != nil {
		t.Fatal(err)
	}
	s, err := setting.Merge(d).Resolve(setting.Machine{})
	if err != nil {
		t.Fatal(err)
	}
	s.UserData = look
	given, err := declared.Seed("i-1", s)
	if err != nil {
		t.Fatal(err)
	}
	all, err := seed.NoCloud(given)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var iso bytes.Buffer
	if err := seed.ISO(&iso, seed.Label, all); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(dir, "seed.iso")
	if err := os.WriteFile(disk, iso.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	image, err := guesttest.MakeImage(ctx, dir, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	root, err := image.Overlay(ctx, "root", 2<<30)
	if err != nil {
		t.Fatal(err)
	}
	lan, err := guesttest.NewLAN(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer lan.Close()
	g, err := guesttest.Start(ctx, lan, image, guesttest.Config{Name: "lab-1", Dir: dir, Disks: []string{root, disk},
		MAC: "52:54:00:00:00:77"})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Kill()
	if _, err := g.Wait(ctx, "=== looked"); err != nil {
		t.Fatalf("%v\n%s", err, g.Console())
	}
	var got []string
	for line := range strings.Lines(g.Console()) {
		if text, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "= "); ok {
			got = append(got, text)
		}
	}
	want := strings.Split(`lab-1.example.org
/usr/share/zoneinfo/Europe/Berlin
root:$6$saltsalt$0123456789
0:root:/bin/bash
root
ada:$6$saltsalt$9876543210
1500:Ada Lovelace:/bin/bash
ada lab
games:*
5:games:/bin/sh
games lab
root
port 2222
permitrootlogin no
2
lan0 10.99.0.7/24
lan0.7 10.98.0.7/24
lan0 fd00:99::7/64
default via 10.99.0.1 dev lan0
default via fd00:99::1 dev lan0
10.1.0.0/16 via 10.99.0.1 dev lan0 metric 77
/etc/lab.key ada:lab 600
/etc/motd ada:root 644
https_proxy=http://proxy.example.org:3128
/swapfile 32764`, "\n")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the machine (-want +got):\n%s\n%s", d, g.Console())
	}
}
