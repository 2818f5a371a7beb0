// Package filter is the language by which people choose machines from a list.
//
// Call Parse with what a person typed. A filter is a list of terms with spaces between them, and a machine must match
// all of them:
//
//	state=deployed          the value of a key is this one
//	state=away,broken       one of several
//	tag!=spare              none of these
//	image=web:*             * is any characters, ? is one
//	place="room 2*"         quotes hold a value with spaces or commas together
//	group=                  it has none
//	lenovo                  a word alone: some text of the machine contains it
//
// Case does not matter. Keys lists the keys. The zero Filter matches every machine.
//
// The package is pure, and its input may be hostile: it is limited by MaxText, MaxTerms, MaxPatterns and MaxWild, and
// an error names the column. What a filter means in SQL is for package fleet: Pattern.Like gives a pattern for LIKE.
package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"griddle/appliance/fleet/life"
)

// Limits of a filter.
const (
	MaxText     = 1024 // bytes of a filter
	MaxTerms    = 32
	MaxPatterns = 64 // of one term
	MaxWild     = 8  // wildcards of one pattern
)

// ErrInvalid is wrapped by the errors of Parse.
var ErrInvalid = errors.New("not a filter")

// Key is what of a machine a term is about.
type Key string

// The keys. Text is that of a word alone.
const (
	Name   Key = "name"
	State  Key = "state"
	Status Key = "status"
	Group  Key = "group"
	Role   Key = "role" // of its group
	Tag    Key = "tag"
	Place  Key = "place"
	Note   Key = "note"
	Image  Key = "image"
	Model  Key = "model" // vendor and product
	MAC    Key = "mac"
	UUID   Key = "uuid"
	Serial Key = "serial"
	Root   Key = "root"
	Reset  Key = "reset"
	Agent  Key = "agent"
	ID     Key = "id"
	Text   Key = "text"
)

// Keys are all of them.
var Keys = []Key{Name, State, Status, Group, Role, Tag, Place, Note, Image, Model, MAC, UUID, Serial, Root, Reset,
	Agent, ID, Text}

// Filter is a list of terms that must all match.
type Filter []Term

// Term is matched by a machine that matches one of Any, or, with Not, none of them.
type Term struct {
	Key Key
	Not bool
	Any []Pattern // one at least
}

// Pattern is text in lower case, with * and ? as wildcards. Of Text it matches a part.
type Pattern string

// Plain says whether the pattern has no wildcard.
func (p Pattern) Plain() bool { return !strings.ContainsAny(string(p), "*?") }

// Like is the pattern as LIKE has it, with \ as its escape character.
func (p Pattern) Like() string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`, "*", "%", "?", "_").Replace(string(p))
}

// Parse reads a filter. Its errors wrap ErrInvalid and say at which column, from 1 and in characters, what is wrong.
func Parse(text string) (Filter, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("%w: it has %d bytes, and the limit is %d", ErrInvalid, len(text), MaxText)
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("%w: it is not UTF-8", ErrInvalid)
	}
	s := scanner{text: []rune(text)}
	var f Filter
	for s.space(); !s.end(); s.space() {
		if len(f) == MaxTerms {
			return nil, s.wrong(s.at, "it has more than %d terms", MaxTerms)
		}
		t, err := s.term()
		if err != nil {
			return nil, err
		}
		f = append(f, t)
	}
	return f, nil
}

// String is the filter as Parse reads it.
func (f Filter) String() string {
	var terms []string
	for _, t := range f {
		if t.Key == Text && !t.Not && len(t.Any) == 1 && t.Any[0] != "" {
			terms = append(terms, quote(t.Any[0], true))
			continue
		}
		is := "="
		if t.Not {
			is = "!="
		}
		var any []string
		for _, p := range t.Any {
			any = append(any, quote(p, false))
		}
		terms = append(terms, string(t.Key)+is+strings.Join(any, ","))
	}
	return strings.Join(terms, " ")
}

// quote puts a pattern into quotes if it needs them: alone, where it must not look like a key.
func quote(p Pattern, alone bool) string {
	if strings.ContainsFunc(string(p), func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) ||
		alone && strings.ContainsAny(string(p), "=!") {
		return `"` + string(p) + `"`
	}
	return string(p)
}

// scanner reads a filter from its characters.
type scanner struct {
	text []rune
	at   int
}

func (s *scanner) end() bool { return s.at >= len(s.text) }

func (s *scanner) is(r rune) bool { return !s.end() && s.text[s.at] == r }

func (s *scanner) space() {
	for !s.end() && unicode.IsSpace(s.text[s.at]) {
		s.at++
	}
}

func (s *scanner) wrong(at int, format string, args ...any) error {
	return fmt.Errorf("%w: column %d: %s", ErrInvalid, at+1, fmt.Sprintf(format, args...))
}

// term reads a term, which begins here.
func (s *scanner) term() (Term, error) {
	begin := s.at
	if s.is('"') {
		p, err := s.pattern()
		return s.whole(Term{Key: Text, Any: []Pattern{p}}, begin, err)
	}
	for !s.end() && !unicode.IsSpace(s.text[s.at]) && !strings.ContainsRune(`=!",`, s.text[s.at]) {
		s.at++
	}
	word := string(s.text[begin:s.at])
	t := Term{Key: Key(strings.ToLower(word))}
	switch {
	case s.is('='):
		s.at++
	case s.is('!') && s.at+1 < len(s.text) && s.text[s.at+1] == '=':
		s.at, t.Not = s.at+2, true
	case s.is('!'):
		return t, s.wrong(s.at, "after ! there must be =, as in %s!=VALUE", shown(word))
	default:
		s.at = begin
		p, err := s.pattern()
		return s.whole(Term{Key: Text, Any: []Pattern{p}}, begin, err)
	}
	if !slices.Contains(Keys, t.Key) {
		return t, s.wrong(begin, "%s is not a key; the keys are %s", shown(word), keys())
	}
	for {
		at := s.at
		p, err := s.pattern()
		if err == nil {
			err = t.fits(p)
		}
		if err != nil {
			return t, s.placed(at, err)
		}
		t.Any = append(t.Any, p)
		if !s.is(',') {
			return s.whole(t, begin, nil)
		}
		if s.at++; len(t.Any) == MaxPatterns {
			return t, s.wrong(s.at, "the term has more than %d values", MaxPatterns)
		}
	}
}

// placed gives an error the place at, unless it has one.
func (s *scanner) placed(at int, err error) error {
	if errors.Is(err, ErrInvalid) {
		return err
	}
	return s.wrong(at, "%s", err)
}

// whole makes sure that a term ends here.
func (s *scanner) whole(t Term, begin int, err error) (Term, error) {
	if err == nil && t.Key == Text && slices.Contains(t.Any, "") {
		err = s.wrong(begin, "the text to look for is missing")
	}
	if err == nil && !s.end() && !unicode.IsSpace(s.text[s.at]) {
		err = s.wrong(s.at, "there must be a space before %s", shown(string(s.text[s.at])))
	}
	return t, err
}

// pattern reads a pattern, which may be empty.
func (s *scanner) pattern() (Pattern, error) {
	quoted, begin := s.is('"'), s.at
	if quoted {
		s.at++
	}
	var b strings.Builder
	wild, before := 0, rune(0)
	for ; !s.end(); s.at++ {
		r := s.text[s.at]
		if r == '"' || !quoted && (r == ',' || unicode.IsSpace(r)) {
			break
		}
		if unicode.IsControl(r) {
			return "", s.wrong(s.at, "a control character cannot be in a filter")
		}
		if r == '*' && before == '*' {
			continue
		}
		if before = r; r == '*' || r == '?' {
			wild++
		}
		b.WriteRune(unicode.ToLower(r))
	}
	switch {
	case quoted && s.end():
		return "", s.wrong(begin, "the quotes that begin here do not end")
	case quoted:
		s.at++
	case s.is('"'):
		return "", s.wrong(s.at, "quotes can only be around a whole value")
	}
	if wild > MaxWild {
		return "", s.wrong(begin, "the value has more than %d wildcards", MaxWild)
	}
	return Pattern(b.String()), nil
}

// fits refuses a value that a key never has.
func (t Term) fits(p Pattern) error {
	if t.Key != State || !p.Plain() {
		return nil
	}
	if _, ok := life.MustBe(string(p)); !ok {
		var all []string
		for _, s := range life.States {
			all = append(all, string(s.State))
		}
		return fmt.Errorf("no state is called %s; the states are %s", shown(string(p)), strings.Join(all, ", "))
	}
	return nil
}

func keys() string {
	var all []string
	for _, k := range Keys {
		all = append(all, string(k))
	}
	return strings.Join(all, ", ")
}

// shown is a part of a filter in a message.
func shown(s string) string { return fmt.Sprintf("%.40q", s) }
