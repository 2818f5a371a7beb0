package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func open(t *testing.T) (*Store, *clock, string) {
	t.Helper()
	c := &clock{time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	file := filepath.Join(t.TempDir(), "accounts.db")
	s, err := Open(t.Context(), file, c.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, c, file
}

const password = "correct horse battery"

var admin = Who{Name: AdminToken, Role: Admin}

func add(t *testing.T, s *Store, name string, role Role, patterns ...string) {
	t.Helper()
	if _, err := s.Add(t.Context(),
		NewAccount{Name: name, Role: role, Prefixes: patterns, Password: password}); err != nil {
		t.Fatal(err)
	}
}

// TestLogin goes through a login: the token counts until it expires, and the role is the one that the account has then.
func TestLogin(t *testing.T) {
	s, c, file := open(t)
	ctx := t.Context()
	add(t, s, "ada", Operator)
	if _, err := s.Add(ctx, NewAccount{Name: "ada", Role: Viewer}); !errors.Is(err, ErrExists) {
		t.Errorf("a second account of that name: %v", err)
	}
	secret, token, err := s.Login(ctx, "ada", password, "10.0.0.9", "laptop", time.Hour)
	if err != nil || token.Role != Operator || token.Account != "ada" {
		t.Fatalf("Login() = %+v, %v", token, err)
	}
	w, err := s.Find(ctx, secret)
	if err != nil || w.Name != "ada" || w.Role != Operator || w.Token != token.ID || !w.Until.Equal(c.Add(time.Hour)) {
		t.Errorf("Find() = %+v, %v", w, err)
	}
	viewer := Viewer
	if _, err := s.Set(ctx, "ada", Change{Role: &viewer}); err != nil {
		t.Fatal(err)
	}
	if w, err := s.Find(ctx, secret); err != nil || w.Role != Viewer {
		t.Errorf("after the role was taken away: %+v, %v", w, err)
	}
	c.Time = c.Add(time.Hour)
	if _, err := s.Find(ctx, secret); !errors.Is(err, ErrToken) {
		t.Errorf("an expired token: %v", err)
	}
	for _, wrong := range []string{"", "x", Mark, secret[:len(secret)-1], secret + "a", strings.ToUpper(secret)} {
		if _, err := s.Find(ctx, wrong); !errors.Is(err, ErrToken) {
			t.Errorf("Find(%q) = %v", wrong, err)
		}
	}
	other, _, _ := open(t)
	if _, err := other.Find(ctx, secret); !errors.Is(err, ErrToken) {
		t.Errorf("another server takes the token: %v", err)
	}
	// Neither the password nor the token is in the file or beside it.
	files, err := filepath.Glob(file + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(password)) || bytes.Contains(b, []byte(strings.TrimPrefix(secret, Mark))) {
			t.Errorf("%s has a secret", f)
		}
		if st, err := os.Stat(f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", f, st.Mode(), err)
		}
	}
}

// TestPasswordChanges voids the tokens that the old password made; deleting the account voids all.
func TestPasswordChanges(t *testing.T) {
	s, _, _ := open(t)
	ctx := t.Context()
	add(t, s, "ada", Operator)
	first, _, err := s.Login(ctx, "ada", password, "10.0.0.9", "laptop", 0)
	if err != nil {
		t.Fatal(err)
	}
	short, longer := "short", "another password"
	if _, err := s.Set(ctx, "ada", Change{Password: &short}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a short password: %v", err)
	}
	if _, err := s.Set(ctx, "ada", Change{Password: &longer}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(ctx, first); !errors.Is(err, ErrToken) {
		t.Errorf("the token of the old password: %v", err)
	}
	if _, _, err := s.Login(ctx, "ada", password, "10.0.0.9", "laptop", 0); !errors.Is(err, ErrLogin) {
		t.Errorf("the old password: %v", err)
	}
	second, _, err := s.Login(ctx, "ada", longer, "10.0.0.9", "laptop", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, "ada"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(ctx, second); !errors.Is(err, ErrToken) {
		t.Errorf("the token of a deleted account: %v", err)
	}
	if err := s.Delete(ctx, "ada"); !errors.Is(err, ErrUnknown) {
		t.Errorf("deleting it again: %v", err)
	}
	add(t, s, "ada", Viewer)
	if _, err := s.Find(ctx, second); !errors.Is(err, ErrToken) {
		t.Errorf("a new account of that name gets the old token: %v", err)
	}
}

// TestGuesses guesses: at one account from one address, at many from one, and at one from many. No address that did not
// guess is locked out before many did.
func TestGuesses(t *testing.T) {
	g := newGuesses()
	now := time.Now()
	try := func(name, address string, n int) (allowed int) {
		for range n {
			if _, ok := g.take(name, address, now); ok {
				allowed++
			}
		}
		return allowed
	}
	if got := try("ada", "10.0.0.1", 50); got != guessesBoth {
		t.Errorf("%d guesses at one account from one address", got)
	}
	if got := try("ada", "10.0.0.2", 1); got != 1 {
		t.Error("one computer locked a person out")
	}
	for i := range 100 {
		try(fmt.Sprint("user", i), "10.0.0.3", 1)
	}
	if got := try("bob", "10.0.0.3", 1); got != 0 {
		t.Error("an address guesses at as many accounts as it likes")
	}
	all := 0
	for i := range 100 {
		all += try("eve", fmt.Sprint("10.0.1.", i), 5)
	}
	if all != guessesAccount {
		t.Errorf("%d guesses at one account from many addresses", all)
	}
	for range 3 * guessesBoth { // one that was right does not count
		back, ok := g.take("frank", "10.0.0.4", now)
		if !ok {
			t.Fatal("right logins count")
		}
		back()
	}
	now = now.Add(guessWindow)
	if got := try("ada", "10.0.0.1", 50); got != guessesBoth {
		t.Errorf("an hour later there are %d guesses", got)
	}
	for i := range 3 * rememberedAtAll {
		try("x", fmt.Sprint("address", i), 1)
	}
	if n := len(g.count); n > rememberedAtAll {
		t.Errorf("%d are remembered", n)
	}
}

// TestWrongLogins has names that exist and others answered alike, and limits both.
func TestWrongLogins(t *testing.T) {
	s, _, _ := open(t)
	ctx := t.Context()
	add(t, s, "ada", Operator)
	if _, err := s.Add(ctx, NewAccount{Name: "robot", Role: Operator}); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"ada", "unknown", "robot"} {
		address := fmt.Sprint("10.0.0.", i)
		for range 2 {
			if _, _, err := s.Login(ctx, name, "a wrong password", address, "x", 0); !errors.Is(err, ErrLogin) {
				t.Errorf("Login(%s) = %v", name, err)
			}
		}
		for range guessesBoth - 2 {
			s.guesses.take(name, address, s.now())
		}
		if _, _, err := s.Login(ctx, name, password, address, "x", 0); !errors.Is(err, ErrGuesses) {
			t.Errorf("Login(%s) after many guesses = %v", name, err)
		}
	}
	if _, _, err := s.Login(ctx, "robot", "", "10.0.9.9", "x", 0); !errors.Is(err, ErrLogin) {
		t.Errorf("an account without a password: %v", err)
	}
	if _, _, err := s.Login(ctx, "ada", strings.Repeat("x", 1<<20), "10.0.9.9", "x", 0); !errors.Is(err, ErrLogin) {
		t.Errorf("a huge password: %v", err)
	}
}

// TestLoginsWait has more logins at once than may wait.
func TestLoginsWait(t *testing.T) {
	s, _, _ := open(t)
	s.hashing <- struct{}{} // another one's turn, for long
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	for range waiting {
		go func() {
			_, err := s.verify(ctx, "", "x")
			done <- err
		}()
	}
	for len(s.queue) < waiting {
		time.Sleep(time.Millisecond)
	}
	if _, err := s.verify(ctx, "", "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("verify() = %v", err)
	}
	cancel()
	for range waiting {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("verify() = %v", err)
		}
	}
}
