package bless_test

import (
	"os"
	"reflect"
	"testing"

	"griddle/initramfs/mounttest"
	"griddle/initramfs/pool/history"
)

func TestMain(m *testing.M) {
	mounttest.Own()
	os.Exit(m.Run())
}

// readHistory reads the history in a folder.
func readHistory(t testing.TB, name string) []history.Event {
	t.Helper()
	dir, err := os.OpenRoot(name)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	all, err := history.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// same compares histories event by event.
func same(t testing.TB, got, want []history.Event) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("the history lacks %+v", want[i])
		case i >= len(want):
			t.Errorf("the history has %+v, which did not happen", got[i])
		case !reflect.DeepEqual(got[i], want[i]):
			t.Errorf("event %d of the history is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
}
