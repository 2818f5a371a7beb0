package stack

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// sshKeys reads a list of keys, each a line of authorized_keys or a path.
func (r *reader) sshKeys(v value) (out []Key) {
	r.list(v, func(v value) {
		s := strings.TrimSpace(r.text(v))
		switch {
		case s == "":
		case strings.ContainsAny(s, "\n\r\x00"):
			r.fault(v, "", "a key is one line")
		case strings.Contains(s, "PRIVATE KEY"):
			r.fault(v, "name the file that ends in .pub", "this is a private key")
		case regexp.MustCompile(`^(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/=]{40,}( .*)?$`).MatchString(s):
			out = append(out, Key{Line: s})
		case strings.ContainsAny(s, " \t"):
			r.fault(v, "TYPE BASE64 COMMENT, such as ssh-ed25519 AAAA... name, or the path of a file", "%q is no ssh public key", short(s))
		default:
			out = append(out, Key{File: s})
		}
	})
	return out
}

func (r *reader) user(v value) (u User) {
	if s, ok := scalar(v.node); ok && s != "" {
		u.Name = r.login(v)
		return u
	}
	named := false
	r.keys(v, map[string]func(value){
		"name":   func(v value) { named = true; u.Name = r.login(v) },
		"keys":   func(v value) { u.Keys = r.sshKeys(v) },
		"sudo":   func(v value) { u.Sudo = r.boolean(v) },
		"groups": func(v value) { u.Groups = r.texts(v) },
	})
	if !named {
		r.fault(v, "", "the user's name is missing")
	}
	return u
}

// secrets reads name: {env|file|generate}.
func (r *reader) secrets(v value) (out []Secret) {
	for _, e := range r.entries(v) {
		s := Secret{Name: e.key}
		if !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,39}$`).MatchString(e.key) {
			r.fault(e.at, "", "%q cannot be a secret's name", short(e.key))
			continue
		}
		if _, ok := scalar(e.node); ok {
			r.fault(e.value, "name its source: {env: VARIABLE}, {file: PATH} or {generate: 32}", "a stack file holds no secrets")
			continue
		}
		r.keys(e.value, map[string]func(value){
			"env":      func(v value) { s.Env = r.text(v) },
			"file":     func(v value) { s.File = r.text(v) },
			"identity": func(v value) { s.Identity = r.text(v) },
			"generate": func(v value) { s.Generate = r.number(v, 12, 256) },
		})
		n := 0
		for _, set := range []bool{s.Env != "", s.File != "", s.Generate > 0} {
			if set {
				n++
			}
		}
		if n != 1 && !r.has(e.path) {
			r.fault(e.at, "", "a secret has one source: env, file or generate")
		}
		if s.Identity != "" && s.File == "" {
			r.fault(e.at, "", "an identity decrypts a file, and there is none")
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Secret) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
