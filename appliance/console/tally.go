package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"griddle/appliance/job"
)

// Limits of what is written down of those who watch and type.
const (
	again     = 10 * time.Minute // after which it is news that the same operator watches the same machine
	tallyTime = 30 * time.Second // in which keys of one operator are counted together
	maxMemory = 1024             // operators and machines together that are remembered
)

// pair is an operator at a machine.
type pair struct{ machine, who string }

// Begins says whether it is news that an operator watches a machine: he has not for a while. It remembers that he does.
func (h *Hub) Begins(machine, who string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, p := h.o.Now(), pair{machine, who}
	last, ok := h.begun[p]
	if !ok && len(h.begun) >= maxMemory {
		clear(h.begun) // then some things are written down twice
	}
	h.begun[p] = now
	return !ok || now.Sub(last) >= again
}

// Tally counts the keys that an operator types at a machine by their kinds, and says whether they are the first ones.
// What they were is not kept. A while later, Options.Typed gets the counts.
func (h *Hub) Tally(machine, who string, keys []job.ScreenKey) (first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := pair{machine, who}
	counts := h.typed[p]
	if first = counts == nil; first {
		counts = map[string]int{}
		h.typed[p] = counts
		time.AfterFunc(tallyTime, func() {
			h.mu.Lock()
			counts := h.typed[p]
			delete(h.typed, p)
			h.mu.Unlock()
			h.o.Typed(machine, who, countsText(counts))
		})
	}
	count(counts, keys)
	return first
}

// Kinds says how many keys of which kinds there are, and not what was typed: "12 characters, 2 enter".
func Kinds(keys []job.ScreenKey) string {
	counts := map[string]int{}
	count(counts, keys)
	return countsText(counts)
}

func count(counts map[string]int, keys []job.ScreenKey) {
	for _, k := range keys {
		if n := len([]rune(k.Text)); n > 0 {
			counts["characters"] += n
		} else {
			counts[k.Name]++
		}
	}
}

func countsText(counts map[string]int) string {
	var out []string
	for kind, n := range counts {
		out = append(out, fmt.Sprintf("%d %s", n, kind))
	}
	slices.SortFunc(out, func(a, b string) int { // by kind
		_, a, _ = strings.Cut(a, " ")
		_, b, _ = strings.Cut(b, " ")
		return strings.Compare(a, b)
	})
	return strings.Join(out, ", ")
}
