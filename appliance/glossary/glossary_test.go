package glossary

import (
	"fmt"
	"strings"
	"testing"
)

const table = heading + "\n\nText with `nothing` to read.\n\n" +
	"| Do not write | Write | Except |\n| --- | --- | --- |\n" +
	"| `is no`, `are no` | is not a | `there is no` |\n" +
	"| `anew` | again | |\n" +
	"\n## After\n\n| `after` | the table | |\n"

func TestParse(t *testing.T) {
	words, err := Parse([]byte(table))
	if err != nil || len(words) != 2 || words[0].Instead != "is not a" {
		t.Errorf("Parse = %+v, %v, want two words", words, err)
	}
	for _, doc := range []string{"", heading + "\n", heading + "\n| `a` | b |\n", heading + "\n| `a` | | |\n"} {
		if words, err := Parse([]byte(doc)); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", doc, words)
		}
	}
}

func TestFind(t *testing.T) {
	words, err := Parse([]byte(table))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{
		{"%q is no store", "[3 8]"},
		{"there is no store, and this IS\n no store", "[28 34]"},
		{"it is not a store; isno, is nothing, renewanew", ""},
		{"there is now", ""},
		{"Anew: what is no more anew", "[11 16] [0 4] [22 26]"},
	} {
		var got []string
		for _, w := range words {
			for _, m := range w.Find(Plain([]byte(c.text))) {
				got = append(got, fmt.Sprint(m))
			}
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("Find(%q) = %s, want %s", c.text, got, c.want)
		}
	}
}

func TestWithout(t *testing.T) {
	got := string(Without([]byte(table)))
	if len(got) != len(table) || strings.Contains(got, "anew") || !strings.Contains(got, "`nothing`") {
		t.Errorf("Without = %q", got)
	}
}

func TestSource(t *testing.T) {
	const src = "// Package p is\n// no package.\npackage p\n\n" +
		"import _ \"anew\"\n\n" +
		"// hidden is no comment that counts.\nconst hidden = \"ä\\n\\\"anew\\\"\" // anew\n\n" +
		"// Shown\nvar Shown = \"this is \" +\n\t\"no \" + hidden + (`raw` + \"\\tanew\")\n\n" +
		"// T is a type.\ntype T struct {\n\t// Field anew.\n\tField int // anew\n\tprivate int // anew\n}\n\n" +
		"// Do anew.\nfunc (t T) Do() { println(f(\"x\"+y, 1+2)) // anew\n}\n"
	texts, err := Source("p.go", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, text := range texts {
		got = append(got, strings.TrimSpace(string(text.Body)))
		for i := range text.Body {
			if at := text.At(i); text.Body[i] > ' ' && text.Body[i] < 0x7f &&
				src[at] != text.Body[i] && src[at] != '\\' {
				t.Errorf("byte %d of %q is at %d, which is %q", i, text.Body, at, src[at])
			}
		}
	}
	want := []string{
		"Package p is\n   no package.", "Shown", "Field anew.", "anew", "T is a type.", "Do anew.",
		"ä\n\"anew\"", "this is no \x00raw\tanew", "x\x00", "\x00\x00",
	}
	for _, w := range want {
		if !strings.Contains("|"+strings.Join(got, "|")+"|", "|"+w+"|") {
			t.Errorf("Source does not have %q", w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("Source = %q, want %q", got, want)
	}
	if _, err := Source("p.go", []byte("not Go")); err == nil {
		t.Error("Source of what does not parse succeeds")
	}
}
