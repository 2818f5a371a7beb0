package setting

import (
	"context"
	"strings"
)

// selinux has a system with SELinux label its files at the first start: files that were written without its policy have
// no label, and programs that it confines cannot read them (selinux(8), selinux-autorelabel(8)).
func (w *writer) selinux(context.Context) error {
	conf, err := w.Read("etc/selinux/config")
	if err != nil || !labels(conf) {
		return err
	}
	w.note("the system labels its files for SELinux at its first start, and starts a second time")
	return w.Write(".autorelabel", nil, 0o600)
}

// labels reports whether the configuration of SELinux turns it on, enforcing or not.
func labels(conf []byte) bool {
	on := false
	for _, line := range linesOf(conf) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key == "SELINUX" {
			value = strings.ToLower(strings.TrimSpace(value))
			on = value == "enforcing" || value == "permissive"
		}
	}
	return on
}
