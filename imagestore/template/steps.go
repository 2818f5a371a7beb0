package template

import (
	"path"
	"regexp"
	"strings"
)

type step struct {
	name string
	do   func(*work)
}

func steps() []step {
	return []step{
		{"package-caches", packageCaches},
		{"logs", logs},
		{"leases", leases},
		{"ssh-host-keys", hostKeys},
		{"machine-id", machineID},
		{"host-identity", hostIdentity},
		{"domain", domain},
		{"random-seeds", randomSeeds},
		{"histories", histories},
		{"udev-rules", udevRules},
		{"cloud-init", cloudInit},
		{"griddle-install", griddleInstall},
		{"temporary-files", temporaryFiles},
	}
}

func packageCaches(w *work) {
	for _, dir := range []string{
		"var/lib/apt/lists", "var/cache/apt", // their directories "partial" belong to a user of apt's own
		"var/cache/dnf", "var/cache/yum", "var/cache/libdnf5", "var/cache/zypp", "var/lib/pacman/sync",
		"var/cache/pacman", "var/cache/apk",
	} {
		w.within(dir, func(d *directory) { d.files() })
	}
}

// logs empties files that are written to, because some programs do not make theirs anew, and for
// their owners and modes.
func logs(w *work) {
	rotated := regexp.MustCompile(`(\.[0-9]+|[-.][0-9]{8}(-?[0-9]+)?|\.old)?(\.(gz|bz2|xz|lzma|lz4|zst))?$`)
	w.within("var/log", func(d *directory) {
		// The directory itself makes journald keep its journal on disk; below it are one a machine-id.
		d.enter("journal", func(j *directory) { j.remove(anything) })
		d.each(func(d *directory, name string) {
			if rotated.FindString(name) != "" {
				d.removeName(name)
				return
			}
			d.empty(name)
		})
	})
}

func leases(w *work) {
	w.within("var/lib/dhcp", func(d *directory) {
		d.remove(matching("dhclient*.leases", "dhclient*.leases~", "dhclient*.lease"))
	})
	w.within("var/lib/dhclient", func(d *directory) { d.remove(matching("*.leases", "*.lease", "*.leases~")) })
	for _, dir := range []string{"var/lib/dhcpcd", "var/lib/dhcpcd5", "var/db/dhcpcd"} {
		w.within(dir, func(d *directory) { d.remove(matching("*.lease", "*.lease6", "duid", "secret")) })
	}
	w.within("etc", func(d *directory) { d.remove(matching("dhcpcd.duid", "dhcpcd.secret")) })
	w.within("var/lib/NetworkManager", func(d *directory) {
		d.remove(matching("*.lease", "*.leases", "timestamps", "seen-bssids", "secret_key"))
	})
	w.within("var/lib/wicked", func(d *directory) { d.remove(matching("lease-*.xml", "duid.xml", "iaid.xml")) })
	w.within("run/systemd/netif/leases", func(d *directory) { d.files() }) // of networkd; an archive may have it
}

func hostKeys(w *work) {
	w.within("etc/ssh", func(d *directory) {
		d.remove(matching("ssh_host_*key", "ssh_host_*key.pub", "ssh_host_*key-cert.pub"))
	})
	w.within("etc/dropbear", func(d *directory) { d.remove(matching("dropbear_*_host_key")) })
}

func machineID(w *work) {
	w.within("etc", func(d *directory) { d.empty("machine-id") })
	w.within("var/lib/dbus", func(d *directory) {
		if !d.isSymlink("machine-id") { // to /etc/machine-id, as Debian makes it
			d.remove(matching("machine-id"))
		}
	})
}

func randomSeeds(w *work) {
	for _, dir := range []string{"var/lib/systemd", "var/lib/urandom", "var/lib", "var/lib/misc", "boot/loader",
		"boot/efi/loader", "efi/loader"} {
		w.within(dir, func(d *directory) { d.remove(matching("random-seed")) })
	}
	w.within("var/lib/systemd", func(d *directory) { d.remove(matching("credential.secret")) })
	w.within("var/lib/seedrng", func(d *directory) { d.remove(matching("seed.*")) })
}

func histories(w *work) {
	home := func(d *directory) {
		d.remove(matching(".*_history", ".histfile", ".lesshst", ".viminfo", ".wget-hsts"))
		d.enter(".local", func(d *directory) {
			d.enter("share", func(d *directory) {
				d.enter("fish", func(d *directory) { d.remove(matching("fish_history")) })
			})
		})
	}
	w.within("root", home)
	w.within("home", func(d *directory) { d.subdirectories(home) })
}

func udevRules(w *work) {
	w.within("etc/udev/rules.d", func(d *directory) {
		d.remove(matching("*persistent-net.rules", "*persistent-cd.rules"))
	})
}

func cloudInit(w *work) {
	w.within("var/lib/cloud", func(d *directory) { d.remove(func(name string) bool { return name != "seed" }) })
}

// griddleInstall takes away what Griddle gave to one machine: the token of its report, its key, the passwords of its
// shares, its kernel arguments, the data of its configurator, and the seed with its settings, which may have secrets. A
// seed without the mark of an install is a site's own. The marker says that this very root proved itself.
func griddleInstall(w *work) {
	w.within(".", func(d *directory) { d.remove(matching(".griddle-good")) })
	w.within("etc/griddle", func(d *directory) {
		d.remove(matching("phone-home.json", "shares"))
		d.enter("configure", func(d *directory) { d.remove(matching("data.json")) })
	})
	w.within("persistent", func(d *directory) { d.remove(matching("griddle")) })
	w.within("usr/lib/griddle", func(d *directory) { d.remove(matching("image", "kernel-arguments")) })
	for _, dir := range []string{"multi-user.target.wants", "sysinit.target.wants", "boot-complete.target.requires"} {
		w.within("etc/systemd/system/"+dir, func(d *directory) {
			d.remove(matching("griddle-phone-home.service", "griddle-agent.service", "griddle-update.path",
				"griddle-settle.service", "griddle-bless.service", "griddle-health.service",
				"griddle-deadline.service"))
		})
	}
	marked := false
	w.within("etc/cloud/cloud.cfg.d", func(d *directory) {
		d.remove(func(name string) bool {
			mark := name == "zz-griddle.cfg"
			marked = marked || mark
			return mark
		})
	})
	if marked {
		w.within("var/lib/cloud/seed", func(d *directory) { d.remove(matching("nocloud")) })
	}
}

func temporaryFiles(w *work) {
	for _, dir := range []string{"tmp", "var/tmp"} {
		w.within(dir, func(d *directory) { d.remove(anything) })
	}
}

func anything(string) bool { return true }

// matching admits names that any of the patterns of path.Match fits. They are all well formed.
func matching(patterns ...string) func(string) bool {
	return func(name string) bool {
		for _, p := range patterns {
			if ok, _ := path.Match(p, name); ok && !strings.Contains(name, "/") {
				return true
			}
		}
		return false
	}
}
