package pool

import (
	"errors"
	"testing"

	"griddle/initramfs/bootloader/bootenv"
)

func TestCountStart(t *testing.T) {
	p, _ := installed(t)
	is := func(want bootenv.Env) {
		t.Helper()
		c, err := p.Read()
		if got := (bootenv.Env{Good: c.Good, Candidate: c.Candidate, Tries: c.Tries}); err != nil || got != want {
			t.Errorf("the pool says %+v, %v, want %+v", got, err, want)
		}
	}
	count := func(name string, want bool, refused error) {
		t.Helper()
		if try, err := p.CountStart(name); try != want || !errors.Is(err, refused) {
			t.Errorf("CountStart(%s) = %t, %v, want %t, %v", name, try, err, want, refused)
		}
	}
	count("one@amd64", false, nil)
	count("two@amd64", false, ErrRefused)
	count("bare", false, ErrRefused)
	count("three", false, ErrUnknown)
	if err := p.Switch("two@amd64"); err != nil {
		t.Fatal(err)
	}
	count("one@amd64", false, ErrRefused)
	count("two@amd64", true, nil)
	is(bootenv.Env{Good: "one@amd64", Candidate: "two@amd64"})
	// Its tries are used up: the boot loader starts the good root.
	count("two@amd64", false, ErrRefused)
	count("one@amd64", false, nil)
	if err := p.UncountStart("two@amd64"); err != nil {
		t.Error(err)
	}
	is(bootenv.Env{Good: "one@amd64", Candidate: "two@amd64", Tries: 1})
	if err := p.UncountStart("one@amd64"); err != nil {
		t.Error(err)
	}
	is(bootenv.Env{Good: "one@amd64", Candidate: "two@amd64", Tries: 1})
}
