package glossary

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// elsewhere has no words of ours, or words that stay as they were released or measured. The name of what a recipe
// makes changes with every word in it.
var elsewhere = []string{".git", "bin", "build", "testdata", "migrations", "recipe"}

const root = "../.."

// TestWords keeps the words of docs/GLOSSARY.md that we do not use out of what users and importers read. Each folder
// is a subtest, so that `go test ./appliance/glossary -run TestWords/imagestore` checks it and all below.
func TestWords(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs/GLOSSARY.md"))
	if err != nil {
		t.Fatal(err)
	}
	words, err := Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string][]string{}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains(elsewhere, d.Name()) {
			return filepath.SkipDir
		}
		name = strings.TrimPrefix(filepath.ToSlash(name), root+"/")
		if !d.IsDir() && read(name) {
			folders[path.Dir(name)] = append(folders[path.Dir(name)], name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder, files := range folders {
		t.Run(folder, func(t *testing.T) {
			for _, name := range files {
				check(t, words, name)
			}
		})
	}
}

// read says whether a file has text for users: Go that is not a test, documents but for measured results, and what
// programs embed.
func read(name string) bool {
	switch path.Ext(name) {
	case ".go":
		return !strings.HasSuffix(name, "_test.go")
	case ".md":
		return name != "docs/RESULTS.md"
	case ".yaml", ".txt", ".sh", ".json", ".html", ".tmpl":
		return true
	}
	return name == "Makefile"
}

func check(t *testing.T, words []Word, name string) {
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	texts := []Text{Plain(content)}
	switch {
	case name == "docs/GLOSSARY.md":
		texts = []Text{Plain(Without(content))}
	case strings.HasSuffix(name, ".go"):
		if texts, err = Source(name, content); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range texts {
		for _, w := range words {
			for _, m := range w.Find(text) {
				line, column := place(content, text.At(m[0]))
				t.Errorf("%s:%d:%d: %q; write: %s", name, line, column, text.Body[m[0]:m[1]], w.Instead)
			}
		}
	}
}

// place returns the line and the column in bytes of an offset, both from 1.
func place(content []byte, offset int) (line, column int) {
	before := content[:offset]
	return 1 + bytes.Count(before, []byte("\n")), offset - bytes.LastIndexByte(before, '\n')
}
