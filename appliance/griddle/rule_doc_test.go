package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestRuleDocument runs every command of docs/RULES.md, in order, on a computer with a server, beside the files of its
// examples.
func TestRuleDocument(t *testing.T) {
	const document = "../../docs/RULES.md"
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	prepare := withServer
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n# (\\S+)\n(.*?)^```$").FindAllStringSubmatch(string(b), -1) {
		prepare += "cat >" + m[1] + " <<'END'\n" + m[2] + "END\n"
	}
	out := sandbox(t, document, false, prepare, "")
	const shown = "without a machine it asks no server, and prints:\n\n```text\n"
	_, want, found := strings.Cut(string(b), shown)
	if want, _, _ = strings.Cut(want, "```"); !found || !strings.Contains(out, want) {
		t.Errorf("the commands print\n%s\nand the document has\n%s", out, want)
	}
	for _, want := range []string{"lab: subnet 10.2.0.0/16\n", "The server has 1 rules.",
		"lab acts: subnet 10.2.0.0/16: yes, 10.2.0.7"} {
		if !bytes.Contains([]byte(out), []byte(want)) {
			t.Errorf("the commands do not print %q:\n%s", want, out)
		}
	}
}
