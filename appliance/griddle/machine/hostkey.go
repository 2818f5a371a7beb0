package machine

import (
	"cmp"
	"slices"

	"golang.org/x/crypto/ssh"

	"griddle/appliance/job"
)

// hostKeys are the keys of a machine's ssh server that it reported, the one that is asked for first.
func hostKeys(r job.HomeReport) []ssh.PublicKey {
	var keys []ssh.PublicKey
	for _, line := range r.HostKeys {
		if k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)); err == nil {
			keys = append(keys, k)
		}
	}
	rank := func(k ssh.PublicKey) int {
		order := []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
			ssh.KeyAlgoRSA}
		if i := slices.Index(order, k.Type()); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(keys, func(a, b ssh.PublicKey) int { return cmp.Compare(rank(a), rank(b)) })
	return keys
}
