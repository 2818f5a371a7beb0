package linelength

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// elsewhere has no lines of ours, or lines that a program writes.
var elsewhere = []string{".git", "bin", "build", "testdata", "RESULTS.md"}

const root = "../.."

// TestLines keeps lines short in all Go files, in README.md and in docs.
func TestLines(t *testing.T) {
	files := 0
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if slices.Contains(elsewhere, d.Name()) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		name := strings.TrimPrefix(filepath.ToSlash(file), root+"/")
		find, limit := Go, MaxGo
		if path.Ext(name) == ".md" {
			find, limit = Markdown, MaxMarkdown
		} else if path.Ext(name) != ".go" {
			return nil
		}
		if d.IsDir() {
			return nil
		}
		files++
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, n := range find(text) {
			t.Errorf("%s:%d is longer than %d columns", name, n, limit)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files, %v", files, err)
	}
}

func TestGo(t *testing.T) {
	long := strings.Repeat("x ", 70)
	for _, c := range []struct {
		name, src string
		want      []int
	}{
		{"short", "package a\n", nil},
		{"120 columns", "//" + strings.Repeat(" y", 59), nil},
		{"121 columns", "// " + strings.Repeat(" y", 59), []int{1}},
		{"a tab is four columns", "\t//" + strings.Repeat(" y", 58), []int{1}},
		{"runes, not bytes", "//" + strings.Repeat(" é", 59), nil},
		{"comment and code", "package a\n\n// " + long + "\nvar a = \"" + long + "\"\n", []int{3, 4}},
		{"raw string of one line", "package a\n\nvar a = `" + long + "`\n", []int{3}},
		{"raw string of several", "package a\n\nvar a = `\n" + long + "\n`\n\n// " + long, []int{7}},
		{"directive", "package a\n\n//go:generate " + long + "\n", nil},
		{"address", "package a\n\n// https://" + strings.Repeat("x", 120) + "\n", nil},
	} {
		if got := Go([]byte(c.src)); !slices.Equal(got, c.want) {
			t.Errorf("%s: Go = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestMarkdown(t *testing.T) {
	long := strings.Repeat("x ", 60)
	for _, c := range []struct {
		name, doc string
		want      []int
	}{
		{"110 columns", strings.Repeat("xy", 53) + " end", nil},
		{"111 columns", strings.Repeat("xy", 53) + " ends", []int{1}},
		{"paragraph", "a\n\n" + long + "\n", []int{3}},
		{"code", "    " + long + "\n\n```\n" + long + "\n```\n" + long, []int{6}},
		{"item and its paragraph", "- " + long + "\n\n    " + long + "\n\nend\n\n    " + long, []int{1, 3}},
		{"table and heading", "| " + long + "|\n# " + long, nil},
		{"address", "https://" + strings.Repeat("x", 120), nil},
	} {
		if got := Markdown([]byte(c.doc)); !slices.Equal(got, c.want) {
			t.Errorf("%s: Markdown = %v, want %v", c.name, got, c.want)
		}
	}
}
