package appliance

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore"
)

func held(t *testing.T) *state {
	t.Helper()
	s, err := openState(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

func TestStateHasOneHolder(t *testing.T) {
	s := held(t)
	_, err := openState(s.dir)
	var advice Advice
	if !errors.As(err, &advice) || !strings.Contains(err.Error(), s.dir) {
		t.Errorf("openState() of a held directory = %v, want an Advice that names it", err)
	}
	if st, err := os.Stat(s.dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v, want 0700", st.Mode(), err)
	}
}

func TestAdminToken(t *testing.T) {
	s := held(t)
	first, err := s.adminToken()
	if err != nil || len(first) < 40 {
		t.Fatalf("adminToken() = %q, %v", first, err)
	}
	if again, err := s.adminToken(); err != nil || again != first {
		t.Errorf("adminToken() again = %q, %v, want %q", again, err, first)
	}
	if st, err := os.Stat(s.path(TokenFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the token's file has mode %v, %v, want 0600", st.Mode(), err)
	}
	if err := os.WriteFile(s.path(TokenFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.adminToken(); err == nil {
		t.Error("adminToken() of an empty file succeeded")
	}
}

// TestSiteKeyIsNotReplaced starts with the wrong state directory, or one whose key was lost: the
// store stays its site's.
func TestSiteKeyIsNotReplaced(t *testing.T) {
	ctx, right, wrong := t.Context(), held(t), held(t)
	store, err := imagestore.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := right.siteKey(ctx, store)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := right.siteKey(ctx, store); err != nil || again.Public() != key.Public() {
		t.Errorf("siteKey() again = %v, want the same key", err)
	}
	var advice Advice
	if _, err := wrong.siteKey(ctx, store); !errors.As(err, &advice) ||
		!strings.Contains(err.Error(), key.Public().ID()) {
		t.Errorf("siteKey() of another state directory = %v, want an Advice that names the key %s",
			err, key.Public().ID())
	}
	if _, err := os.Stat(wrong.path(SiteKeyFile)); err == nil {
		t.Error("a refusal left a key")
	}
	if keys, err := store.Keys(ctx); err != nil || len(keys) != 1 {
		t.Errorf("the store trusts %d keys, %v, want 1", len(keys), err)
	}
	if err := store.Revoke(ctx, key.Public()); err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.siteKey(ctx, store); err != nil {
		t.Errorf("siteKey() where the old site's key is revoked = %v", err)
	}
}

func TestSecretsAreTightened(t *testing.T) {
	s := held(t)
	if _, err := s.adminToken(); err != nil {
		t.Fatal(err)
	}
	if open, err := s.tighten(); err != nil || len(open) != 0 {
		t.Errorf("tighten() = %v, %v, want nothing to do", open, err)
	}
	if err := os.Chmod(s.path(TokenFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if open, err := s.tighten(); err != nil || len(open) != 1 || open[0] != TokenFile+" (0644)" {
		t.Errorf("tighten() = %v, %v, want the token's file", open, err)
	}
	if st, err := os.Stat(s.path(TokenFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the token's file has mode %v, %v, want 0600", st.Mode(), err)
	}
	if err := s.sealer().Make(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.path(settingsKey), 0o640); err != nil {
		t.Fatal(err)
	}
	if open, err := s.tighten(); err != nil || len(open) != 1 || open[0] != settingsKey+" (0640)" {
		t.Errorf("tighten() = %v, %v, want the key of settings", open, err)
	}
}
