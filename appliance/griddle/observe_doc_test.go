package main

import (
	"strings"
	"testing"
)

// withServer is what docs/OPERATING.md did before: a server runs.
const withServer = withProgram + `install -d /etc/griddle
echo 'interface: eth1' >/etc/griddle/griddle.yaml
printf '[Service]\nExecStart=/usr/local/sbin/griddle serve\nExecReload=/bin/kill -HUP $MAINPID\n' \
	>/etc/systemd/system/griddle.service
systemctl enable --now griddle
curl -sSf 'http://boot.example:8080/boot.ipxe?mac=52:54:00:12:34:56&uuid=&arch=pcbios' >/dev/null
griddle machine rename 52:54:00:12:34:56 lab-1
`

// TestObserve runs every command of docs/OBSERVE.md, in order, on a computer with a server.
func TestObserve(t *testing.T) {
	out := sandbox(t, "../../docs/OBSERVE.md", false, withServer, "")
	for _, want := range []string{"|  |--lab-1\n", `"griddle_name": "lab-1"`} {
		if !strings.Contains(out, want) {
			t.Errorf("the commands print no %q", want)
		}
	}
	t.Log(out)
}
