package carry

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/setting"
)

func TestParseList(t *testing.T) {
	t.Parallel()
	paths, mistakes := ParseList([]byte("# what we keep\n\n /srv/data \r\n/opt/lab/\n/srv/with # in it\nsrv\n/\n" +
		"/home/ada\n/srv/\x00\n/srv/../etc\n/etc/last"))
	if want := []string{"/srv/data", "/opt/lab", "/srv/with # in it", "/etc/last"}; !slices.Equal(paths, want) {
		t.Errorf("paths %q, want %q", paths, want)
	}
	want := []string{`line 6: "srv" is not an absolute path in its shortest form`,
		"line 7: / belongs to the image: give a folder below it",
		"line 8: /home and /persistent are always kept: remove it",
		`line 9: "/srv/\x00" is not an absolute path in its shortest form`,
		`line 10: "/srv/../etc" is not an absolute path in its shortest form`}
	var got []string
	for _, m := range mistakes {
		got = append(got, m.Error())
	}
	if !slices.Equal(got, want) {
		t.Errorf("mistakes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte("/srv\n#\n/\n"))
	f.Add([]byte("//\r\n/etc//x/\n/\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		paths, _ := ParseList(b)
		for _, p := range paths {
			if err := setting.KeepPath(p); err != nil {
				t.Errorf("%q: %v", p, err)
			}
		}
		for i, p := range highest(paths) {
			if i > 0 && strings.HasPrefix(p, highest(paths)[i-1]+"/") {
				t.Errorf("%q", highest(paths))
			}
		}
	})
}

func TestHighest(t *testing.T) {
	t.Parallel()
	got := highest([]string{"/srv/b", "/srv", "/srv-more", "/etc/a", "/srv/b/c", "/etc/a", "/etc/a.d"})
	if want := []string{"/etc/a.d", "/etc/a", "/srv-more", "/srv"}; !slices.Equal(got, want) {
		t.Errorf("highest = %q, want %q", got, want)
	}
}

// Lists of the settings, of the old root and of the new one keep what was changed on the machine.
func TestLists(t *testing.T) {
	t.Parallel()
	b := trees(t, map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "srv/same": "image",
		"srv/mine": "image", "srv/gone": "image", "opt/lab/conf": "image", "var/lib/x/db": "image",
		"not/kept": "image"})
	b.old(t, map[string]string{"srv/mine": "old", "srv/added": "old", "opt/lab/conf": "old", "var/lib/x/db": "old",
		"not/kept": "old", "etc/griddle/keep.d/site.list": "/opt/lab\nwrong\n", "etc/griddle/keep.d/README": "/not\n"})
	b.new(t, map[string]string{"srv/same": "new", "srv/mine": "new", "not/kept": "new",
		"etc/griddle/keep.d/image.list": "/var/lib/x\n"})
	if err := os.Remove(b.dir + "/old/srv/gone"); err != nil {
		t.Fatal(err)
	}
	r := b.carry(t, "/srv", "/srv/nothing", "/etc/typo")
	b.has(t, map[string]string{"srv/same": "new", "srv/mine": "old", "srv/added": "old", "opt/lab/conf": "old",
		"var/lib/x/db": "old", "not/kept": "new"})
	b.lacks(t, "srv/gone")
	for _, want := range []string{"/srv (2 changed, 1 deleted)", "/opt/lab", "/var/lib/x"} {
		if !slices.Contains(r.Carried, want) {
			t.Errorf("carried %q, without %q", r.Carried, want)
		}
	}
	for _, want := range []string{"/srv/nothing: the old system does not have it",
		"/etc/typo: the old system does not have it",
		`/etc/griddle/keep.d/site.list: line 2: "wrong" is not an absolute path in its shortest form`} {
		if !slices.Contains(r.Left, want) {
			t.Errorf("left %q, without %q", r.Left, want)
		}
	}
	// The next update has the list too.
	next := trees(t, map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "opt/lab/conf": "third"})
	next.Old, next.Image = b.New, b.Image
	next.carry(t)
	next.has(t, map[string]string{"opt/lab/conf": "old", "etc/griddle/keep.d/site.list": "/opt/lab\nwrong\n"})
	if _, err := Carry(t.Context(), b.Trees, []string{"/usr"}); err == nil ||
		!strings.Contains(err.Error(), "carrying what lists keep: /usr: /usr belongs to the image") {
		t.Errorf("a list of the settings that is not valid: %v", err)
	}
}

// Whoever keeps all of /etc gets no files that each root has of its own.
func TestAllOfEtc(t *testing.T) {
	t.Parallel()
	b := trees(t, map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/motd": "image",
		"etc/fstab": "image\n"})
	b.old(t, map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n",
		"etc/passwd-": "old", "etc/motd": "old", "etc/fstab": "old\n",
		"etc/systemd/system/griddle-agent.service": "old", "etc/systemd/system/mine.service": "old",
		"etc/griddle/health.d/10-site": "old"})
	b.new(t, map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/:/bin/sh\n",
		"etc/systemd/system/griddle-agent.service": "new", "etc/fstab": "new\n"})
	r := b.carry(t, "/etc", "/etc/shadow")
	b.has(t, map[string]string{"etc/motd": "old", "etc/fstab": "new\n", "etc/systemd/system/mine.service": "old",
		"etc/systemd/system/griddle-agent.service": "new", "etc/griddle/health.d/10-site": "old",
		"etc/passwd": "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n"})
	b.lacks(t, "etc/passwd-")
	r = b.carry(t, "/etc/shadow")
	if want := "/etc/shadow: it is not for lists, a new root has it of its own"; !slices.Contains(r.Left, want) {
		t.Errorf("left %q, without %s", r.Left, want)
	}
}

// A nightly timer that a person enabled stays enabled, and one that a person disabled stays disabled.
func TestNightlyTimer(t *testing.T) {
	t.Parallel()
	const passwd, list = "root:x:0:0::/root:/bin/sh\n", "etc/griddle/keep.d/griddle-update.list"
	for _, enabled := range []bool{true, false} {
		link := map[string]string{"etc/passwd": passwd, nightly: "on"}
		plain := map[string]string{"etc/passwd": passwd, list: "/" + nightly + "\n"}
		b := trees(t, map[string]string{"etc/passwd": passwd})
		if enabled {
			b.old(t, link)
			b.new(t, plain)
		} else {
			b = trees(t, link)
			b.old(t, plain)
			if err := os.Remove(b.dir + "/old/" + nightly); err != nil {
				t.Fatal(err)
			}
			b.new(t, plain)
		}
		r := b.carry(t)
		if slices.ContainsFunc(r.Left, func(what string) bool { return strings.Contains(what, nightly) }) {
			t.Errorf("left %q", r.Left)
		}
		if enabled {
			b.has(t, map[string]string{nightly: "on"})
		} else {
			b.lacks(t, nightly)
		}
	}
}

// Trees of an attacker lead nowhere else, and none of them makes Carry fail but where New cannot be written.
func TestHostile(t *testing.T) {
	t.Parallel()
	b := trees(t, map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\n"})
	outside := t.TempDir()
	put(t, outside, map[string]string{"secret": "outside"})
	for _, tree := range []string{"old", "new"} {
		for name, to := range map[string]string{"etc/ssh": outside, "etc/griddle": outside, "var": outside,
			"etc/hostname": outside + "/secret", "etc/sssd": strings.Repeat("../", 20) + outside, "srv": outside,
			"etc/machine-id": "/proc/kmsg", "etc/krb5.keytab": "krb5.keytab"} {
			if err := os.Symlink(to, fmt.Sprintf("%s/%s/%s", b.dir, tree, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(t, b.dir+"/old/etc", map[string]string{"passwd": "root:x:0:0::/root:/bin/sh\neve\neve:x:y:z:::\n:::::::\n\x00",
		"hosts": strings.Repeat("127.0.1.1 \x1b[2J\n", 3), "fstab": "a b c x-griddle.share\n"})
	b.carry(t, "/srv/secret", "/var/secret", "/etc")
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 1 {
		t.Errorf("outside there is %v, %v", entries, err)
	}
	if text, err := os.ReadFile(outside + "/secret"); err != nil || string(text) != "outside" {
		t.Errorf("outside: %q, %v", text, err)
	}
}
