package luks

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"griddle/appliance/recoverykey"
)

// enrolling is systemd-cryptenroll with a volume whose first key is pw.
func enrolling(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "systemd-cryptenroll", args...)
	cmd.Env = append(os.Environ(), "PASSWORD=pw")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("systemd-cryptenroll (run `make deps`): %v: %s", err, said.String())
	}
	return string(out)
}

// TestRecovery makes a volume by each set of keys that a layout can have: each key opens it, and no other one.
func TestRecovery(t *testing.T) {
	t.Parallel()
	tpm := start(t).open
	extend(t, tpm, pcr)
	key := recoverykey.New()
	for name, c := range map[string]struct {
		v     Volume
		slots string // as systemd-cryptenroll has them
	}{
		"passphrase, recovery": {Volume{Passphrase: []byte("pw"), Recovery: []byte(key)},
			"0 password 1 recovery"},
		"recovery":       {Volume{Recovery: []byte(key)}, "0 recovery"},
		"recovery, tpm2": {Volume{Recovery: []byte(key), TPM: true}, "0 recovery 1 tpm2"},
		"passphrase, recovery, tpm2": {Volume{Passphrase: []byte("pw"), Recovery: []byte(key), TPM: true},
			"0 password 1 recovery 2 tpm2"},
	} {
		node, ctx := image(t), t.Context()
		c.v.UUID = volume
		if c.v.Passphrase != nil {
			c.v.Cost = Cheap
		}
		if err := c.v.make(ctx, node, tpm); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := Opens(ctx, node, []byte(key)); err != nil {
			t.Errorf("%s: the recovery key: %v", name, err)
		}
		for _, wrong := range []string{recoverykey.New(), strings.ReplaceAll(key, "-", ""), key + "\n"} {
			if err := Opens(ctx, node, []byte(wrong)); !errors.Is(err, ErrKey) {
				t.Errorf("%s: another key: %v, want ErrKey", name, err)
			}
		}
		if err := Opens(ctx, node, []byte("pw")); (err == nil) != (c.v.Passphrase != nil) {
			t.Errorf("%s: the passphrase: %v", name, err)
		}
		if c.v.TPM {
			if sealed, err := unsealed(ctx, node, tpm); err != nil || Opens(ctx, node, sealed) != nil {
				t.Errorf("%s: the TPM: %v", name, err)
			}
		}
		list := strings.Join(strings.Fields(strings.Replace(enrolling(t, node), "SLOT TYPE", "", 1)), " ")
		if list != c.slots {
			t.Errorf("%s: systemd-cryptenroll lists %q, want %q", name, list, c.slots)
		}
		if b, err := os.ReadFile(node); err != nil || strings.Contains(string(b), key[:17]) {
			t.Errorf("%s: the key is in the volume (%v)", name, err)
		}
	}
}

// TestRecoveryPeer compares with what systemd-cryptenroll makes: the form of the key, its token and its slot.
func TestRecoveryPeer(t *testing.T) {
	t.Parallel()
	ours, theirs, ctx := image(t), image(t), t.Context()
	v := Volume{UUID: volume, Passphrase: []byte("pw"), Recovery: []byte(recoverykey.New()), Cost: Cheap}
	err := v.make(ctx, ours, noTPM)
	v.Recovery = nil
	if err = errors.Join(err, v.make(ctx, theirs, noTPM)); err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(enrolling(t, "--recovery-key", theirs))
	if got, err := recoverykey.Parse(key); err != nil || got != key {
		t.Errorf("systemd-cryptenroll made %q, which is read as %q, %v", key, got, err)
	}
	if err := Opens(ctx, theirs, []byte(key)); err != nil {
		t.Errorf("its key does not open its volume: %v", err)
	}
	var said []string
	for _, node := range []string{ours, theirs} {
		b, err := output(ctx, "luksDump", "--dump-json-metadata", node)
		if err != nil {
			t.Fatal(err)
		}
		var has struct {
			Tokens map[string]json.RawMessage `json:"tokens"`
			Slots  map[string]struct {
				Size int `json:"key_size"`
				KDF  struct {
					Type       string `json:"type"`
					Hash       string `json:"hash"`
					Iterations int    `json:"iterations"`
				} `json:"kdf"`
			} `json:"keyslots"`
		}
		if err := json.Unmarshal(b, &has); err != nil {
			t.Fatal(err)
		}
		said = append(said, fmt.Sprintf("%s and %+v", has.Tokens, has.Slots["1"]))
	}
	if said[0] != said[1] {
		t.Errorf("the volume has\n%s\nand that of systemd-cryptenroll\n%s", said[0], said[1])
	}
}

// TestOpenTries: an empty key is never tried.
func TestOpenTries(t *testing.T) {
	t.Parallel()
	node := image(t)
	v := Volume{UUID: volume, Recovery: []byte(recoverykey.New())}
	if err := v.make(t.Context(), node, noTPM); err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][][]byte{nil, {nil, {}}} {
		if _, err := Open(t.Context(), node, volume, keys...); !errors.Is(err, ErrKey) {
			t.Errorf("Open with %q = %v, want ErrKey", keys, err)
		}
	}
}
