package systemd

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"griddle/initramfs/sysroot"
)

// A unit is started by what its [Install] section names, if it is not off.
func TestInstall(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d := sysroot.Dir{Root: root}
	const install = "[Install]\nWantedBy=multi-user.target timers.target\nRequiredBy=boot-complete.target\n"
	for _, u := range []Unit{
		{Name: "a.service", Text: "[Unit]\nDescription=WantedBy=x.target\n\n" + install},
		{Name: "b.timer", Text: "[Timer]\n\n" + install, Off: true},
		{Name: "c.service", Text: "[Service]\nWantedBy=x.target\n"},
	} {
		for range 2 {
			if err := Install(d, u); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := d.Read(own + u.Name); err != nil || string(b) != u.Text {
			t.Errorf("%s is %q, %v", u.Name, b, err)
		}
	}
	var links []string
	err = fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if e != nil && e.Type() == fs.ModeSymlink {
			to, err := d.Readlink(path)
			links = append(links, path+" -> "+to)
			return err
		}
		return err
	})
	want := []string{own + "boot-complete.target.requires/a.service -> ../a.service",
		own + "multi-user.target.wants/a.service -> ../a.service",
		own + "timers.target.wants/a.service -> ../a.service"}
	if err == nil {
		for range 2 {
			err = errors.Join(err, Remove(d, Unit{Name: "a.service", Text: "[Unit]\n\n" + install}))
		}
	}
	if d.Has(own+"a.service") || Enabled(d, "a.service") || !d.Has(own+"timers.target.wants") {
		t.Error("a.service is still there, or more is gone")
	}
	if err != nil || len(links) != 3 || links[0] != want[0] || links[1] != want[1] || links[2] != want[2] {
		t.Errorf("the links are %q, %v, want %q", links, err, want)
	}
}
