package firstboot

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"griddle/cloud/stack"
	"griddle/cloud/userdata"
)

// Login is a user that the user-data of the stack file declares, with ssh keys: sshd lets it in
// beside the declared users.
type Login struct {
	Name string
	Sudo bool // may become root without a password
}

// loginName is what an AllowUsers line can hold without having another meaning (sshd_config(5): patterns, USER@HOST).
var loginName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

// Logins are those of a server, by name. What of its user-data cannot be read has none. notes say which of its users
// cannot log in, and why.
func Logins(s *stack.Stack, x stack.Server, o Options) (found []Login, notes []string) {
	parts, err := declaredParts(x, o, asWritten)
	if err != nil {
		return nil, nil
	}
	return logins(s, parts)
}

// asWritten is a cloud.Lookup that leaves references as they are.
func asWritten(r stack.Reference) (string, error) { return r.String(), nil }

// logins looks for users with keys in declared parts. notes say who will not get in, and why.
func logins(s *stack.Stack, parts []userdata.Part) (found []Login, notes []string) {
	m, err := userdata.Merge(parts)
	if err != nil {
		return nil, nil // Merge with the other parts fails as well, and says why
	}
	if has(m.Config["ssh_authorized_keys"]) || has(m.Config["ssh_import_id"]) {
		notes = append(notes, "ssh keys at the top of user-data are for the image's own default user, "+
			"which is not let in: give them to a user under users, or write them under keys in the stack file")
	}
	if slices.ContainsFunc(m.Opaque, func(o userdata.Piece) bool {
		return o.Type == "text/jinja2" || strings.HasPrefix(o.Type, "text/x-include")
	}) {
		notes = append(notes, "what a template or an #include of user-data makes is known on the server alone: "+
			"users in it are not let in by ssh; write them under users in the stack file or in a #cloud-config")
	}
	users, _ := m.Config["users"].([]any)
	for _, e := range users {
		u, _ := e.(map[string]any)
		name, _ := u["name"].(string)
		if u == nil || slices.ContainsFunc(s.Users, func(o stack.User) bool { return o.Name == name }) {
			continue
		}
		keys := has(u["ssh_authorized_keys"]) || has(u["ssh_import_id"])
		switch {
		case keys && name == "root":
			notes = append(notes,
				"user-data gives ssh keys to root, which cannot log in: give them to a user with sudo")
		case keys && !loginName.MatchString(name):
			notes = append(notes, fmt.Sprintf("the user %q of user-data is not let in by ssh: "+
				"a login is a lower-case letter and up to 31 letters, digits, - and _", name))
		case keys:
			found = append(found, Login{name, unlimited(u["sudo"])})
		case slices.ContainsFunc(slices.Collect(maps.Keys(u)), func(k string) bool {
			return k == "passwd" || k == "hashed_passwd" || k == "plain_text_passwd"
		}):
			notes = append(notes, fmt.Sprintf("the user %q of user-data has a password and no ssh key: "+
				"every password is locked at the first boot, so no one can log in as it", name))
		}
	}
	slices.SortFunc(found, func(a, b Login) int { return strings.Compare(a.Name, b.Name) })
	return found, notes
}

// has says whether a value holds anything.
func has(v any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) > 0
	case string:
		return strings.TrimSpace(v) != ""
	}
	return false
}

// unlimited says whether a sudo rule of cloud-init's lets its user do all without a password.
func unlimited(v any) bool {
	rules, _ := v.([]any)
	if s, ok := v.(string); ok {
		rules = []any{s}
	}
	return slices.ContainsFunc(rules, func(r any) bool {
		s, _ := r.(string)
		return strings.Contains(strings.ReplaceAll(s, " ", ""), "NOPASSWD:ALL")
	})
}
