package job

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// matchPrefix begins a DiskRule that is a Match, as ParseMatch reads it.
const matchPrefix = "match:"

// FeatureMatch in Hello.Features: knows rules that begin with "match:". Without it an agent gets no job with one: it
// would say that no disk matches.
const FeatureMatch = "match"

// maxMatch bounds a Match as text, in bytes.
const maxMatch = 512

// fields lists the keys of a Match in the order of String.
func (m *Match) fields() []struct {
	key   string
	value *string
} {
	return []struct {
		key   string
		value *string
	}{{"model", &m.Model}, {"serial", &m.Serial}, {"wwn", &m.WWN}, {"path", &m.Path}, {"size", &m.Size},
		{"transport", &m.Transport}, {"rotational", &m.Rotational}}
}

// ParseMatch reads a match of one line, as an operator types it: KEY=VALUE and more of them after commas, such as
// "size=100G..2T,transport=nvme". A value has no comma; in a pattern, ? stands for one. The error lists every mistake.
func ParseMatch(text string) (Match, error) {
	var m Match
	if len(text) > maxMatch {
		return Match{}, fmt.Errorf("it has more than %d bytes", maxMatch)
	}
	for _, part := range strings.Split(text, ",") {
		key, value, _ := strings.Cut(part, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		field := m.field(key)
		switch {
		case field == nil:
			return Match{}, fmt.Errorf("%q is not a key: want model, serial, wwn, path, size, transport or rotational",
				Printable(key))
		case value == "":
			return Match{}, fmt.Errorf("%s has no value: write %s=VALUE", key, key)
		case *field != "":
			return Match{}, fmt.Errorf("%s is there twice", key)
		}
		*field = value
	}
	var mistakes []error
	m.Check(func(key, hint, what string) {
		if hint != "" {
			what += "; " + hint
		}
		mistakes = append(mistakes, fmt.Errorf("%s: %s", key, what))
	})
	if len(mistakes) > 0 {
		return Match{}, errors.Join(mistakes...)
	}
	return m, nil
}

func (m *Match) field(key string) *string {
	for _, f := range m.fields() {
		if f.key == key {
			return f.value
		}
	}
	return nil
}

// String writes the match as ParseMatch reads it, if no value has a comma.
func (m Match) String() string {
	var parts []string
	for _, f := range m.fields() {
		if *f.value != "" {
			parts = append(parts, f.key+"="+*f.value)
		}
	}
	return strings.Join(parts, ",")
}

// Check calls wrong for every mistake, with the key that it is in, what a person can do ("" where that is clear), and
// what is wrong. A Match without any key has none.
func (m Match) Check(wrong func(key, hint, what string)) {
	for _, f := range m.fields()[:4] { // patterns
		value := *f.value
		if value != "" && strings.Trim(value, "*?") == "" { // it would fit the disk of someone else as well
			wrong(f.key, "leave it out, or write a part of the name",
				fmt.Sprintf("%q fits everything", Printable(value)))
		}
		if len(value) > maxText || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
			wrong(f.key, "", fmt.Sprintf("it has more than %d bytes, or control characters", maxText))
		}
	}
	if m.Path != "" && !strings.HasPrefix(m.Path, "/dev/") {
		wrong("path", "", fmt.Sprintf("%q does not begin with /dev/", Printable(m.Path)))
	}
	if _, _, err := m.sizes(); err != nil {
		wrong("size", "", fmt.Sprintf("%q is not largest, smallest or a range such as 100G..2T", Printable(m.Size)))
	}
	if m.Transport != "" && !slices.Contains(Transports, m.Transport) {
		wrong("transport", "",
			fmt.Sprintf("%q is not one of %s", Printable(m.Transport), strings.Join(Transports, ", ")))
	}
	if m.Rotational != "" && m.Rotational != Rotates && m.Rotational != Solid {
		wrong("rotational", "", fmt.Sprintf("%q is not yes or no", Printable(m.Rotational)))
	}
}
