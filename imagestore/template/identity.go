package template

// hostIdentity takes away the names and keys by which other computers know the machine, and which programs make again.
func hostIdentity(w *work) {
	w.within("etc", func(d *directory) { d.remove(matching("hostid")) }) // gethostid(3)
	w.within("etc/iscsi", func(d *directory) {
		if debianISCSI(w) {
			d.replace("initiatorname.iscsi", "GenerateName=yes\n")
		} else { // iscsi-init.service makes one where there is none
			d.remove(matching("initiatorname.iscsi"))
		}
	})
	w.within("etc/nvme", func(d *directory) { d.remove(matching("hostid", "hostnqn")) })
	w.within("var/lib/systemd", func(d *directory) { d.remove(matching("tpm2-srk-public-key.*")) })
	w.within("var/lib/fwupd/pki", func(d *directory) { d.remove(matching("secret.key", "client.pem")) })
	w.within("etc/cockpit/ws-certs.d", func(d *directory) { d.remove(matching("0-self-signed*")) })

	// The key that pacman signs others with. Its trust in the keys of packages stays.
	w.within("etc/pacman.d/gnupg", func(d *directory) {
		for _, sub := range []string{"private-keys-v1.d", "openpgp-revocs.d"} {
			d.enter(sub, func(d *directory) { d.files() })
		}
	})

	// Registrations at Red Hat.
	for _, dir := range []string{"etc/pki/consumer", "etc/pki/entitlement"} {
		w.within(dir, func(d *directory) { d.files() })
	}
	w.within("etc/sysconfig/rhn", func(d *directory) { d.remove(matching("systemid")) })
	w.within("etc/insights-client", func(d *directory) { d.remove(matching("machine-id")) })
	w.within("var/lib/yum", func(d *directory) { d.remove(matching("uuid")) })
}

// debianISCSI says whether the tree has Debian's open-iscsi. It does not start without the file of its name, and makes
// a name where the file asks for that.
func debianISCSI(w *work) bool {
	const check = "lib/open-iscsi/startup-checks.sh"
	return w.has(check) || w.has("usr/"+check)
}

// domain takes away what makes the machine a member of a domain: its keytab, its account's password, and what it knows
// of the domain's users. The configuration stays, so that each machine can join.
func domain(w *work) {
	w.within("etc", func(d *directory) { d.remove(matching("krb5.keytab")) })
	for _, dir := range []string{"var/lib/sss/db", "var/lib/sss/secrets", "var/lib/sss/keytabs"} {
		w.within(dir, func(d *directory) { d.files() })
	}
	w.within("var/lib/samba", func(d *directory) {
		d.remove(matching("winbindd_cache.tdb", "netsamlogon_cache.tdb"))
		// Beside them are the users of a file server.
		d.enter("private", func(d *directory) {
			d.remove(matching("secrets.tdb", "secrets.ldb", "secrets.keytab", "netlogon_creds_cli.tdb"))
		})
	})
	// With these, ipa-client-install finds the machine enrolled already.
	w.within("etc/ipa", func(d *directory) { d.remove(matching("default.conf")) })
	w.within("var/lib/ipa-client/sysrestore", func(d *directory) { d.files() })
}
