package systemd

import (
	"fmt"
	"strings"

	"griddle/initramfs/sysroot"
)

// own is the folder of units that no package brought (systemd.unit(5)).
const own = "etc/systemd/system/"

// Unit is a unit of ours.
type Unit struct {
	Name string // "griddle-agent.service"
	Text string
	Off  bool // a person has to enable it
}

// Install writes a unit, and has it started as its [Install] section says, unless it is Off. Each link appears by one
// rename.
func Install(d sysroot.Dir, u Unit) error {
	if err := d.Write(own+u.Name, []byte(u.Text), 0o644); err != nil {
		return err
	}
	if u.Off {
		return nil
	}
	for _, dir := range u.wanted() {
		if err := d.ReplaceLink("../"+u.Name, own+dir+"/"+u.Name); err != nil {
			return fmt.Errorf("enabling %s: %w", u.Name, err)
		}
	}
	return nil
}

// Remove takes a unit away, so that nothing starts it. One that is missing is not an error.
func Remove(d sysroot.Dir, u Unit) error {
	for _, dir := range u.wanted() {
		if err := d.RemoveAll(own + dir + "/" + u.Name); err != nil {
			return fmt.Errorf("removing %s: %w", u.Name, err)
		}
	}
	if err := d.RemoveAll(own + u.Name); err != nil {
		return fmt.Errorf("removing %s: %w", u.Name, err)
	}
	return nil
}

// wanted are the folders of the units that start this one, by its [Install] section.
func (u Unit) wanted() []string {
	var out []string
	_, install, _ := strings.Cut(u.Text, "\n[Install]\n")
	for line := range strings.Lines(install) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if kind := map[string]string{"WantedBy": ".wants", "RequiredBy": ".requires"}[key]; kind != "" {
			for name := range strings.FieldsSeq(value) {
				out = append(out, name+kind)
			}
		}
	}
	return out
}
