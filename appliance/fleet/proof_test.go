package fleet

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

// prove is a hello with a key.
func prove(t *testing.T, f *Fleet, key, boot string, macs ...string) Greeting {
	t.Helper()
	g, err := f.Hello(t.Context(), "10.0.0.9", key, hello("", boot, macs...))
	if err != nil {
		t.Fatalf("Hello(%v) with key %q = %v", macs, key, err)
	}
	return g
}

// TestTokenNeedsItsKey: who has the token of a boot that said hello with a key can do nothing with it, and neither ends
// nor replaces it.
func TestTokenNeedsItsKey(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	boot := uuid.NewString()
	g := prove(t, f, "ada", boot, macA)
	for _, key := range []string{"", "eve"} {
		by := Proof{g.Token, key}
		_, session := f.Session(ctx, by)
		_, _, choose := f.Choose(ctx, by, order())
		_, _, again := f.Continue(ctx, by, uuid.NewString(), "largest")
		_, events := f.Append(ctx, by, job.Events{Boot: boot, Events: []job.Event{{Seq: 1, Message: "eve was here"}}})
		_, stream := f.Streaming(ctx, by)
		_, hello := f.Hello(ctx, stranger, key, hello("", boot, macA))
		for name, err := range map[string]error{"Session": session, "Choose": choose, "Continue": again,
			"Append": events, "Streaming": stream, "Hello": hello} {
			if !errors.Is(err, ErrToken) {
				t.Errorf("%s() with the key %q = %v, want ErrToken", name, key, err)
			}
		}
	}
	if entries, err := f.read(ctx, macA, 0, 10); err != nil || len(entries) != 0 {
		t.Errorf("the journal has %+v, %v", entries, err)
	}
	by := Proof{g.Token, "ada"}
	if _, _, err := f.Choose(ctx, by, order()); err != nil {
		t.Errorf("Choose() with the key of the boot = %v", err)
	}
	prove(t, f, "ada", boot, macA)
	if _, err := f.Session(ctx, by); !errors.Is(err, ErrToken) {
		t.Errorf("Session() with the token before the last hello = %v, want ErrToken", err)
	}
}

// TestKeyComesLater: a boot that an older server greeted proves its key to this one from the next hello on.
func TestKeyComesLater(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	boot := uuid.NewString()
	g := prove(t, f, "", boot, macA)
	for _, key := range []string{"", "ada"} {
		if _, err := f.Session(ctx, Proof{g.Token, key}); err != nil {
			t.Errorf("Session() of a boot without a key, with %q = %v", key, err)
		}
	}
	g = prove(t, f, "ada", boot, macA)
	if _, err := f.Session(ctx, Proof{g.Token, ""}); !errors.Is(err, ErrToken) {
		t.Errorf("Session() without the key = %v, want ErrToken", err)
	}
}
