package main

import "testing"

// withServer is what docs/OPERATING.md did before: a server runs.
const withServer = withProgram + `install -d /etc/griddle
echo 'interface: eth1' >/etc/griddle/griddle.yaml
printf '[Service]\nExecStart=/usr/local/sbin/griddle serve\nExecReload=/bin/kill -HUP $MAINPID\n' \
	>/etc/systemd/system/griddle.service
systemctl enable --now griddle
`

// TestObserve runs every command of docs/OBSERVE.md, in order, on a computer with a server.
func TestObserve(t *testing.T) {
	t.Log(sandbox(t, "../../docs/OBSERVE.md", false, withServer, ""))
}
