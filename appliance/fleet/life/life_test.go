package life

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

const (
	doc   = "../../../docs/GROUPS.md"
	begin = "<!-- made by `go test ./appliance/fleet/life -update` -->\n"
	end   = "<!-- end -->\n"
)

var update = flag.Bool("update", false, "draw the life in docs/GROUPS.md again")

// drawn is the life as the document has it: a table of the states, and the ways between them.
func drawn() string {
	var b strings.Builder
	b.WriteString("\n| State | Meaning |\n| --- | --- |\n")
	for _, s := range States {
		fmt.Fprintf(&b, "| %s | %s |\n", s.State, s.Meaning)
	}
	b.WriteString("\n```mermaid\nstateDiagram-v2\n")
	for _, s := range Steps {
		for _, from := range s.From {
			name := string(from)
			if from == None {
				name = "[*]"
			}
			fmt.Fprintf(&b, "    %s --> %s : %s\n", name, s.To, s.What)
		}
	}
	b.WriteString("```\n\n")
	return b.String()
}

// TestDrawing: docs/GROUPS.md draws the life that the code has.
func TestDrawing(t *testing.T) {
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the drawing, between %q and %q", doc, begin, end)
	}
	if want := drawn(); have != want {
		if !*update {
			t.Fatalf("%s draws another life than the code has; run go test ./appliance/fleet/life -update", doc)
		}
		if err := os.WriteFile(doc, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSteps: the ways are between states that exist, a pair has one at most, and each state is reached and left.
func TestSteps(t *testing.T) {
	pairs, reached, left := map[[2]State]string{}, map[State]bool{}, map[State]bool{}
	for _, s := range Steps {
		for _, from := range s.From {
			if was := pairs[[2]State{from, s.To}]; was != "" || from == s.To || s.What == "" {
				t.Errorf("%q to %q: %q, and %q before", from, s.To, s.What, was)
			}
			pairs[[2]State{from, s.To}], reached[s.To], left[from] = s.What, true, true
			if Why(from, s.To) != s.What {
				t.Errorf("Why(%q, %q) = %q, want %q", from, s.To, Why(from, s.To), s.What)
			}
		}
	}
	for _, s := range States {
		if got, ok := MustBe(string(s.State)); !ok || got != s.State || !reached[s.State] || !left[s.State] {
			t.Errorf("%q is not a state that is reached and left", s.State)
		}
	}
	if _, ok := MustBe(""); ok || len(reached) != len(States) {
		t.Errorf("%d states are reached, and there are %d", len(reached), len(States))
	}
}

// TestState: the state of all facts is one of the states, and only one that is retired, or that works, hides others.
func TestState(t *testing.T) {
	for bits := range 1 << 8 {
		on := func(i int) bool { return bits>>i&1 == 1 }
		f := Facts{Named: on(0), Known: on(1), Deployed: on(2), Silent: on(3), Half: on(4), Retired: on(5),
			Work: Work(bits >> 6)}
		s := f.State()
		if _, ok := MustBe(string(s)); !ok {
			t.Errorf("%+v is %q", f, s)
		}
		if f.Retired != (s == Retired) || f.Work == Installs && !f.Retired && s != Installing {
			t.Errorf("%+v is %q", f, s)
		}
		if s == Discovered && (f.Named || f.Deployed) || s == Away && !f.Deployed || s == Ready && !f.Known {
			t.Errorf("%+v is %q", f, s)
		}
		if err := MayRetire(s); (err == nil) != (s != Retired && s != Installing && s != Updating && s != Erasing) {
			t.Errorf("MayRetire(%q) = %v", s, err)
		}
	}
}
