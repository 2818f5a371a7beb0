package pooltest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Tree is all that is below a folder: names, modes and contents.
func Tree(t testing.TB, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir+"/.", func(name string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		var text []byte
		if st.Mode().IsRegular() {
			if text, err = os.ReadFile(name); err != nil {
				return err
			}
		}
		fmt.Fprintf(&out, "%s %s %q\n", strings.TrimPrefix(name, dir), st.Mode(), text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
