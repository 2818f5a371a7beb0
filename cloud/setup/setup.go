// Package setup asks what a new stack is to be, and writes its file.
//
// Call Find for the providers that this computer has credentials for or can run, and Run with them: it takes each
// answer from a file of answers or else from a person, and writes a commented stack file that stack.Parse accepts.
// Where the file is there already, Run does nothing and asks nothing.
//
// What is asked is decided by Interview, which does no I/O but that of the Offers that it is given. No secret is read
// further than to see that it is there, and none is written.
package setup

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"griddle/cloud/stack"
	"griddle/cloud/yamltree"
)

// Choice is one thing that can be chosen.
type Choice struct {
	Name string
	Note string // what a person should know of it; may be empty
}

// Question is one thing to ask.
type Question struct {
	Key     string // of the file of answers
	Text    string
	Default string   // what an empty answer means; empty where there must be one
	Choices []Choice // what can be answered; empty where that is free
	Free    bool     // something else can be answered too
	Why     error    // why Choices could not be listed; the answer is free then
}

// Offers lists what a provider has. Each function may be nil, or fail: then the answer is free.
type Offers struct {
	Regions func(Found) ([]Choice, error)
	Sizes   func(f Found, region string) ([]Choice, error)
	Images  func() ([]Choice, error)
	Key     string // file with a public key of the person's, by PublicKey; empty for the usual one
}

// Interview is what was asked and answered so far.
type Interview struct {
	found   []Found
	offers  Offers
	answers map[string]string
	current *Question
}

// NewInterview begins with what Find found. name is the stack's name by default; characters that a DNS label cannot
// have are left out.
func NewInterview(name string, found []Found, offers Offers) *Interview {
	return &Interview{found: found, offers: offers, answers: map[string]string{"": defaultName(name)}}
}

func defaultName(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-':
			return c
		case c == '_' || c == ' ' || c == '.':
			return '-'
		}
		return -1
	}, strings.ToLower(s))
	s = strings.Trim(s[:min(len(s), 30)], "-")
	if s == "" {
		return "stack"
	}
	return s
}

// keys are those of answers, in the order in which they are asked.
func keys() []string {
	return []string{"name", "provider", "account", "region", "external", "image", "size", "count", "admin", "key"}
}

// Next returns the question to ask now; ok is false when all are answered. The same one comes again until Answer took
// it.
func (v *Interview) Next() (q Question, ok bool) {
	if v.current != nil {
		return *v.current, true
	}
	for _, key := range keys() {
		if _, done := v.answers[key]; done {
			continue
		}
		q, ask := v.question(key)
		if !ask {
			v.answers[key] = q.Default
			continue
		}
		q.Key = key
		v.current = &q
		return q, true
	}
	return Question{}, false
}

// Answer answers the question of Next; empty text means its default. An error says why that is not an answer.
func (v *Interview) Answer(s string) error {
	q, ok := v.Next()
	if !ok {
		return errors.New("answering: there are no more questions")
	}
	s = strings.TrimSpace(s)
	if s == "" {
		s = q.Default
	}
	if n, err := strconv.Atoi(s); err == nil && n >= 1 && n <= len(q.Choices) && !named(q.Choices, s) {
		s = q.Choices[n-1].Name
	}
	if err := v.check(q, s); err != nil {
		return fmt.Errorf("answering %s: %w", q.Key, err)
	}
	v.answers[q.Key] = s
	v.current = nil
	return nil
}

func named(choices []Choice, s string) bool {
	return slices.ContainsFunc(choices, func(c Choice) bool { return c.Name == s })
}

// check tries the answer in a stack file: what Parse would refuse is not an answer.
func (v *Interview) check(q Question, s string) error {
	if s == "" && q.Key != "external" && !named(q.Choices, "") {
		return errors.New("an answer is needed")
	}
	if len(q.Choices) > 0 && !q.Free && !named(q.Choices, s) {
		return fmt.Errorf("%.100q is not one of the choices: answer with a number or a name", s)
	}
	if n, err := strconv.Atoi(s); q.Key == "count" && (err != nil || n < 1 || n > stack.MaxServers) {
		return fmt.Errorf("%.100q is not a number from 1 to %d", s, stack.MaxServers)
	}
	trial := map[string]string{"name": "trial", "provider": "qemu", "image": "web", "size": "small", "count": "1",
		"admin": "ops", "key": "key.pub"}
	trial[q.Key] = s
	_, err := stack.Parse("", render(trial))
	var faults yamltree.Faults
	if errors.As(err, &faults) && len(faults) > 0 {
		return errors.New(strings.TrimSuffix(faults[0].Text+"; "+faults[0].Hint, "; "))
	}
	return err
}

// chosen is the account that the answers so far choose.
func (v *Interview) chosen() Found {
	f := Found{Provider: v.answers["provider"], Account: v.answers["account"]}
	for _, x := range v.found {
		if x.Provider == f.Provider && x.Account == f.Account {
			return x
		}
	}
	return f
}

// question is what to ask for a key. Where nothing is to be asked, its Default is the answer.
func (v *Interview) question(key string) (q Question, ask bool) {
	f := v.chosen()
	list := func(choices []Choice, err error) {
		q.Choices, q.Why = choices, err
		if len(choices) > 0 && (q.Default == "" || !named(choices, q.Default)) {
			q.Default = choices[0].Name
		}
	}
	switch key {
	case "name":
		return Question{Text: "What is the name of the stack?", Default: v.answers[""]}, true
	case "provider":
		q.Text = "Where should its servers run?"
		var c []Choice
		for _, x := range v.found {
			if !named(c, x.Provider) {
				c = append(c, Choice{x.Provider, x.From})
			}
		}
		list(c, nil)
		if len(c) == 0 {
			q.Default = "qemu"
		}
		return q, true
	case "account":
		q.Text = "With which credentials?"
		var c []Choice
		for _, x := range v.found {
			if x.Provider == f.Provider {
				c = append(c, Choice{x.Account, x.From})
			}
		}
		list(c, nil)
		return q, len(c) > 1
	case "region":
		q.Text, q.Default = "In which region?", f.Region
		if f.Provider != "openstack" && f.Provider != "ec2" {
			return Question{}, false
		}
		if v.offers.Regions != nil {
			list(v.offers.Regions(f))
		}
		return q, true
	case "external":
		q.Text = "Which network leads to the internet? (empty: the provider's default)"
		return q, f.Provider == "openstack"
	case "image":
		q.Text, q.Free = "Which image of the catalog?", true // by a version of it, too, or before it is published
		if v.offers.Images != nil {
			list(v.offers.Images())
		}
		return q, true
	case "size":
		q.Text = "Which size has a server?"
		if v.offers.Sizes != nil {
			list(v.offers.Sizes(f, v.answers["region"]))
		}
		return q, true
	case "count":
		return Question{Text: "How many servers?", Default: "1"}, true
	case "admin":
		return Question{Text: "Which user logs in?", Default: "ops"}, true
	}
	return Question{Text: "Which ssh public key may log in? (a file, or the key itself)",
		Default: cmp.Or(v.offers.Key, usualKey)}, true
}

// File is the stack file for the answers, once Next has no more question.
func (v *Interview) File() ([]byte, error) {
	if q, ok := v.Next(); ok {
		return nil, fmt.Errorf("writing a stack file: %s is not answered", q.Key)
	}
	v.answers[socketAnswer] = v.chosen().Socket
	b := render(v.answers)
	if _, err := stack.Parse("the new stack file", b); err != nil {
		return nil, fmt.Errorf("writing a stack file: %w", err)
	}
	return b, nil
}
