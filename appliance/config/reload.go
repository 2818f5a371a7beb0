package config

import (
	"reflect"
	"slices"
	"strings"
)

// reloadKeys are taken at a reload. All others need a restart: sockets and directories are open already.
func reloadKeys() []string {
	return []string{"dhcp.relay_networks", "dhcp.pool", "dhcp.router", "dhcp.dns", "dhcp.lease", "dhcp.other_server",
		"unknown_machines", "enrolment", "menu_timeout", "check_in_every", "keep_events", "kernel_args", "keymap",
		"hostname", "settings", "kexec", "recompress", "metrics.without_token", "log.level"}
}

// Changes lists the keys in which c differs from old: those that are taken now, and those that need a restart,
// whose old values are put back into c.
func Changes(old Config, c *Config) (changed, later []string) {
	for _, key := range keys() {
		was, is := valueOf(reflect.ValueOf(&old).Elem(), key), valueOf(reflect.ValueOf(c).Elem(), key)
		if len(keysOf(is.Type(), "")) > 0 || same(was, is) {
			continue
		}
		if slices.Contains(reloadKeys(), key) {
			changed = append(changed, key)
			continue
		}
		later = append(later, key)
		is.Set(was)
	}
	return changed, later
}

// same takes an empty list for none.
func same(a, b reflect.Value) bool {
	if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// valueOf is the field of a key such as "dhcp.mode".
func valueOf(v reflect.Value, key string) reflect.Value {
	for part := range strings.SplitSeq(key, ".") {
		v, _ = fieldOf(v, part)
	}
	return v
}
