package setting

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Machine is what a hostname can be made of.
type Machine struct {
	Name   string // of the machine at the server
	Serial string // SMBIOS serial number, "" if there is none
	MAC    string // of the interface that the machine boots from, "52:54:00:12:34:56"

	part bool // see PartOfMachine
}

// AnyMachine has everything that a hostname can be made of: settings of many machines are checked for it.
var AnyMachine = Machine{Name: "machine", Serial: "serial", MAC: "00:00:5e:00:53:00"}

// PartOfMachine is AnyMachine for the settings of an image or a site: what each machine may add is not a mistake there.
var PartOfMachine = Machine{Name: AnyMachine.Name, Serial: AnyMachine.Serial, MAC: AnyMachine.MAC, part: true}

// Resolve makes the settings of one machine and checks them. Errors wrap ErrInvalid and list every mistake.
func (m Merged) Resolve(machine Machine) (Settings, error) {
	s, err := decode(m.values)
	if err != nil {
		return Settings{}, err
	}
	var wrong error
	s.Hostname, wrong = machine.expand(s.Hostname) // "" where it is wrong
	if err := errors.Join(wrong, s.check(machine.part)); err != nil {
		return Settings{}, err
	}
	return s, nil
}

// expand puts the machine's values into a hostname.
func (m Machine) expand(pattern string) (string, error) {
	out := pattern
	for _, known := range [][2]string{{"{name}", m.Name}, {"{serial}", m.Serial},
		{"{mac}", strings.ReplaceAll(m.MAC, ":", "")}} {
		what, value := known[0], known[1]
		if !strings.Contains(pattern, what) {
			continue
		}
		value = HostPart(value, 63)
		if value == "" {
			return "", Mistake{"hostname", fmt.Sprintf("%s needs %s, and this machine has none", quote(pattern), what)}
		}
		out = strings.ReplaceAll(out, what, value)
	}
	if i := strings.IndexByte(out, '{'); i >= 0 {
		end := strings.IndexByte(out[i:], '}')
		return "", Mistake{"hostname", fmt.Sprintf("%s is not one of {name}, {serial} and {mac}",
			quote(out[i:max(i+1, i+end+1)]))}
	}
	return out, nil
}

// HostPart is text reduced to the characters of one label of a hostname (RFC 1123 section 2.1), at most limit of them.
// It may be empty.
func HostPart(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, strings.TrimSpace(s))
	s = strings.Trim(s, "-")
	return strings.Trim(s[:min(len(s), limit)], "-")
}

// Value is one setting of a machine, for people.
type Value struct {
	Place string `json:"place"` // such as users[ada].keys[0]
	Text  string `json:"text"`  // the value on one line; of a secret only that it is one
	From  string `json:"from"`  // the document that it comes from
}

// Values lists all values with their origin, sorted by place. It shows no secret.
func (m Merged) Values() []Value {
	var out []Value
	m.walk(place{}, m.values, false, func(v Value) { out = append(out, v) })
	return out
}

func (m Merged) walk(at place, v any, secret bool, show func(Value)) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			m.walk(at.key(k), v[k], secret || hidden(at, v, k), show)
		}
	case []any:
		for i, e := range v {
			m.walk(at.item(i, e), e, secret, show)
		}
	default:
		value := Value{Place: at.shown, Text: text(v), From: m.From(at.shown)}
		if secret {
			value.Text = "(secret)"
		}
		show(value)
	}
}

// hidden reports whether the value of a key in v may be secret.
func hidden(at place, v map[string]any, key string) bool {
	switch key {
	case "passwordHash":
		return v[key] != "!" && v[key] != "*"
	case "passphrase":
		return true
	case "content", "base64", "script":
		return v["secret"] == true
	case "data", "userData":
		return at.pattern == "configure" || at.pattern == ""
	}
	return false
}

// text is a value on one line of at most 80 characters.
func text(v any) string {
	s, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			return "?"
		}
		return string(b)
	}
	if lines := strings.Count(strings.TrimSuffix(s, "\n"), "\n"); lines > 0 {
		return fmt.Sprintf("(%d lines)", lines+1)
	}
	if q := quote(s); len(q) != len(s)+2 {
		return q
	}
	return s
}
