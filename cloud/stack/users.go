package stack

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// keys reads ssh public keys: each a line of authorized_keys, or the path of a file with such lines.
func (r *reader) keys(n *node, path string) []Key {
	var out []Key
	r.list(n, path, 100, func(n *node, path string) {
		var k Key
		if n.kind == kindMapping {
			r.object(n, path, "key", []field{{"file", func(n *node, path string) { k.File = r.local(n, path) }}}, "file")
		} else {
			k = r.key(n, path)
		}
		if k != (Key{}) && slices.Contains(out, k) {
			r.wrong(n.at, path, "", "this key is there already")
			return
		}
		out = append(out, k)
	})
	return out
}

func (r *reader) key(n *node, path string) Key {
	if n.kind == kindText && strings.Contains(n.value.(string), "PRIVATE KEY") {
		r.wrong(n.at, path, "name the file that ends in .pub", "this is a private key, which belongs nowhere but into a file of its own")
		return Key{}
	}
	s, ok := r.text(n, path, "an ssh public key, or the path of a file with some", 16<<10)
	if !ok {
		return Key{}
	}
	if !strings.ContainsAny(s, " \t") {
		return Key{File: s}
	}
	public, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(s))
	switch {
	case err != nil:
		r.wrong(n.at, path, "write {file: …} where it is the path of a file", "%s is not an ssh public key", short(s))
	case len(options) > 0 || len(bytes.TrimSpace(rest)) > 0:
		r.wrong(n.at, path, "", "nothing may be before the type of a key")
	case public.Type() == "ssh-dss":
		r.wrong(n.at, path, "make an ed25519 key", "servers take no DSA keys any more")
	default:
		return Key{Line: s}
	}
	return Key{}
}

func (p *parsing) users(n *node, path string) {
	p.list(n, path, 100, func(n *node, path string) {
		var u User
		var sudo *node
		p.object(n, path, "user", []field{
			{"name", func(n *node, path string) { u.Name = p.login(n, path) }},
			{"keys", func(n *node, path string) { u.Keys = p.keys(n, path) }},
			{"sudo", func(n *node, path string) { u.Sudo, sudo = p.boolean(n, path), n }},
			{"groups", func(n *node, path string) {
				p.list(n, path, 32, func(n *node, path string) {
					u.Groups = append(u.Groups, p.checked(n, path, "the name of a group", 32, account))
				})
			}},
		}, "name")
		if u.Name != "" && slices.ContainsFunc(p.stack.Users, func(o User) bool { return o.Name == u.Name }) {
			p.wrong(n.at, path, "", "the user %s is there already", u.Name)
			return
		}
		if u.Name == p.stack.Admin && u.Name != "" {
			if sudo != nil && sudo.kind == kindBool && !u.Sudo {
				p.wrong(sudo.at, below(path, "sudo"), "", "%s is the user that griddle logs in as, who must be able to become root", u.Name)
			}
			u.Sudo = true
		}
		p.stack.Users = append(p.stack.Users, u)
	})
}

// login reads the name of a user.
func (r *reader) login(n *node, path string) string {
	s := r.checked(n, path, "the name of a user", 32, account)
	if s == "root" {
		r.wrong(n.at, path, "users with sudo: true become root", "nobody logs in as root")
		return ""
	}
	return s
}

// account says whether s is a name that Debian's adduser takes without being forced (NAME_REGEX, and "_" first).
func account(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == "" && s != "" && (s[0] == '_' || s[0] >= 'a')
}

func (p *parsing) ssh(n *node, path string) {
	p.object(n, path, "ssh", []field{
		{"port", func(n *node, path string) { p.stack.SSH.Port = uint16(p.number(n, path, 1, 65535)) }},
		{"from", func(n *node, path string) { p.stack.SSH.From = p.sources(n, path) }},
	})
}

func (p *parsing) secrets(n *node, path string) {
	p.named(n, path, 1000, func(e entry, path string) {
		s := Secret{Name: e.name}
		if !identifier(e.name) {
			p.wrong(e.at, path, "", "the name of a secret must be letters, digits, hyphens and underlines, a letter first")
		}
		var identity *node
		p.object(e.value, path, "secret", []field{
			{"env", func(n *node, path string) {
				s.Env = p.checked(n, path, "the name of a variable", 255, func(s string) bool { return identifier(s) && !strings.Contains(s, "-") || strings.HasPrefix(s, "_") })
			}},
			{"file", func(n *node, path string) { s.File = p.local(n, path) }},
			{"identity", func(n *node, path string) { s.Identity, identity = p.local(n, path), n }},
			{"generate", func(n *node, path string) { s.Generate = p.number(n, path, 8, 1024) }},
		})
		p.oneOf(e.value, path, "env", "file", "generate")
		if identity != nil && e.value.find("file") == nil {
			p.wrong(identity.at, below(path, "identity"), "", "only a file is decrypted")
		}
		p.stack.Secrets = append(p.stack.Secrets, s)
	})
	slices.SortFunc(p.stack.Secrets, func(a, b Secret) int { return strings.Compare(a.Name, b.Name) })
}

// oneOf demands exactly one of some keys.
func (r *reader) oneOf(n *node, path string, keys ...string) {
	if n.kind != kindMapping {
		return
	}
	var there []string
	for _, k := range keys {
		if n.find(k) != nil {
			there = append(there, k)
		}
	}
	switch len(there) {
	case 0:
		r.wrong(n.at, path, "", "one of %s must be said", strings.Join(keys, ", "))
	case 1:
	default:
		r.wrong(n.at, path, "", "only one of %s can be said, not %s", strings.Join(keys, ", "), strings.Join(there, " and "))
	}
}
