package bootenv

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestTogether(t *testing.T) {
	for name, c := range map[string]struct {
		all  []Env
		want Env
	}{
		"one":            {[]Env{{Good: "a"}}, Env{Good: "a"}},
		"the same":       {[]Env{{Good: "a", Sequence: 2}, {Good: "a", Sequence: 2}}, Env{Good: "a", Sequence: 2}},
		"one was away":   {[]Env{{Good: "a", Sequence: 2}, {Good: "b", Sequence: 3}}, Env{Good: "b", Sequence: 3}},
		"the other one":  {[]Env{{Good: "b", Sequence: 3}, {Good: "a", Sequence: 2}}, Env{Good: "b", Sequence: 3}},
		"before mirrors": {[]Env{{Good: "b"}, {Good: "a", Sequence: 1}}, Env{Good: "a", Sequence: 1}},
		"GRUB on the 1st": {[]Env{{Good: "a", Candidate: "b", Tries: 0}, {Good: "a", Candidate: "b", Tries: 1}},
			Env{Good: "a", Candidate: "b"}},
		"GRUB on the 2nd": {[]Env{{Good: "a", Candidate: "b", Tries: 3}, {Good: "a", Candidate: "b", Tries: 2}},
			Env{Good: "a", Candidate: "b", Tries: 2}},
		"tries of a later switch": {[]Env{{Good: "a", Candidate: "c", Tries: 1, Sequence: 4},
			{Good: "a", Candidate: "b", Tries: 0, Sequence: 3}}, Env{Good: "a", Candidate: "c", Tries: 1, Sequence: 4}},
		"a fresh root was taken": {[]Env{{Good: "a", Fresh: 7, Spare: 8}, {Good: "a", Fresh: 8}},
			Env{Good: "a", Fresh: 8}},
		"both were taken": {[]Env{{Good: "a"}, {Good: "a", Fresh: 7, Spare: 8}}, Env{Good: "a"}},
	} {
		if got := together(c.all); got != c.want {
			t.Errorf("%s: together = %+v, want %+v", name, got, c.want)
		}
	}
}

// What is written is on all partitions. One that is lost, or cannot be written, does not matter, and is as the others
// after the next write.
func TestWriteAll(t *testing.T) {
	both := []string{t.TempDir(), t.TempDir()}
	is := func(what string, want Env, esps ...string) {
		t.Helper()
		if got, err := ReadAll(esps); err != nil || got != want {
			t.Errorf("%s: ReadAll = %+v, %v, want %+v", what, got, err, want)
		}
	}
	write := func(good string, esps ...string) {
		t.Helper()
		if err := WriteAll(esps, Env{Good: good}); err != nil {
			t.Fatal(err)
		}
	}
	if e, err := ReadAll(both); !errors.Is(err, ErrDamaged) {
		t.Errorf("ReadAll of nothing = %+v, %v", e, err)
	}
	if err := WriteAll(nil, Env{Good: "a"}); err == nil {
		t.Error("WriteAll to no partition succeeds")
	}
	write("one", both...)
	is("written", Env{Good: "one", Sequence: 1}, both...)
	write("two", both[1]) // the first disk is away
	is("one is away", Env{Good: "two", Sequence: 2}, both...)
	if err := os.RemoveAll(filepath.Join(both[0], Folder)); err != nil {
		t.Fatal(err)
	}
	is("one is lost", Env{Good: "two", Sequence: 2}, both...)
	if err := os.WriteFile(filepath.Join(both[0], Folder), nil, 0o644); err != nil { // in the way of the folder
		t.Fatal(err)
	}
	write("three", both...)
	is("one cannot be written", Env{Good: "three", Sequence: 3}, both...)
	if err := os.Remove(filepath.Join(both[0], Folder)); err != nil {
		t.Fatal(err)
	}
	write("four", both...)
	is("it can be written again", Env{Good: "four", Sequence: 4}, both[0])
	is("the other one", Env{Good: "four", Sequence: 4}, both[1])

	alone := t.TempDir()
	write("one", alone)
	is("a pool on one disk has no sequence", Env{Good: "one"}, alone)
}
