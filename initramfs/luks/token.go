package luks

import (
	"encoding/json"
	"fmt"
)

// tokenType is the token of systemd-cryptenroll for a TPM.
const tokenType = "systemd-tpm2"

// recoveryType is that for a recovery key. Such a token has nothing but the slot of the key.
const recoveryType = "systemd-recovery"

// pcr is the register that the seal is bound to: the state and the keys of Secure Boot (TCG PC Client Platform Firmware
// Profile 1.05, section 3.3.4.8).
const pcr = 7

// token is a token of a volume, as far as it is used here. Those of the type systemd-tpm2 have more in later versions.
type token struct {
	Type   string   `json:"type"`
	Slots  []string `json:"keyslots"`
	Blob   []byte   `json:"tpm2-blob,omitempty"` // TPM2B_PRIVATE and then TPM2B_PUBLIC, in base64
	PCRs   []int    `json:"tpm2-pcrs,omitempty"`
	Bank   string   `json:"tpm2-pcr-bank,omitempty"`
	Alg    string   `json:"tpm2-primary-alg,omitempty"`
	Policy string   `json:"tpm2-policy-hash,omitempty"` // hexadecimal
	PIN    bool     `json:"tpm2-pin,omitempty"`
	SRK    []byte   `json:"tpm2_srk,omitempty"` // later versions: the key that sealed it is one of the TPM's own
}

// parseToken reads a token of any type. It is from a disk, and may be anything.
func parseToken(b []byte) (token, error) {
	var t token
	if err := json.Unmarshal(b, &t); err != nil {
		var other struct {
			Type string `json:"type"`
		}
		if json.Unmarshal(b, &other) == nil && other.Type != tokenType {
			return token{Type: other.Type}, nil // its keys may have other types
		}
		return token{}, fmt.Errorf("reading a token of the volume: %w", err)
	}
	return t, nil
}
