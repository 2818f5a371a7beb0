package setting

import (
	"path"
	"strings"
)

// unitDirs are where packages have their units, the usual one first.
var unitDirs = []string{"usr/lib/systemd/system", "lib/systemd/system"}

// hasUnit reports whether the image has a unit of a package; a link to /dev/null, by which packages mask units, is not
// one.
func (w *writer) hasUnit(name string) bool { return w.unitDir(name) != "" }

func (w *writer) unitDir(name string) string {
	for _, dir := range unitDirs {
		if w.HasFile(path.Join(dir, name)) {
			return dir
		}
	}
	return ""
}

// enabled reports whether a target starts a unit. The name of the link counts, not what it leads to (systemd.unit(5)).
func (w *writer) enabled(unit string) bool {
	if w.masked(unit) {
		return false
	}
	for _, target := range []string{"multi-user", "sysinit", "network-online", "graphical"} {
		if _, err := w.Lstat("etc/systemd/system/" + target + ".target.wants/" + unit); err == nil {
			return true
		}
	}
	return false
}

// enable has a target start a unit, as systemctl enable does by the unit's [Install] section.
func (w *writer) enable(unit, target string) error {
	dir := w.unitDir(unit)
	if dir == "" {
		dir = "etc/systemd/system"
	}
	return w.link("/"+path.Join(dir, unit), "etc/systemd/system/"+target+".wants/"+unit)
}

// start is enable for a unit that may be masked.
func (w *writer) start(unit, target string) error {
	if err := w.unmask(unit); err != nil {
		return err
	}
	return w.enable(unit, target)
}

// unmask removes the link with which systemctl mask keeps a unit from starting.
func (w *writer) unmask(unit string) error {
	if w.masked(unit) {
		return w.Remove("etc/systemd/system/" + unit)
	}
	return nil
}

// masked reports whether systemctl mask keeps a unit from starting.
func (w *writer) masked(unit string) bool {
	target, err := w.Readlink("etc/systemd/system/" + unit)
	return err == nil && path.Clean(target) == "/dev/null"
}

// The marks of a block in a file of the image. All between them is replaced.
const (
	blockBegin = "# Begin of the settings of Griddle"
	blockEnd   = "# End of the settings of Griddle"
)

// withoutBlock is a file without the block.
func withoutBlock(b []byte) string {
	var out strings.Builder
	inside := false
	for line := range strings.Lines(string(b)) {
		switch strings.TrimSuffix(line, "\n") {
		case blockBegin:
			inside = true
			continue
		case blockEnd:
			inside = false
			continue
		}
		if !inside {
			out.WriteString(line)
		}
	}
	return out.String()
}

// block is text between the marks; text ends its last line.
func block(text string) string { return blockBegin + "\n" + text + blockEnd + "\n" }
