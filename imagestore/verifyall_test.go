package imagestore_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/imagetest"
)

// TestVerifyStore breaks each kind of blob in turn: the fault is found with the images that it hits, and
// repaired from a copy.
func TestVerifyStore(t *testing.T) {
	f := newFixture(t)
	f.versions()
	f.publish("db:1@amd64", way{"", imagetest.Bytes(8, 10_000)})
	copied := f.another()
	copied.pull(f.s, "*")
	one, err := f.s.Resolve(t.Context(), imagetest.Ref(t, "web:1"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := f.s.Resolve(t.Context(), imagetest.Ref(t, "web:2"))
	if err != nil {
		t.Fatal(err)
	}
	all := "web:1@amd64 web:2@amd64 web:3@amd64"
	for i, c := range []struct {
		name string
		blob blob.Digest
		hits string
	}{
		{"image document", one.Document, "web:1@amd64"},
		{"content manifest", one.Identity.Content.Blob, "db:1@amd64 " + all}, // they share it
		{"stream document", one.Streams[0].Document, all},
		{"index", one.Streams[0].Index, all},
		{"encoding", one.Streams[0].Encoding, all},
		{"delta", two.Streams[0].Encoding, "web:2@amd64"},
	} {
		for _, how := range []string{"damaged", "cut", "missing"}[i%3 : i%3+1] {
			switch how {
			case "damaged":
				f.damage(c.blob, 20)
			case "cut":
				err = os.Truncate(f.blobFile(c.blob), 10)
			case "missing":
				err = os.Remove(f.blobFile(c.blob))
			}
			if err != nil {
				t.Fatal(err)
			}
			v, err := f.s.VerifyStore(t.Context(), imagestore.VerifyStoreOptions{})
			if err != nil || v.OK || len(v.Faults) != 1 || v.Faults[0].Blob != c.blob ||
				strings.Join(v.Faults[0].Images, " ") != c.hits {
				t.Errorf("%s %s: %+v, %v; want %s with %s", c.name, how, v, err, c.blob, c.hits)
			}
			v, err = f.s.VerifyStore(t.Context(), imagestore.VerifyStoreOptions{RepairFrom: copied.reader(plain)})
			if err != nil || !v.OK || !slices.Equal(v.Repaired, []blob.Digest{c.blob}) {
				t.Errorf("repairing the %s that is %s: %+v, %v", c.name, how, v, err)
			}
		}
	}
	// Nothing needs this one; it is a fault all the same, and there is nothing to repair.
	d, _, err := f.s.Blobs.Put(t.Context(), strings.NewReader("an orphan of some length"), "")
	if err != nil {
		t.Fatal(err)
	}
	f.damage(d, 3)
	v, err := f.overServer().s.VerifyStore(t.Context(), imagestore.VerifyStoreOptions{RepairFrom: copied.s})
	if err != nil || v.OK || len(v.Faults) != 1 || v.Faults[0].Blob != d || len(v.Faults[0].Images) != 0 ||
		v.Images != 4 || v.Blobs != len(f.blobs()) {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestRepairFromNothing has the other store be no better.
func TestRepairFromNothing(t *testing.T) {
	f := newFixture(t)
	l := f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 10_000)})
	copied := f.another()
	copied.pull(f.s, "web")
	f.damage(l.Streams[0].Encoding, 20)
	copied.damage(l.Streams[0].Encoding, 20)
	if v, err := f.s.VerifyStore(t.Context(), imagestore.VerifyStoreOptions{RepairFrom: copied.s}); err == nil || v.OK {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := f.s.VerifyStore(t.Context(), imagestore.VerifyStoreOptions{RepairFrom: f.another().s}); err != nil ||
		v.OK {
		t.Errorf("%+v, %v", v, err)
	}
}
