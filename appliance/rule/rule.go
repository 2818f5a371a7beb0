// Package rule is the language of rules: what a machine gets for which no one has given an order.
//
// Read a file with package rulefile, or JSON with Decode; both give a Document. Document.Acts says which rule acts for
// a machine, and Document.Explain says why. A document travels as JSON.
//
// # Which rule acts
//
// The rules are an ordered list. The first whose match holds acts, and no other. All conditions of a match must hold; a
// match without conditions holds for every machine. What is not known of a machine holds for no condition.
//
//	condition   holds if                                             known
//	mac         the address that the machine booted by begins so     always
//	subnet      the machine has an address in it                     always, but for a machine that was not seen
//	named       an operator named the machine, or not                always
//	vendor      it says so of itself; a pattern                      after its agent has reported
//	model       it says so of itself; a pattern                      after its agent has reported
//	memory      it says so of itself; a range                        after its agent has reported
//	disk        it says that one of its disks is like this           after its agent has reported
//
// # Whom to believe
//
// Anyone on the network can say anything about any machine. So a rule with an install acts by what netboot sees (mac,
// subnet), and what it gives is for everyone there. If it has one of the other conditions, the boot waits until an
// operator has approved it (Rule.Waits): a claim can make a machine wait, and opens nothing.
//
// # What a rule never does
//
// It allows no loss of data: an install of a rule names no disk to erase, its layout wipes and shrinks nothing (Check
// refuses that), and Install.Stops refuses a disk that is not proved to be blank. It changes nothing for a machine that
// has a system or an operator's job, and takes no machine that the server would not take without it. It has no secrets.
//
// The package is pure: it reads no disk, network or clock, and no YAML.
package rule

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// Version is the version of the language that this package knows.
const Version = 1

// Document is a list of rules. It is valid if Check finds nothing.
type Document struct {
	Version int    `json:"version"`
	Rules   []Rule `json:"rules"`
}

// Rule is what the machines get for which its match holds.
type Rule struct {
	Name  string `json:"name"` // a to z, 0 to 9 and hyphens; of one rule in the document
	Match Match  `json:"match,omitzero"`

	// Boot is what the machine boots while there is nothing to install: "" is what the server does without rules.
	Boot Boot `json:"boot,omitempty"`
	// Once says that Boot counts for one network boot of each machine. After that the machine boots its disk.
	Once bool `json:"once,omitempty"`
	// Approval says that no boot gets anything to do before an operator approved it.
	Approval bool     `json:"approval,omitempty"`
	Install  *Install `json:"install,omitempty"` // nil installs nothing
}

// Boot is what a machine boots.
type Boot string

// The values of Boot.
const (
	Menu  Boot = "menu"  // a menu, whose default is the disk
	Agent Boot = "agent" // the agent, which asks its user
	Local Boot = "local" // the disk
)

// Boots are the values of Boot.
var Boots = []Boot{Menu, Agent, Local}

// Match says for which machines a rule is.
type Match struct {
	MAC    []string       `json:"mac,omitempty"`    // whole bytes from the first on, "52:54:00": one of them
	Subnet []netip.Prefix `json:"subnet,omitempty"` // "10.2.0.0/16": one of them
	Named  *bool          `json:"named,omitempty"`  // an operator named the machine
	Vendor string         `json:"vendor,omitempty"` // job.Identity.Vendor; a pattern as in job.Match
	Model  string         `json:"model,omitempty"`  // job.Identity.Product; a pattern
	Memory string         `json:"memory,omitempty"` // a range of job.Inventory.Memory: "7G..", "7G..16G" or "..16G"
	Disk   *job.Match     `json:"disk,omitempty"`   // one disk of the machine or more of them
}

// Install is what a rule installs.
type Install struct {
	Image string `json:"image"` // as an operator types it, "web:stable"
	// Disk chooses the disk, and Layout says how disks are divided; one of both is given.
	Disk   job.DiskRule     `json:"disk,omitempty"`
	Layout *layout.Document `json:"layout,omitempty"`
	// Settings is a setting.Document without secrets, weaker than those of the machine and stronger than those of the
	// site; nil for none.
	Settings json.RawMessage `json:"settings,omitempty"`
}

// ID is the same for two rules that say the same: 64 digits from 0 to f. A rule that is changed has another one.
func (r Rule) ID() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("rule: encoding a rule: %v", err)) // RawMessage alone can fail, and Check has read it
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Claims lists the conditions of the match that hold by what a machine says of itself, or by which machine it says that
// it is.
func (m Match) Claims() (keys []string) {
	for _, c := range []struct {
		key   string
		given bool
	}{{"named", m.Named != nil && *m.Named}, {"vendor", m.Vendor != ""}, {"model", m.Model != ""},
		{"memory", m.Memory != ""}, {"disk", m.Disk != nil}} {
		if c.given {
			keys = append(keys, c.key)
		}
	}
	return keys
}

// Waits says whether a boot gets nothing to do by this rule before an operator approved it.
func (r Rule) Waits() bool { return r.Approval || r.Install != nil && len(r.Match.Claims()) > 0 }
