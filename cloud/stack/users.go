package stack

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"griddle/cloud/yamltree"
)

// keys reads ssh public keys: each a line of authorized_keys, or the path of a file with such lines.
func (p *parsing) keys(n *yamltree.Node, path string) []Key {
	var out []Key
	p.List(n, path, 100, func(n *yamltree.Node, path string) {
		var k Key
		if n.Kind == yamltree.Mapping {
			p.Object(n, path, "key",
				[]yamltree.Field{yamltree.Key("file",
					func(n *yamltree.Node, path string) { k.File = p.local(n, path) })}, "file")
		} else {
			k = p.key(n, path)
		}
		if k != (Key{}) && slices.Contains(out, k) {
			p.Wrong(n.At, path, "", "the key is in the list twice")
			return
		}
		out = append(out, k)
	})
	return out
}

func (p *parsing) key(n *yamltree.Node, path string) Key {
	if n.Kind == yamltree.Text && strings.Contains(n.Value.(string), "PRIVATE KEY") {
		p.Wrong(n.At, path, "name the file that ends in .pub", "this is a private key, which must not be in this file")
		return Key{}
	}
	s, ok := p.Line(n, path, "an ssh public key, or the path of a file with some", 16<<10)
	if !ok {
		return Key{}
	}
	if !strings.ContainsAny(s, " \t") {
		return Key{File: s}
	}
	public, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(s))
	switch {
	case err != nil:
		p.Wrong(n.At, path, "if it is the path of a file, write {file: …}", "%s is not an ssh public key",
			yamltree.Short(s))
	case len(options) > 0 || len(bytes.TrimSpace(rest)) > 0:
		p.Wrong(n.At, path, "", "a key must start with its type")
	case public.Type() == "ssh-dss":
		p.Wrong(n.At, path, "make an ed25519 key", "servers no longer accept DSA keys")
	default:
		return Key{Line: s}
	}
	return Key{}
}

func (p *parsing) users(n *yamltree.Node, path string) {
	p.List(n, path, 100, func(n *yamltree.Node, path string) {
		var u User
		var sudo *yamltree.Node
		p.Object(n, path, "user", []yamltree.Field{
			yamltree.Key("name", func(n *yamltree.Node, path string) { u.Name = p.login(n, path) }),
			yamltree.Key("keys", func(n *yamltree.Node, path string) { u.Keys = p.keys(n, path) }),
			yamltree.Key("sudo", func(n *yamltree.Node, path string) { u.Sudo, sudo = p.Boolean(n, path), n }),
			yamltree.Key("groups", func(n *yamltree.Node, path string) {
				p.List(n, path, 32, func(n *yamltree.Node, path string) {
					u.Groups = append(u.Groups, p.Checked(n, path, "the name of a group", 32, account))
				})
			}),
		}, "name")
		if u.Name != "" && slices.ContainsFunc(p.stack.Users, func(o User) bool { return o.Name == u.Name }) {
			p.Wrong(n.At, path, "", "the user %s is in the list twice", u.Name)
			return
		}
		if u.Name == p.stack.Admin && u.Name != "" {
			if sudo != nil && sudo.Kind == yamltree.Bool && !u.Sudo {
				p.Wrong(sudo.At, yamltree.Below(path, "sudo"), "",
					"griddle logs in as %s, who must be able to become root", u.Name)
			}
			u.Sudo = true
		}
		p.stack.Users = append(p.stack.Users, u)
	})
}

// login reads the name of a user.
func (p *parsing) login(n *yamltree.Node, path string) string {
	s := p.Checked(n, path, "the name of a user", 32, account)
	if s == "root" {
		p.Wrong(n.At, path, "users with sudo: true become root", "no one can log in as root")
		return ""
	}
	return s
}

// account says whether s is a name that Debian's adduser takes without being forced (NAME_REGEX, and "_" first).
func account(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == "" && s != "" && (s[0] == '_' || s[0] >= 'a')
}

func (p *parsing) ssh(n *yamltree.Node, path string) {
	p.Object(n, path, "ssh", []yamltree.Field{
		yamltree.Key("port",
			func(n *yamltree.Node, path string) { p.stack.SSH.Port = uint16(p.Number(n, path, 1, 65535)) }),
		yamltree.Key("from", func(n *yamltree.Node, path string) { p.stack.SSH.From = p.sources(n, path) }),
	})
}

func (p *parsing) secrets(n *yamltree.Node, path string) {
	p.Named(n, path, 1000, func(e yamltree.Entry, path string) {
		s := Secret{Name: e.Name}
		if !identifier(e.Name) {
			p.Wrong(e.At, path, "",
				"the name of a secret must be letters, digits, hyphens and underlines, a letter first")
		}
		var identity *yamltree.Node
		p.Object(e.Value, path, "secret", []yamltree.Field{
			yamltree.Key("env", func(n *yamltree.Node, path string) {
				s.Env = p.Checked(n, path, "the name of a variable", 255,
					func(s string) bool {
						return identifier(s) && !strings.Contains(s, "-") ||
							strings.HasPrefix(s, "_")
					})
			}),
			yamltree.Key("file", func(n *yamltree.Node, path string) { s.File = p.local(n, path) }),
			yamltree.Key("identity",
				func(n *yamltree.Node, path string) { s.Identity, identity = p.local(n, path), n }),
			yamltree.Key("generate", func(n *yamltree.Node, path string) { s.Generate = p.Number(n, path, 8, 1024) }),
		})
		p.oneOf(e.Value, path, "env", "file", "generate")
		if identity != nil && e.Value.Find("file") == nil {
			p.Wrong(identity.At, yamltree.Below(path, "identity"), "", "identity needs file: only a file is decrypted")
		}
		p.stack.Secrets = append(p.stack.Secrets, s)
	})
	slices.SortFunc(p.stack.Secrets, func(a, b Secret) int { return strings.Compare(a.Name, b.Name) })
}

// oneOf demands exactly one of some keys.
func (p *parsing) oneOf(n *yamltree.Node, path string, keys ...string) {
	if n.Kind != yamltree.Mapping {
		return
	}
	var there []string
	for _, k := range keys {
		if n.Find(k) != nil {
			there = append(there, k)
		}
	}
	switch len(there) {
	case 0:
		p.Wrong(n.At, path, "", "one of %s is missing", strings.Join(keys, ", "))
	case 1:
	default:
		p.Wrong(n.At, path, "", "only one of %s is allowed, not %s", strings.Join(keys, ", "),
			strings.Join(there, " and "))
	}
}
