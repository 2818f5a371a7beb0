package fleet

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

// TestGive: in each mode, secrets are for the boot that an operator approved, and for later boots with its key. A boot
// that claims to be the same machine gets none, and other settings only with the job.
func TestGive(t *testing.T) {
	for _, mode := range []Enrolment{EnrolOpen, EnrolApprove, EnrolClosed} {
		t.Run(string(mode), func(t *testing.T) {
			ctx := t.Context()
			f, _ := openSealed(t, Options{Enrolment: mode})
			if _, err := f.SetSettings(ctx, []string{macA}, to(t, secrets)); err != nil {
				t.Fatal(err)
			}
			honest := prove(t, f, "ada", uuid.NewString(), macA)
			if _, err := f.Asking(ctx, Proof{honest.Token, "ada"}); !errors.Is(err, ErrOver) {
				t.Errorf("Asking() without a job = %v, want ErrOver", err)
			}
			_, j, err := f.Install(ctx, macA, order())
			if err != nil {
				t.Fatal(err)
			}
			thief, aged := prove(t, f, "eve", uuid.NewString(), macA), prove(t, f, "", uuid.NewString(), macA)
			waits := func(who string, g Greeting, key string) string {
				t.Helper()
				a, err := f.Asking(ctx, Proof{g.Token, key})
				if mode == EnrolApprove {
					if !errors.Is(err, ErrOver) {
						t.Errorf("Asking() of %s = %v, want ErrOver", who, err)
					}
				} else if err != nil || a.MAC != macA || a.Own.Spec.ID != j.Spec.ID {
					t.Errorf("Asking() of %s = %+v, %v", who, a, err)
				}
				s, err := f.Give(ctx, Proof{g.Token, key}, j.Spec.ID, true)
				if err != nil || s.State != job.Waiting || s.Code == "" || s.Settings != nil {
					t.Errorf("Give() to %s = %+v, %v, want it to wait", who, s, err)
				}
				return s.Code
			}
			if s, err := f.Give(ctx, Proof{honest.Token, "ada"}, uuid.NewString(), false); !errors.Is(err, ErrOver) {
				t.Errorf("Give() for the job of another machine = %+v, %v, want ErrOver", s, err)
			}
			code := waits("the honest boot", honest, "ada")
			if waits("the thief", thief, "eve") == code {
				t.Error("both have the same code")
			}
			if _, err := f.Give(ctx, aged.proof(), j.Spec.ID, true); !errors.Is(err, ErrUnapproved) {
				t.Errorf("Give() to a boot without a key = %v, want ErrUnapproved", err)
			}
			for _, key := range []string{"", "eve"} {
				if _, err := f.Give(ctx, Proof{honest.Token, key}, j.Spec.ID, true); !errors.Is(err, ErrToken) {
					t.Errorf("Give() with the token and the key %q = %v, want ErrToken", key, err)
				}
			}
			if s, err := f.Give(ctx, Proof{thief.Token, "eve"}, j.Spec.ID, false); err != nil ||
				s.State != job.Ready {
				t.Errorf("Give() without secrets = %+v, %v", s, err)
			}
			if _, err := f.Approve(ctx, macA, code); err != nil {
				t.Fatal(err)
			}
			for _, boot := range []Greeting{honest, prove(t, f, "ada", uuid.NewString(), macA)} {
				a, err := f.Asking(ctx, Proof{boot.Token, "ada"})
				if err != nil || a.Settings.Empty() || !a.Proved {
					t.Errorf("Asking() of an approved boot = %+v, %v", a, err)
				}
				for range 2 {
					if s, err := f.Give(ctx, Proof{boot.Token, "ada"}, j.Spec.ID, true); err != nil ||
						s.State != job.Ready {
						t.Errorf("Give() to an approved boot = %+v, %v", s, err)
					}
				}
			}
			waits("the thief, afterwards", thief, "eve")
			told(ctx, t, f, macA, map[string]int{"gets the settings of this machine (with secrets, key ada)": 2,
				"(no secrets)": 1, "waits for approval": 2})
		})
	}
}

// told counts lines of the journal, which must not have the canary.
func told(ctx context.Context, t *testing.T, f *Fleet, key string, want map[string]int) {
	t.Helper()
	entries, err := f.read(ctx, key, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, e := range entries {
		for text := range want {
			if strings.Contains(e.Event.Message, text) {
				got[text]++
			}
		}
		if strings.Contains(encode(e), "canary") {
			t.Errorf("the journal has the secret: %s", encode(e))
		}
	}
	for text, n := range want {
		if got[text] != n {
			t.Errorf("the journal has %q %d times, want %d", text, got[text], n)
		}
	}
}

// TestKeyOfAnotherMachine: a boot with the kept key of another machine waits, and the journal says whose key it is.
func TestKeyOfAnotherMachine(t *testing.T) {
	ctx := t.Context()
	f, _ := openSealed(t, Options{})
	f.Reconfigure(Options{Enrolment: EnrolApprove})
	if _, err := f.Approve(ctx, macB, prove(t, f, "bob", uuid.NewString(), macB).Code); err != nil {
		t.Fatal(err)
	}
	f.Reconfigure(Options{})
	if _, err := f.Rename(ctx, macB, "desk-b"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.SetSettings(ctx, []string{macA}, to(t, secrets)); err != nil {
		t.Fatal(err)
	}
	_, j, err := f.Install(ctx, macA, order())
	if err != nil {
		t.Fatal(err)
	}
	g := prove(t, f, "bob", uuid.NewString(), macA)
	for range 2 {
		if s, err := f.Give(ctx, Proof{g.Token, "bob"}, j.Spec.ID, true); err != nil || s.State != job.Waiting {
			t.Errorf("Give() = %+v, %v, want it to wait", s, err)
		}
	}
	told(ctx, t, f, macA, map[string]int{"proves the key of desk-b; if the disk of desk-b was moved": 1,
		"waits for approval": 1})
}
