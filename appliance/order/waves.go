package order

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Allowance is how many machines may fail before an order holds: a number, or a share such as "10%" of the machines
// whose wave has begun, rounded down. "" is any number.
type Allowance string

// errAllowance is what is wrong with an Allowance.
var errAllowance = errors.New("allowed failures: use a number of machines, or a share such as 10%")

// ParseAllowance reads one as a person types it.
func ParseAllowance(s string) (Allowance, error) {
	text, percent := strings.CutSuffix(s, "%")
	if s == "" {
		return "", nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > MaxMachines || percent && n > 100 || strconv.Itoa(n) != text {
		return "", errAllowance
	}
	return Allowance(s), nil
}

// exceeded says whether more machines failed of so many than are allowed.
func (a Allowance) exceeded(failed, of int) bool {
	text, percent := strings.CutSuffix(string(a), "%")
	n, err := strconv.Atoi(text)
	switch {
	case a == "":
		return false
	case err != nil: // not from ParseAllowance: none
		n = 0
	case percent:
		n = of * n / 100
	}
	return failed > n
}

// ParseWaves reads shares in percent as a person types them: "5,25,100".
func ParseWaves(s string) (out []int, err error) {
	if s == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return nil, errWaves
		}
		out = append(out, n)
	}
	return out, checkWaves(out)
}

// errWaves is what is wrong with waves.
var errWaves = errors.New("waves: use rising whole percents that end with 100, such as 5,25,100")

func checkWaves(waves []int) error {
	if len(waves) > MaxWaves {
		return fmt.Errorf("waves: there are more than %d", MaxWaves)
	}
	last := 0
	for _, n := range waves {
		if n <= last || n > 100 {
			return errWaves
		}
		last = n
	}
	if len(waves) > 0 && last != 100 {
		return errWaves
	}
	return nil
}

// Waves returns the wave of each machine, counted from 0.
//
// The machines are ranked by a hash of their ID and of that of the order, so that not the same ones are the first in
// each roll-out. A wave with the threshold P has the first P percent of the ranks, rounded up: the first wave of a
// small room has a machine too, which thresholds on the hash itself do not promise.
func (o Order) Waves() []int {
	out := make([]int, len(o.Machines))
	if len(o.Limits.Waves) < 2 {
		return out
	}
	type ranked struct {
		hash uint64
		at   int
	}
	all := make([]ranked, len(o.Machines))
	for i, m := range o.Machines {
		sum := sha256.Sum256([]byte("griddle wave 1\n" + o.ID + "\n" + m.ID))
		all[i] = ranked{binary.BigEndian.Uint64(sum[:]), i}
	}
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.at, b.at)) })
	wave := 0
	for rank, r := range all {
		for wave < len(o.Limits.Waves)-1 && rank >= (o.Limits.Waves[wave]*len(all)+99)/100 {
			wave++
		}
		out[r.at] = wave
	}
	return out
}

// wave is the first one with a machine that has not ended.
func (o Order) wave(waves []int) int {
	at := max(0, len(o.Limits.Waves)-1)
	for i, m := range o.Machines {
		if m.Live() {
			at = min(at, waves[i])
		}
	}
	return at
}

// begun is how many machines are in the waves that have begun. Those of a wave that begins next are not counted: a
// share of them would allow more failures in the wave before.
func (o Order) begun(waves []int) (machines int) {
	last := 0
	for i, m := range o.Machines {
		if m.State != Waiting || m.Tries > 0 {
			last = max(last, waves[i])
		}
	}
	for _, w := range waves {
		if w <= last {
			machines++
		}
	}
	return machines
}
