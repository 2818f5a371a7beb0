package imagestore_test

import (
	"os/exec"
	"strings"
	"testing"

	"griddle/imagestore/imagetest"
)

// TestMinisignVerifiesOurs runs the peer on documents as the package doc says that a person does.
func TestMinisignVerifiesOurs(t *testing.T) {
	minisign := imagetest.Need(t, "minisign")
	f := newFixture(t)
	l := f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 1000)})
	dir := t.TempDir()
	names, err := f.s.WriteDocuments(t.Context(), imagetest.Ref(t, l.Ref), dir)
	if err != nil || len(names) != 2 {
		t.Fatalf("WriteDocuments = %q, %v", names, err)
	}
	for _, name := range names {
		out, err := exec.Command(minisign, "-Vm", name, "-P", f.key.Public().String()).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Trusted comment: griddle ") {
			t.Errorf("minisign -V: %v\n%s", err, out)
		}
		if out, err := exec.Command(minisign, "-Vm", name,
			"-P", imagetest.NewKey(t).Public().String()).CombinedOutput(); err == nil {
			t.Errorf("minisign -V with another key is content:\n%s", out)
		}
	}
	script := `head -n1 "$1" >"$2/m" && tail -n+2 "$1" >"$2/m.minisig" && minisign -QVm "$2/m" -P "$3"`
	out, err := exec.Command("sh", "-c", script, "sh", f.blobFile(l.Document), dir,
		f.key.Public().String()).CombinedOutput()
	if err != nil {
		t.Errorf("the commands of the package doc: %v\n%s", err, out)
	}
}
