package content

import "testing"

func TestCheckSystemd(t *testing.T) {
	file := func(p string) Entry { return Entry{Path: p, Type: Regular} }
	dir := func(p string) Entry { return Entry{Path: p, Type: Directory} }
	link := func(p, target string) Entry { return Entry{Path: p, Type: Symlink, Target: target} }
	merged := []Entry{dir("."), link("bin", "usr/bin"), link("lib", "usr/lib"), link("sbin", "usr/sbin"), dir("usr"),
		dir("usr/lib"), dir("usr/lib/systemd"), file("usr/lib/systemd/systemd"), dir("usr/sbin")}
	for _, c := range []struct {
		name    string
		entries []Entry
		init    string
		is      bool
	}{
		{"Debian 12", append(merged, link("usr/sbin/init", "/lib/systemd/systemd")), "/usr/lib/systemd/systemd", true},
		{"Fedora", append(merged, link("usr/sbin/init", "../lib/systemd/systemd")), "/usr/lib/systemd/systemd", true},
		{"Arch", []Entry{dir("."), link("sbin", "usr/bin"), dir("usr"), dir("usr/bin"), dir("usr/lib"),
			dir("usr/lib/systemd"), file("usr/lib/systemd/systemd"), link("usr/bin/init", "../lib/systemd/systemd")},
			"/usr/lib/systemd/systemd", true},
		{"not merged", []Entry{dir("."), dir("sbin"), dir("lib"), dir("lib/systemd"), file("lib/systemd/systemd"),
			link("sbin/init", "../../../lib/systemd/systemd")}, "/lib/systemd/systemd", true},
		{"a container without an init", merged, "", false},
		{"sysvinit", append(merged, file("usr/sbin/init")), "/usr/sbin/init", false},
		{"busybox", []Entry{dir("."), dir("sbin"), dir("bin"), file("bin/busybox"), link("sbin/init", "/bin/busybox")},
			"/bin/busybox", false},
		{"a link to nothing", append(merged, link("usr/sbin/init", "/lib/gone/systemd")), "", false},
		{"a loop", append(merged, link("usr/sbin/init", "/sbin/init")), "", false},
		{"two that loop", []Entry{dir("."), link("sbin", "a"), link("a", "sbin")}, "", false},
		{"a longer name", append(merged, dir("usr/lib/systemd/systemd-x"), file("usr/lib/systemd/systemd-x/systemd"),
			link("usr/sbin/init", "/lib/systemd/systemd-x/systemd")), "/usr/lib/systemd/systemd-x/systemd", false},
		{"nothing", nil, "", false},
	} {
		m := &Manifest{Entries: c.entries}
		init, text := "", ""
		if e := m.Lookup("/sbin/init"); e != nil {
			init = "/" + e.Path
		}
		switch {
		case !c.is && c.init == "":
			text = "it has no /sbin/init"
		case !c.is:
			text = "its /sbin/init is " + c.init
		}
		if err := m.CheckSystemd(); init != c.init || (err == nil) != c.is || err != nil && err.Error() != text {
			t.Errorf("%s: /sbin/init is %q, and CheckSystemd() = %v; want %q and %q", c.name, init, err, c.init, text)
		}
	}
}
