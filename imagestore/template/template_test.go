package template

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// plant makes files ("path" or "path=content"), symbolic links ("path->target"), directories ("path/") and further
// names ("path==other") below dir, all with old times.
func plant(t testing.TB, dir string, what ...string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range what {
		name, target, link := strings.Cut(w, "->")
		if link {
			must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
			must(os.Symlink(target, filepath.Join(dir, name)))
			continue
		}
		if first, other, ok := strings.Cut(w, "=="); ok {
			must(os.Link(filepath.Join(dir, other), filepath.Join(dir, first)))
			continue
		}
		name, content, ok := strings.Cut(w, "=")
		if !ok {
			content = "x"
		}
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			must(os.MkdirAll(path, 0o755))
			continue
		}
		must(os.MkdirAll(filepath.Dir(path), 0o755))
		must(os.WriteFile(path, []byte(content), 0o640))
	}
	must(filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(p, time.Unix(1e9, 0), time.Unix(1e9, 0))
	}))
}

// survey lists what is below dir: type, mode, owner, size, time of change and name of each path.
func survey(t testing.TB, dir string) string {
	t.Helper()
	out, err := exec.Command("find", dir, "-mindepth", "1", "-printf", "%y %m %U:%G %s %T@ %P %l\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// names lists what is below dir, directories with a slash, empty files with "=".
func names(t testing.TB, dir string) []string {
	t.Helper()
	out := []string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		name := strings.TrimPrefix(p, dir+"/")
		i, err := e.Info()
		if e.IsDir() {
			name += "/"
		} else if err == nil && e.Type().IsRegular() && i.Size() == 0 {
			name += "="
		}
		out = append(out, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSteps(t *testing.T) {
	tests := []struct {
		step    string
		tree    []string
		want    []string // what is left but for directories that lead to what is left
		removed int64
		bytes   int64
	}{
		{"package-caches",
			[]string{"var/lib/apt/lists/deb_Packages=12345", "var/lib/apt/lists/partial/half",
				"var/cache/apt/archives/vim.deb", "var/cache/apt/pkgcache.bin",
				"var/cache/dnf/base/x.rpm", "var/cache/apk/a.apk", "var/cache/pacman/pkg/b.zst",
				"var/lib/pacman/local/vim/desc", "var/lib/dpkg/status"},
			[]string{"var/cache/apk/", "var/cache/apt/archives/", "var/cache/dnf/base/", "var/cache/pacman/pkg/",
				"var/lib/apt/lists/partial/", "var/lib/dpkg/status", "var/lib/pacman/local/vim/desc"}, 7, 11},
		{"logs",
			[]string{"var/log/syslog=lines", "var/log/syslog.1", "var/log/syslog.2.gz", "var/log/dpkg.log-20240131",
				"var/log/app/err.log=x", "var/log/app/err.log.old",
				"var/log/Xorg.0.log", "var/log/empty=", "var/log/journal/0123/system.journal=jjj",
				"var/log/link->../../etc/passwd", "etc/passwd", "usr/bin/p", "var/log/p.log==usr/bin/p"},
			[]string{"etc/passwd", "usr/bin/p", "var/log/Xorg.0.log=", "var/log/app/err.log=", "var/log/empty=",
				"var/log/journal/", "var/log/link", "var/log/syslog="}, 10, 14},
		{"leases",
			[]string{"var/lib/dhcp/dhclient.eth0.leases", "var/lib/dhcp/dhclient.leases", "var/lib/dhcp/dhcpd.leases",
				"var/lib/dhcpcd/eth0.lease", "var/lib/dhcpcd/duid",
				"var/lib/NetworkManager/internal-1-eth0.lease", "var/lib/NetworkManager/NetworkManager.state",
				"run/systemd/netif/leases/2", "var/lib/wicked/lease-eth0-dhcp-ipv4.xml", "var/lib/wicked/duid.xml"},
			[]string{"run/systemd/netif/leases/", "var/lib/NetworkManager/NetworkManager.state",
				"var/lib/dhcp/dhcpd.leases", "var/lib/dhcpcd/", "var/lib/wicked/"}, 8, 8},
		{"ssh-host-keys",
			[]string{"etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_rsa_key.pub",
				"etc/ssh/ssh_host_ed25519_key-cert.pub", "etc/ssh/sshd_config", "etc/dropbear/dropbear_rsa_host_key"},
			[]string{"etc/dropbear/", "etc/ssh/sshd_config"}, 4, 4},
		{"machine-id", []string{"etc/machine-id=0123\n", "var/lib/dbus/machine-id"},
			[]string{"etc/machine-id=", "var/lib/dbus/"}, 2, 6},
		{"machine-id", []string{"etc/machine-id=", "var/lib/dbus/machine-id->/etc/machine-id"},
			[]string{"etc/machine-id=", "var/lib/dbus/machine-id"}, 0, 0},
		{"host-identity",
			[]string{"etc/hostid", "etc/hosts", "etc/iscsi/initiatorname.iscsi=InitiatorName=iqn.x",
				"etc/iscsi/iscsid.conf",
				"etc/nvme/hostid", "etc/nvme/hostnqn", "etc/nvme/discovery.conf",
				"var/lib/systemd/tpm2-srk-public-key.pem", "var/lib/systemd/timers/x",
				"var/lib/fwupd/pki/secret.key", "var/lib/fwupd/pki/client.pem", "var/lib/fwupd/pending.db",
				"etc/cockpit/ws-certs.d/0-self-signed.key", "etc/cockpit/ws-certs.d/10-site.cert",
				"etc/pacman.d/gnupg/private-keys-v1.d/1.key", "etc/pacman.d/gnupg/openpgp-revocs.d/1.rev",
				"etc/pacman.d/gnupg/pubring.gpg", "etc/pacman.d/gnupg/trustdb.gpg",
				"etc/pki/consumer/key.pem", "etc/pki/entitlement/1.pem", "etc/pki/ca-trust/x",
				"etc/sysconfig/rhn/systemid", "etc/insights-client/machine-id", "var/lib/yum/uuid"},
			[]string{"etc/cockpit/ws-certs.d/10-site.cert", "etc/hosts", "etc/insights-client/",
				"etc/iscsi/iscsid.conf",
				"etc/nvme/discovery.conf", "etc/pacman.d/gnupg/openpgp-revocs.d/",
				"etc/pacman.d/gnupg/private-keys-v1.d/", "etc/pacman.d/gnupg/pubring.gpg",
				"etc/pacman.d/gnupg/trustdb.gpg", "etc/pki/ca-trust/x", "etc/pki/consumer/", "etc/pki/entitlement/",
				"etc/sysconfig/rhn/", "var/lib/fwupd/pending.db", "var/lib/fwupd/pki/", "var/lib/systemd/timers/x",
				"var/lib/yum/"}, 15, 33},
		{"domain",
			[]string{"etc/krb5.keytab=secret", "etc/krb5.conf", "etc/sssd/sssd.conf", "var/lib/sss/db/cache_x.ldb",
				"var/lib/sss/db/ccache_X", "var/lib/sss/secrets/secrets.ldb", "var/lib/sss/keytabs/x.keytab",
				"var/lib/sss/pubconf/known_hosts", "etc/samba/smb.conf", "var/lib/samba/private/secrets.tdb",
				"var/lib/samba/private/netlogon_creds_cli.tdb", "var/lib/samba/private/passdb.tdb",
				"var/lib/samba/winbindd_cache.tdb", "var/lib/samba/winbindd_idmap.tdb",
				"etc/ipa/default.conf", "etc/ipa/ca.crt", "var/lib/ipa-client/sysrestore/sysrestore.state",
				"var/lib/ipa-client/pki/ca-bundle.pem"},
			[]string{"etc/ipa/ca.crt", "etc/krb5.conf", "etc/samba/smb.conf", "etc/sssd/sssd.conf",
				"var/lib/ipa-client/pki/ca-bundle.pem", "var/lib/ipa-client/sysrestore/",
				"var/lib/samba/private/passdb.tdb", "var/lib/samba/winbindd_idmap.tdb", "var/lib/sss/db/",
				"var/lib/sss/keytabs/", "var/lib/sss/pubconf/known_hosts", "var/lib/sss/secrets/"}, 10, 15},
		{"random-seeds", []string{"var/lib/systemd/random-seed", "var/lib/systemd/credential.secret",
			"var/lib/systemd/timers/x", "boot/loader/random-seed", "var/lib/seedrng/seed.credit"},
			[]string{"boot/loader/", "var/lib/seedrng/", "var/lib/systemd/timers/x"}, 4, 4},
		{"histories", []string{"root/.bash_history", "root/.bashrc", "home/ada/.zsh_history",
			"home/ada/.local/share/fish/fish_history", "home/bob->../root2", "root2/.bash_history"},
			[]string{"home/ada/.local/share/fish/", "home/bob", "root/.bashrc", "root2/.bash_history"}, 3, 3},
		{"udev-rules", []string{"etc/udev/rules.d/70-persistent-net.rules", "etc/udev/rules.d/70-persistent-cd.rules",
			"etc/udev/rules.d/99-mine.rules", "lib/udev/rules.d/75-persistent-net-generator.rules"},
			[]string{"etc/udev/rules.d/99-mine.rules", "lib/udev/rules.d/75-persistent-net-generator.rules"}, 2, 2},
		{"cloud-init", []string{"var/lib/cloud/instance->instances/i-1", "var/lib/cloud/instances/i-1/sem/x",
			"var/lib/cloud/seed/nocloud/user-data"},
			[]string{"var/lib/cloud/seed/nocloud/user-data"}, 5, 1},
		{"griddle-install", []string{"etc/cloud/cloud.cfg.d/zz-griddle.cfg", "etc/cloud/cloud.cfg.d/90_dpkg.cfg",
			"var/lib/cloud/seed/nocloud/user-data=secret", "var/lib/cloud/seed/other/user-data",
			"etc/griddle/phone-home.json", "etc/griddle/settings.yaml", "etc/griddle/shares/srv=secret",
			"etc/griddle/configure/data.json=secret", "etc/griddle/configure/hiera.yaml",
			"persistent/griddle/machine.key=secret", "persistent/mine", ".griddle-good", "srv/.griddle-good",
			"etc/systemd/system/boot-complete.target.requires/griddle-health.service->../griddle-health.service",
			"etc/systemd/system/boot-complete.target.requires/other.service->../other.service",
			"etc/systemd/system/multi-user.target.wants/griddle-agent.service->../griddle-agent.service",
			"etc/systemd/system/multi-user.target.wants/griddle-bless.service->../griddle-bless.service",
			"etc/systemd/system/multi-user.target.wants/griddle-settle.service->../griddle-settle.service",
			"etc/systemd/system/multi-user.target.wants/griddle-update.path->../griddle-update.path",
			"etc/systemd/system/sysinit.target.wants/griddle-deadline.service->../griddle-deadline.service",
			"etc/systemd/system/timers.target.wants/griddle-update.timer->../griddle-update.timer",
			"usr/lib/griddle/image=12345", "usr/lib/griddle/kernel-arguments=12345", "usr/lib/griddle/griddle-agent",
			"etc/systemd/system/multi-user.target.wants/griddle-phone-home.service->../griddle-phone-home.service"},
			[]string{"etc/cloud/cloud.cfg.d/90_dpkg.cfg", "etc/griddle/configure/hiera.yaml",
				"etc/griddle/settings.yaml",
				"etc/systemd/system/boot-complete.target.requires/other.service",
				"etc/systemd/system/multi-user.target.wants/", "etc/systemd/system/sysinit.target.wants/",
				"etc/systemd/system/timers.target.wants/griddle-update.timer", "persistent/mine",
				"srv/.griddle-good", "usr/lib/griddle/griddle-agent", "var/lib/cloud/seed/other/user-data"}, 19, 37},
		{"griddle-install", []string{"var/lib/cloud/seed/nocloud/user-data"},
			[]string{"var/lib/cloud/seed/nocloud/user-data"}, 0, 0},
		{"temporary-files", []string{"tmp/a", "tmp/.X11-unix/X0", "var/tmp/deep/deeper/file=123", "srv/tmp/kept"},
			[]string{"srv/tmp/kept", "tmp/", "var/tmp/"}, 6, 5},
	}
	for _, tt := range tests {
		t.Run(tt.step, func(t *testing.T) {
			dir := t.TempDir()
			plant(t, dir, tt.tree...)
			got, err := Clean(context.Background(), dir,
				Options{Steps: []string{tt.step}, Warn: func(w string) { t.Error(w) }})
			if want := []Step{{tt.step, tt.removed, tt.bytes}}; err != nil || !slices.Equal(got, want) {
				t.Errorf("Clean = %+v, %v, want %+v", got, err, want)
			}
			left := names(t, dir)
			left = slices.DeleteFunc(left, func(n string) bool {
				return strings.HasSuffix(n, "/") && slices.ContainsFunc(left, func(o string) bool {
					return o != n && strings.HasPrefix(o, n)
				})
			})
			if !slices.Equal(left, tt.want) {
				t.Errorf("left is\n%s\nwant\n%s", strings.Join(left, "\n"), strings.Join(tt.want, "\n"))
			}
			for line := range strings.Lines(survey(t, dir)) {
				if line != "\n" && !strings.HasPrefix(line, "l ") &&
					!strings.Contains(line, " 1000000000.0000000000 ") {
					t.Errorf("times changed: %s", line)
				}
			}
			again, err := Clean(context.Background(), dir, Options{Steps: []string{tt.step}})
			if want := []Step{{tt.step, 0, 0}}; err != nil || !slices.Equal(again, want) {
				t.Errorf("Clean once more = %+v, %v, want %+v", again, err, want)
			}
		})
	}
}

// TestInitiatorName: Debian's open-iscsi needs a file, and makes a name of its own if that says so.
func TestInitiatorName(t *testing.T) {
	for _, program := range []string{"lib/open-iscsi/startup-checks.sh", "usr/lib/open-iscsi/startup-checks.sh"} {
		for name, tree := range map[string][]string{
			"a file":          {"etc/iscsi/initiatorname.iscsi=InitiatorName=iqn.x"},
			"several names":   {"usr/bin/p", "etc/iscsi/iscsid.conf", "etc/iscsi/initiatorname.iscsi==usr/bin/p"},
			"a symbolic link": {"usr/bin/p", "etc/iscsi/initiatorname.iscsi->../../usr/bin/p"},
		} {
			t.Run(program+" "+name, func(t *testing.T) {
				dir := t.TempDir()
				plant(t, dir, append(tree, program)...)
				for _, removed := range []int64{1, 0} {
					done, err := Clean(t.Context(), dir, Options{Steps: []string{"host-identity"},
						Warn: func(w string) { t.Error(w) }})
					if err != nil || done[0].Removed != removed {
						t.Errorf("Clean = %+v, %v, want %d removed", done, err, removed)
					}
				}
				if got := sum(t, filepath.Join(dir, "etc/iscsi/initiatorname.iscsi")); got != "GenerateName=yes\n" {
					t.Errorf("the name is %q", got)
				}
				if len(tree) > 1 && sum(t, filepath.Join(dir, "usr/bin/p")) != "x" {
					t.Error("the other name was changed")
				}
				got := survey(t, filepath.Join(dir, "etc"))
				old := strings.Count(got, " 1000000000.0000000000 ") == strings.Count(got, "\n")
				if !strings.Contains(got, "f 600 ") || !old && name != "a symbolic link" {
					t.Errorf("its folder is\n%s", got)
				}
			})
		}
	}
}

func TestLogsKeepOwnerAndMode(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, "var/log/auth.log=secret")
	path := filepath.Join(dir, "var/log/auth.log")
	if err := errors.Join(os.Chown(path, 7, 4), os.Chmod(path, 0o604),
		unix.Setxattr(path, "user.x", []byte("v"), 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := Clean(context.Background(), dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if got, want := survey(t, filepath.Dir(path)), "\nf 604 7:4 0 "; !strings.Contains(got, want) {
		t.Errorf("the log is %q, want %q", got, want)
	}
	if n, err := unix.Getxattr(path, "user.x", nil); n != 1 || err != nil {
		t.Errorf("its attribute is gone: %v", err)
	}
}

func TestCleanRefuses(t *testing.T) {
	if _, err := Clean(context.Background(), t.TempDir(),
		Options{Steps: []string{"logs", "everything"}}); !errors.Is(err, ErrStep) {
		t.Errorf("Clean of an unknown step = %v, want ErrStep", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Clean(ctx, t.TempDir(), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Clean after the end = %v, want context.Canceled", err)
	}
}

func TestParseSteps(t *testing.T) {
	tests := []struct {
		in   string
		want []string
		err  error
	}{
		{"all", Steps(), nil},
		{"none", []string{}, nil},
		{"logs,machine-id", []string{"logs", "machine-id"}, nil},
		{"", []string{""}, ErrStep},
		{"logs,all", []string{"logs", "all"}, ErrStep},
	}
	for _, tt := range tests {
		got, err := ParseSteps(tt.in)
		if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("ParseSteps(%q) = %q, %v, want %q, %v", tt.in, got, err, tt.want, tt.err)
		}
	}
}
