package multicast

import (
	"encoding/hex"
	"testing"
)

// The keys are the contract between whoever admits receivers and the sender, which may be of different versions.
func TestKeys(t *testing.T) {
	secret := Key("0123456789abcdef")
	group, err := GroupKey(secret, 7)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{string(group): true}
	for _, id := range []ID{7, 8} {
		for _, n := range []uint16{1, 2, 65535} {
			k, err := ReceiverKey(secret, id, n)
			if err != nil || len(k) != 16 || seen[string(k)] {
				t.Errorf("receiver %d of %v: %x, %v", n, id, []byte(k), err)
			}
			seen[string(k)] = true
		}
	}
	if got, want := hex.EncodeToString(group), "5c3ad15a779ec1ff55a4b0614e4a56e5"; got != want {
		t.Errorf("the group's key is %s, want %s", got, want)
	}
	if _, err := GroupKey(secret[:5], 7); err == nil {
		t.Error("a short secret is taken")
	}
	if a, b := NewID(), NewID(); a == b {
		t.Errorf("two sessions have the ID %v", a)
	}
	if a, b := NewSecret(), NewSecret(); string(a) == string(b) {
		t.Error("two secrets are the same")
	}
	if s := NewSecret().String(); s != "(secret)" {
		t.Errorf("a key is printed as %q", s)
	}
}
