package catalog

import (
	"strings"
	"testing"

	"griddle/imagestore/minisign"
)

func newKey(t testing.TB) *minisign.SecretKey {
	t.Helper()
	k, err := minisign.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// short is the versions of web among refs.
func short(refs []string) string {
	var out []string
	for _, r := range refs {
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(r, "web:"), "@amd64"))
	}
	return strings.Join(out, " ")
}
