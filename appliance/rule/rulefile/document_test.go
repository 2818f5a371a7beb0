package rulefile

import (
	"os"
	"strings"
	"testing"
)

// TestDocument reads every example of docs/RULES.md. The text after an example is what its rules say, or its mistakes.
func TestDocument(t *testing.T) {
	const document = "../../../docs/RULES.md"
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var kind, name, said string
	var block []string
	examples := 0
	for i, line := range strings.Split(string(b), "\n") {
		fence, is := strings.CutPrefix(line, "```")
		switch {
		case is && kind == "":
			kind, block = fence, nil
		case !is:
			block = append(block, line)
		case kind == "yaml":
			if said != "" {
				t.Errorf("%s:%d: the example before has no text after it", document, i+1)
			}
			first, found := strings.CutPrefix(block[0], "# ")
			if !found {
				t.Fatalf("%s:%d: the example has no name", document, i+1)
			}
			name = first
			d, err := Parse(name, []byte(strings.Join(block, "\n")+"\n"))
			if said = d.String(); err != nil {
				said = err.Error() + "\n"
			}
			if err != nil && name != "wrong.yaml" {
				t.Errorf("%s:%d: %v", document, i+1, err)
			}
			examples++
			kind = ""
		case kind == "text" && said == "": // of a command: TestRuleDocument runs it
			kind = ""
		case kind == "text":
			if got := strings.Join(block, "\n") + "\n"; got != said {
				t.Errorf("%s:%d: %s gives\n%s\nand the document has\n%s", document, i+1, name, said, got)
			}
			said, kind = "", ""
		default:
			kind = ""
		}
	}
	if examples < 4 || said != "" {
		t.Errorf("%s has %d examples, and the last one has no text after it", document, examples)
	}
}
