package userdata

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// encode writes a normal value as YAML that 1.1 and 1.2 read alike, with sorted keys. No Go library writes that: they
// leave words and numbers bare that 1.1 takes for something else (12:30, 0o17, 1_000, yes, =).
func encode(m map[string]any) []byte {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		encodeEntry(&b, k, m[k], 0)
	}
	return []byte(b.String())
}

func encodeEntry(b *strings.Builder, key string, v any, indent int) {
	b.WriteString(strings.Repeat(" ", indent))
	b.WriteString(scalar(key))
	b.WriteByte(':')
	encodeAfter(b, v, indent+2)
}

// encodeAfter writes v behind a key's colon or at its own lines, which are indented by indent.
func encodeAfter(b *strings.Builder, v any, indent int) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			b.WriteString(" {}\n")
			return
		}
		b.WriteByte('\n')
		for _, k := range slices.Sorted(maps.Keys(v)) {
			encodeEntry(b, k, v[k], indent)
		}
	case []any:
		if len(v) == 0 {
			b.WriteString(" []\n")
			return
		}
		b.WriteByte('\n')
		encodeList(b, v, indent)
	case string:
		if literal(v) {
			encodeLiteral(b, v, indent)
			return
		}
		b.WriteString(" " + scalar(v) + "\n")
	default:
		b.WriteString(" " + scalar(v) + "\n")
	}
}

func encodeList(b *strings.Builder, list []any, indent int) {
	for _, e := range list {
		b.WriteString(strings.Repeat(" ", indent) + "-")
		m, ok := e.(map[string]any)
		if !ok || len(m) == 0 {
			if l, ok := e.([]any); ok && flat(l) {
				b.WriteString(" " + flow(l) + "\n")
				continue
			}
			encodeAfter(b, e, indent+2)
			continue
		}
		for i, k := range slices.Sorted(maps.Keys(m)) {
			if i == 0 {
				b.WriteString(" " + scalar(k) + ":")
				encodeAfter(b, m[k], indent+4)
				continue
			}
			encodeEntry(b, k, m[k], indent+2)
		}
	}
}

// flat reports whether a list reads well in one line: a command, the fields of a mount.
func flat(l []any) bool {
	for _, e := range l {
		switch e := e.(type) {
		case map[string]any, []any:
			return false
		case string:
			if literal(e) {
				return false
			}
		}
	}
	return len(l) > 0
}

func flow(l []any) string {
	var words []string
	for _, e := range l {
		w := scalar(e)
		if s, ok := e.(string); ok && w == s && strings.ContainsAny(s, ",[]{}") {
			w = quote(s)
		}
		words = append(words, w)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// literal reports whether s can stand as a block of its own lines, in which every byte means itself.
func literal(s string) bool {
	if !strings.Contains(strings.TrimRight(s, "\n"), "\n") || s[0] == ' ' || s[0] == '\n' || s[0] == '\t' ||
		len(s)-len(strings.TrimRight(s, "\n")) > 1 {
		return false
	}
	for line := range strings.SplitSeq(strings.TrimRight(s, "\n"), "\n") {
		// YAML readers differ about blanks at a line's end.
		if strings.HasSuffix(line, " ") || strings.HasSuffix(line, "\t") {
			return false
		}
		for _, r := range line {
			if r != '\t' && !printable(r) {
				return false
			}
		}
	}
	return true
}

func encodeLiteral(b *strings.Builder, s string, indent int) {
	body, ended := strings.CutSuffix(s, "\n")
	b.WriteString(" |")
	if !ended {
		b.WriteByte('-')
	}
	b.WriteByte('\n')
	for line := range strings.SplitSeq(body, "\n") {
		if line != "" {
			b.WriteString(strings.Repeat(" ", indent) + line)
		}
		b.WriteByte('\n')
	}
}

// scalar writes a scalar, or a key, in one line.
func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0" // 1.1 wants the point
		}
		return s
	case string:
		if plain(v) {
			return v
		}
		return quote(v)
	}
	panic(fmt.Sprintf("a %T in a normal value", v)) // normal lets nothing else through
}

// plain reports whether s is the same string in every YAML without quotes.
func plain(s string) bool {
	if s == "" || s[0] != '/' && !letter(s[0]) {
		return false
	}
	switch strings.ToLower(s) {
	case "yes", "on", "true", "no", "off", "false", "y", "n", "null", "nan", "inf":
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case letter(c), c >= '0' && c <= '9', strings.IndexByte("_-./@+=,", c) >= 0:
		case c == ' ' && i+1 < len(s) && s[i+1] != ' ':
		case c == ':' && i+1 < len(s) && s[i+1] != ' ':
		default:
			return false
		}
	}
	return true
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// quote writes s in double quotes, ASCII alone but for printable letters of other scripts.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case printable(r):
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// printable is what YAML 1.1 lets stand unescaped, less what some readers take for a line break or a mark.
func printable(r rune) bool {
	return r >= ' ' && r <= '~' || r >= 0xa0 && r <= 0xd7ff && r != 0x2028 && r != 0x2029 ||
		r >= 0xe000 && r <= 0xfffd && r != 0xfeff
}

// carried reports whether a string can be told to cloud-init in YAML at all.
func carried(s string) error {
	switch {
	case !utf8.ValidString(s):
		return errors.New("text that is not UTF-8; bytes belong in a file")
	case strings.ContainsRune(s, 0):
		return errors.New("a NUL character; bytes belong in a file")
	}
	return nil
}

// number refuses floats that YAML's readers do not agree about.
func number(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return errors.New("a number that is infinite or not a number")
	}
	return nil
}
