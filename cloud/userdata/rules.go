package userdata

import (
	"path"
	"strings"
)

// listRule says how two lists become one.
type listRule struct {
	// key names an entry; two with one key are one thing. Without a key an entry is always another one.
	key  func(entry any) (string, bool)
	same sameKey
}

// sameKey is what becomes of a second entry with a key that is there.
type sameKey int

const (
	keepFirst  sameKey = iota // they are equal
	mergeDeep                 // what both say is merged
	laterWhole                // the later one stands there alone
)

// lists returns the rule of each place in a cloud-config whose list is not simply replaced. A * is any key or entry.
func lists() map[string]listRule {
	set := listRule{byValue, keepFirst}
	chain := listRule{func(any) (string, bool) { return "", false }, keepFirst}
	return map[string]listRule{
		"users":                       {byName, mergeDeep},
		"users.*.groups":              set,
		"users.*.ssh_authorized_keys": set,
		"users.*.ssh_import_id":       set,
		"users.*.ssh-authorized-keys": set, // both spellings are in use
		"users.*.sudo":                set,
		"groups":                      {byName, mergeDeep},
		"groups.*.*":                  set,
		"write_files":                 {byPath, laterWhole},
		"packages":                    {byPackage, laterWhole},
		"bootcmd":                     chain,
		"runcmd":                      chain,
		"mounts":                      {byMountPoint, laterWhole},
		"ssh_authorized_keys":         set,
		"ssh_import_id":               set,
		"fs_setup":                    set,
		"ntp.servers":                 set,
		"ntp.pools":                   set,
		"ca_certs.trusted":            set,
		"snap.commands":               chain,
		"resolv_conf.nameservers":     set,
		"resolv_conf.searchdomains":   set,
		"growpart.devices":            set,
	}
}

func byValue(e any) (string, bool) { return string(encode(map[string]any{"v": e})), true }

// byName takes "ops", {name: ops} and, of groups, {ops: [members]}.
func byName(e any) (string, bool) {
	switch e := e.(type) {
	case string:
		return e, true
	case map[string]any:
		if name, ok := e["name"].(string); ok {
			return name, true
		}
		if len(e) == 1 {
			for k := range e {
				return k, true
			}
		}
	}
	return "", false
}

func byPath(e any) (string, bool) {
	m, _ := e.(map[string]any)
	if add, _ := m["append"].(bool); add {
		return "", false
	}
	p, ok := m["path"].(string)
	return path.Clean(p), ok
}

func byPackage(e any) (string, bool) {
	switch e := e.(type) {
	case string:
		return e, true
	case []any:
		if len(e) > 0 {
			name, ok := e[0].(string)
			return name, ok
		}
	}
	return byValue(e)
}

// byMountPoint takes [device, mount point, …]; swap has none.
func byMountPoint(e any) (string, bool) {
	l, _ := e.([]any)
	if len(l) > 1 {
		if p, ok := l[1].(string); ok && strings.HasPrefix(p, "/") {
			return path.Clean(p), true
		}
	}
	if len(l) > 0 {
		d, ok := l[0].(string)
		return d, ok
	}
	return "", false
}
