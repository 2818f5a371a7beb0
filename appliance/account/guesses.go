package account

import (
	"sync"
	"time"
)

// Wrong logins that are allowed in an hour. An account is refused only where many addresses guessed at it, so that one
// computer cannot lock a person out; tokens are not concerned.
const (
	guessWindow     = time.Hour
	guessesBoth     = 10  // at one account from one address
	guessesAddress  = 30  // from one address
	guessesAccount  = 100 // at one account
	rememberedAtAll = 4096
)

// guesses counts wrong logins. A login counts as a wrong one until it turns out to be right, so that many at once are
// not more than one after the other.
type guesses struct {
	mu    sync.Mutex
	count map[string]*counter
}

type counter struct {
	n     int
	until time.Time
}

func newGuesses() *guesses { return &guesses{count: map[string]*counter{}} }

// take counts a login at name from an address, and returns how to take that back. ok is false, and nothing is counted,
// where there were too many.
func (g *guesses) take(name, address string, now time.Time) (back func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	limits := []struct {
		key   string
		limit int
	}{{"both " + address + " " + name, guessesBoth}, {"from " + address, guessesAddress},
		{"at " + name, guessesAccount}}
	for _, l := range limits {
		if c := g.count[l.key]; c != nil && now.Before(c.until) && c.n >= l.limit {
			return nil, false
		}
	}
	var counted []*counter
	for _, l := range limits {
		c := g.count[l.key]
		if c == nil || !now.Before(c.until) {
			g.room(now)
			c = &counter{until: now.Add(guessWindow)}
			g.count[l.key] = c
		}
		c.n++
		counted = append(counted, c)
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, c := range counted {
			c.n--
		}
	}, true
}

// room makes room for a counter: those that are over go, and if none is, the one that is over first.
func (g *guesses) room(now time.Time) {
	if len(g.count) < rememberedAtAll {
		return
	}
	first := ""
	for k, c := range g.count {
		if !now.Before(c.until) {
			delete(g.count, k)
		} else if first == "" || c.until.Before(g.count[first].until) {
			first = k
		}
	}
	if len(g.count) >= rememberedAtAll {
		delete(g.count, first)
	}
}
