package stack

import (
	"fmt"
	"strings"
	"testing"

	"griddle/cloud/yamltree"
)

// TestBounds has files that would take much time, stack or memory be refused for it.
func TestBounds(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 12 {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1,
			strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	deep := "a0: &a0 [x]\n"
	for i := range 40 {
		deep += fmt.Sprintf("a%d: &a%d [*a%d]\n", i+1, i+1, i)
	}
	for _, c := range []struct{ name, file, want string }{
		{"bytes", strings.Repeat("#", yamltree.MaxBytes+1), "1:1: the file has 1048577 bytes, 1048576 are allowed"},
		{"brackets", strings.Repeat("[", 1<<19), "more than 32 mappings and lists are inside one another"},
		{"braces", strings.Repeat("{a: ", 1<<17), "more than 32 mappings and lists are inside one another"},
		{"dashes", strings.Repeat("- ", 1<<18), "more than 32 mappings and lists are inside one another"},
		{"questions", strings.Repeat("? ", 1<<18), "more than 32 mappings and lists are inside one another"},
		{"staircase", staircase(500), "more than 32 mappings and lists are inside one another"},
		{"keys", strings.Repeat("a: 1\n", 1<<17), "the mapping has more than 4096 keys"},
		{"quotes", strings.Repeat("\"a\": \"b\"\n", 1<<16), "the mapping has more than 4096 keys"},
		{"entries", strings.Repeat("- a\n", 1<<17), "the file has more than 60000 words and signs"},
		{"bomb", bomb, "the file has more than 50000 values"},
		{"deep aliases", deep, "more than 32 mappings and lists are inside one another"},
		{"itself", "a: &a {b: *a}\n", "the anchor &a is inside itself"},
	} {
		_, err := Parse("f", []byte(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Parse = %.200v, want %s", c.name, err, c.want)
		}
	}
}

func staircase(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%sa:\n", strings.Repeat(" ", i))
	}
	return b.String()
}

func TestManyFaults(t *testing.T) {
	_, err := Parse("f", []byte("version: 1\nname: x\nprovider: qemu\nroles: {a: {image: x, size: y}}\nkeys: ["+
		strings.Repeat("'', ", 99)+"'']\nusers:\n"+strings.Repeat("- {a: 1, b: 2, c: 3, d: 4, e: 5}\n", 100)))
	faults, ok := err.(yamltree.Faults)
	if !ok || len(faults) != 500+1 || faults[500].Text != "there are 200 more faults from here on" {
		t.Errorf("Parse = %d faults, the last %v", len(faults), faults[len(faults)-1])
	}
}

func TestScaled(t *testing.T) {
	s, err := Parse("f", []byte("version: 1\nname: x\nprovider: qemu\ndefaults: {image: x, size: y}\n"+
		"roles: {head: {}, worker: {after: head, count: 2, max: 4}}\nservers: {alone: {}, extra: {role: worker}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	hosts := func(s *Stack) string {
		return strings.Join(names(s.Servers, func(s Server) string { return s.Name }), " ")
	}
	if got, want := hosts(s), "head-1 worker-1 worker-2 extra alone"; got != want {
		t.Errorf("servers = %s, want %s", got, want)
	}
	for n, want := range map[int]string{4: "head-1 worker-1 worker-2 worker-3 worker-4 extra alone",
		1: "head-1 worker-1 extra alone"} {
		if got, err := s.Scaled(map[string]int{"worker": n}); err != nil || hosts(got) != want ||
			got.Roles[1].Count != n {
			t.Errorf("Scaled(%d) = %v, want %s", n, err, want)
		}
	}
	for _, c := range []map[string]int{{"worker": 5}, {"worker": 0}, {"wroker": 1}} {
		if _, err := s.Scaled(c); err == nil {
			t.Errorf("Scaled(%v) is no error", c)
		}
	}
	if s.Roles[1].Count != 2 || len(s.Servers) != 5 {
		t.Error("Scaled changed its stack")
	}
}
