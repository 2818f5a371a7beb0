package catalog

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"griddle/imagestore/ref"
)

// Keep is a rule that says which versions of templates to keep. Every rule also keeps the newest version for each
// architecture, and every version that a channel means. A template without a rule keeps all versions.
type Keep struct {
	// of [namespace/]name, in which "*" stands for any characters; a later rule for it replaces it
	Pattern string `json:"pattern"`
	Last    int    `json:"last,omitempty"` // how many of the newest versions of each architecture stay
	// those that were published in this many last seconds stay; a rule with neither keeps nothing more
	Newer int64 `json:"newer,omitempty"`
}

const maxRules = 1000

func (k Keep) validate() error {
	if _, err := ref.ParseFilter(k.Pattern); err != nil {
		return err
	}
	if strings.ContainsAny(k.Pattern, ":@") {
		return fmt.Errorf("%w: a rule is for templates, and %q has more than their names", ref.ErrInvalid, k.Pattern)
	}
	if k.Last < 0 || k.Newer < 0 || k.Newer > 1e10 {
		return fmt.Errorf("%w: %d versions and %d seconds cannot be kept", ref.ErrInvalid, k.Last, k.Newer)
	}
	return nil
}

// none says whether the rule only takes back an earlier one.
func (k Keep) none() bool { return k.Last == 0 && k.Newer == 0 }

// keep applies an entry.
func (v *View) keep(k *Keep) error {
	if k == nil {
		return fmt.Errorf("it has no rule")
	}
	v.keeps = slices.DeleteFunc(slices.Clone(v.keeps), func(o Keep) bool { return o.Pattern == k.Pattern })
	if !k.none() {
		v.keeps = append(v.keeps, *k)
	}
	return nil
}

func (c *Local) keepRule(v *View, k Keep) ([]Entry, error) {
	if err := k.validate(); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(v.keeps, func(o Keep) bool { return o.Pattern == k.Pattern })
	if i >= 0 && v.keeps[i] == k || i < 0 && k.none() {
		return nil, nil
	}
	if i < 0 && len(v.keeps) >= maxRules {
		return nil, fmt.Errorf("%w: there are %d rules already", ref.ErrInvalid, maxRules)
	}
	return []Entry{{Kind: KindKeep, Keep: &k}}, nil
}

// FallOut lists the versions that no rule keeps at the time now. The view is complete.
func (v *View) FallOut(now time.Time) []*Listed {
	type rule struct {
		Keep
		f ref.Filter
	}
	var rules []rule
	for _, k := range v.keeps {
		if f, err := ref.ParseFilter(k.Pattern); err == nil {
			rules = append(rules, rule{k, f})
		}
	}
	rank := map[string]int{} // how many newer versions of its template and architecture there are
	var out []*Listed
	for _, l := range v.Sorted() {
		key := l.Template + "@" + l.Arch
		n := rank[key]
		rank[key]++
		ruled, kept := false, l.Latest || len(l.Channels) > 0
		for _, r := range rules {
			if r.f.Match(l.Parsed()) {
				ruled = true
				kept = kept || n < r.Last || r.Newer > 0 && now.Sub(l.Published) < time.Duration(r.Newer)*time.Second
			}
		}
		if ruled && !kept {
			out = append(out, l)
		}
	}
	return out
}
