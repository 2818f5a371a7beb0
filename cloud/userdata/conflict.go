package userdata

import (
	"fmt"
	"strings"
)

// Conflict says that two parts differed.
type Conflict struct {
	Path string // such as users[ops].shell
	Lost Said
	Won  Said
}

// Said is what a part said. A value that may be secret, or is long, is shown as its size.
type Said struct {
	From  string // Part.From
	Value string
}

// String is one line for people.
func (c Conflict) String() string {
	return fmt.Sprintf("%s: %s (%s) instead of %s (%s)", c.Path, c.Won.Value, c.Won.From, c.Lost.Value, c.Lost.From)
}

func (m *Merged) conflict(at place, old, add any, from string) {
	m.Conflicts = append(m.Conflicts, Conflict{
		Path: at.shown,
		Lost: Said{m.from(at.shown), told(at, old)},
		Won:  Said{from, told(at, add)},
	})
}

// from finds which part a place is from: its own or what it stands in.
func (m *Merged) from(shown string) string {
	for shown != "" {
		if f, ok := m.origin[shown]; ok {
			return f
		}
		shown = shown[:max(0, strings.LastIndexAny(shown, ".["))]
	}
	return ""
}

// told is a value in a few words.
func told(at place, v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case map[string]any:
		return fmt.Sprintf("a mapping of %d", len(v))
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	case string:
		if len(v) > 60 || secretive(at.shown) {
			return fmt.Sprintf("%d bytes", len(v))
		}
		return fmt.Sprintf("%q", v)
	}
	if secretive(at.shown) {
		return "a number"
	}
	return fmt.Sprint(v)
}

// secretive reports whether the name of a value says that it may be a secret, wherever in the path that is said.
func secretive(shown string) bool {
	shown = strings.ToLower(shown)
	for _, word := range []string{"pass", "pwd", "secret", "token", "key", "content", "cred", "cert", "hash", "auth",
		"cmd"} {
		if strings.Contains(shown, word) {
			return true
		}
	}
	return false
}
