package setting

import (
	"griddle/appliance/firewall"
	"griddle/initramfs/systemd"
)

// firewall lets in ssh alone, from before the network is up.
func (w *writer) firewall() error {
	if w.Program("nft") == "" {
		return lacks("ssh.secure: it has no nftables: install the package nftables in the template")
	}
	if !systemd.HasUnit(w.Dir, "nftables.service") {
		return lacks("ssh.secure: its nftables has no nftables.service, which loads the rules at each start")
	}
	port := sshPort(w.s)
	rules := firewall.Rules{Ports: []firewall.Port{{Protocol: "tcp", From: port, To: port}}}
	file := "etc/nftables.conf"
	if w.Has("etc/sysconfig/nftables.conf") { // where the unit of Fedora and its relatives looks
		file = "etc/sysconfig/nftables.conf"
	}
	if err := w.Write(file, []byte(rules.Text()), 0o755); err != nil {
		return err
	}
	const dropIn = "etc/systemd/system/nftables.service.d/griddle.conf"
	if err := w.Write(dropIn, []byte(firewall.NoStop), 0o644); err != nil {
		return err
	}
	return systemd.Start(w.Dir, "nftables.service", "sysinit.target")
}
