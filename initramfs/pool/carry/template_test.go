package carry

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/imagestore/template"
)

// TestTemplateIdentity: what an update carries because it makes the machine the one that it is, publishing removes from
// a template. Each machine would have it otherwise, and everyone who reads the image.
func TestTemplateIdentity(t *testing.T) {
	// What is no one's identity and no secret: the drift of the clock, and how a domain is used.
	stays := []string{"etc/adjtime", "etc/krb5.conf", "etc/krb5.conf.d", "etc/sssd", "etc/realmd.conf",
		"etc/systemd/system/multi-user.target.wants/sssd.service",
		"etc/systemd/system/multi-user.target.wants/winbind.service",
		"etc/samba/smb.conf", "var/lib/samba/winbindd_idmap.tdb"}
	// What is in the folders of the list.
	within := map[string]string{"var/lib/sss/db": "cache_lab.ldb", "var/lib/sss/secrets": "secrets.ldb",
		"var/lib/sss/keytabs": "ad.keytab", "var/lib/samba/private": "secrets.tdb", "etc/ipa": "default.conf",
		"var/lib/ipa-client": "sysrestore/state"}

	dir := t.TempDir()
	var all []string
	for _, k := range keys {
		all = append(all, filepath.Join(k.dir, strings.Replace(k.pattern, "*", "ed25519", 1)))
	}
	for i, at := range all {
		if at == "etc/ssh/ssh_host_ed25519" {
			all[i] += "_key"
		}
	}
	for _, at := range append(slices.Clone(domain), "etc/machine-id") {
		all = append(all, filepath.Join(at, within[at]))
	}
	for _, at := range all {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(at)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, at), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := template.Clean(t.Context(), dir, template.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, at := range all {
		b, _ := os.ReadFile(filepath.Join(dir, at))
		if stay := slices.Contains(stays, at); stay != (len(b) > 0) {
			t.Errorf("after publishing, %s has %d bytes; it should stay: %t", at, len(b), stay)
		}
	}
}
