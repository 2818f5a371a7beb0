package api

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"griddle/appliance/account"
)

const page = "../../docs/API.md"

// TestPage: docs/API.md has a row for each call of the document. `make api` writes them again.
func TestPage(t *testing.T) {
	h, err := New(Options{Admin: adminToken, Accounts: new(account.Store)})
	if err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const from, to = "<!-- calls: made by `make api` -->\n", "<!-- end of calls -->\n"
	before, rest, ok := strings.Cut(string(was), from)
	_, after, also := strings.Cut(rest, to)
	if !ok || !also {
		t.Fatalf("%s has no place for the calls", page)
	}
	now := []byte(before + from + rows(h.api.OpenAPI()) + to + after)
	if bytes.Equal(was, now) {
		return
	}
	if !*update {
		t.Fatalf("%s has not the calls of the code; run make api", page)
	}
	if err := os.WriteFile(page, now, 0o644); err != nil {
		t.Fatal(err)
	}
}

// rows is the table of the calls of a document.
func rows(doc *huma.OpenAPI) string {
	var b strings.Builder
	b.WriteString("| Call | Role | What it does | Body | Answer |\n| --- | --- | --- | --- | --- |\n")
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			role, ok := op.Extensions["x-role"].(account.Role)
			if !ok {
				role = "none"
			}
			body, answers := "", map[string]bool{}
			if op.RequestBody != nil {
				body = named(op.RequestBody.Content["application/json"].Schema)
			}
			for status, r := range op.Responses {
				for _, m := range r.Content {
					if status != "default" {
						answers[named(m.Schema)] = true
					}
				}
			}
			fmt.Fprintf(&b, "| `%s %s` | %s | %s | %s | %s |\n", op.Method, path, role, op.Summary, body,
				strings.Join(slices.Sorted(maps.Keys(answers)), ", "))
		}
	}
	return b.String()
}

// named is the name of a schema, with that of its items for a list.
func named(s *huma.Schema) string {
	switch {
	case s.Ref != "":
		return "`" + strings.TrimPrefix(s.Ref, schemas) + "`"
	case s.Type == huma.TypeArray:
		return "list of " + named(s.Items)
	case s.Type == "":
		return "JSON"
	}
	return s.Type
}
