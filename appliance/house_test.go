package appliance

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// rule says what the packages below from must not import, not even through others. Conformance suites, the packages
// whose names end in "test", are tests and have no rules.
type rule struct {
	from   string   // package, or "dir/..." for it and all below
	itself bool     // only what the package imports itself counts
	except []string // packages below from that the rule leaves alone
	never  []string // packages or "dir/..."
	but    []string // packages or "dir/..." that never leaves alone
	only   []string // of ours, it imports these and no others; nil for any
	why    string
}

// shapeless names say nothing of what a package is for.
var shapeless = []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "shared", "lib", "pkg", "core",
	"types", "models", "tools"}

type listed struct {
	ImportPath, Name, Doc string
	Imports, Deps         []string
	Error                 *struct{ Err string }
}

// TestHouse keeps the import rules. It is one run of the Go tool over everything, tests left out.
func TestHouse(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e",
		"-json=ImportPath,Name,Doc,Imports,Deps,Error", "griddle/...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v\n%s", err, stderr.String())
	}
	seen := map[string]bool{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen[p.ImportPath] = true
		if p.Doc == "" && p.Error == nil && p.Name != "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		if slices.Contains(shapeless, path.Base(p.ImportPath)) || slices.Contains(shapeless, p.Name) {
			t.Errorf("%s: the name %q says nothing of what the package is for", p.ImportPath, path.Base(p.ImportPath))
		}
		for _, r := range house {
			if !below(p.ImportPath, r.from) || strings.HasSuffix(p.Name, "test") ||
				slices.ContainsFunc(r.except, func(e string) bool { return below(p.ImportPath, e) }) {
				continue
			}
			deps := p.Deps
			if r.itself {
				deps = p.Imports
			}
			for _, dep := range deps {
				within := func(pattern string) bool { return below(dep, pattern) }
				other := r.only != nil && below(dep, "griddle/...") && !slices.ContainsFunc(r.only, within)
				never := slices.ContainsFunc(r.never, within) && !slices.ContainsFunc(r.but, within)
				if dep != p.ImportPath && (other || never) {
					how := "through others"
					if slices.Contains(p.Imports, dep) {
						how = "itself"
					}
					t.Errorf("%s imports %s (%s): %s", p.ImportPath, dep, how, r.why)
				}
			}
		}
	}
	for _, r := range house {
		if from := strings.TrimSuffix(r.from, "/..."); !seen[from] && from != "griddle" && from == r.from {
			t.Errorf("there is a rule for %s, which does not exist", from)
		}
	}
}

// below says whether pkg is pattern, or below it where it ends in "/...".
func below(pkg, pattern string) bool {
	dir, all := strings.CutSuffix(pattern, "/...")
	return pkg == dir || all && strings.HasPrefix(pkg, dir+"/")
}
