package fleet

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"griddle/appliance/job"
)

// Machine is a computer that the server knows.
type Machine struct {
	ID string `json:"id"` // random UUID, made by the server
	// unique; also the hostname of the installed system, unless the job has another
	Name      string        `json:"name"`
	Identity  job.Identity  `json:"identity"`
	Inventory job.Inventory `json:"-"` // kept apart; Show and Hello fill it in, List does not
	FirstSeen time.Time     `json:"firstSeen"`
	LastSeen  time.Time     `json:"lastSeen"`           // zero for a machine that only an operator has named
	Deployed  *Deployment   `json:"deployed,omitempty"` // the system that runs on it, after it has reported
	Service   *Service      `json:"service,omitempty"`  // the last check-in of the service on it
	Fell      *job.Fell     `json:"fell,omitempty"`     // its last fallback to another root
	Kexec     *job.Kexec    `json:"kexec,omitempty"`    // its last start by kexec
	// when the server first let it boot from its disk after an install
	Handed    *Handing   `json:"handed,omitempty"`
	Refused   *Refusal   `json:"refused,omitempty"`   // why its last request to boot got no answer
	Conflicts []Conflict `json:"conflicts,omitempty"` // claims that contradict, the newest last

	// What operators wrote about it; see Relabel and Retire.
	Group   string      `json:"group,omitempty"`
	Tags    []string    `json:"tags,omitempty"` // sorted
	Place   string      `json:"place,omitempty"`
	Note    string      `json:"note,omitempty"`
	Retired *Retirement `json:"retired,omitempty"`

	Rank   Rank   `json:"-"`
	source string // quota.Key of the address that introduced it, or netbootSource
	firm   bool   // the operator named its UUID
}

// Rank says how much the server trusts its record of a machine. Claims change only sightings.
type Rank int

// The ranks, lowest first. The lowest is forgotten first.
const (
	Sighting Rank = iota // only claimed
	Touched              // a boot with a token asked for a job
	Ordered              // an operator named it
)

// Handing is when the server first let a machine boot from the disk that a job had installed.
type Handing struct {
	Job  string    `json:"job"`
	Time time.Time `json:"time"`
}

// Refusal is why a machine that asked to boot got no answer.
type Refusal struct {
	Time time.Time `json:"time"`
	Why  string    `json:"why"`
}

// Conflict is a claim that was not believed.
type Conflict struct {
	Time time.Time `json:"time"`
	What string    `json:"what"`
}

// maxConflicts is how many conflicts of one machine are kept.
const maxConflicts = 4

// conflict notes a claim that was not believed; the same words are noted once, with their newest time.
func (m *Machine) conflict(now time.Time, what string) {
	what = job.Sentence(what)
	kept := slices.DeleteFunc(slices.Clone(m.Conflicts), func(c Conflict) bool { return c.What == what })
	kept = append(kept, Conflict{now, what})
	m.Conflicts = kept[max(0, len(kept)-maxConflicts):]
}

// Deployment is an installed system that has reported that it is up.
type Deployment struct {
	Job    string         `json:"job"`
	Image  string         `json:"image"`
	Time   time.Time      `json:"time"`
	Report job.HomeReport `json:"report"`
}

// is says whether the machine that calls itself id is m, which no operator named. A common MAC address is the proof,
// unless both have a UUID and the two differ: a docking station carries its address from machine to machine. An equal
// UUID alone is none, because cloned virtual machines share it; it counts with an equal serial number, or where an
// operator named the machine by UUID and no address is known.
func (m Machine) is(id job.Identity) bool {
	theirs, ours := id.UUID, m.Identity.UUID
	if theirs != "" && ours != "" && !sameUUID(theirs, ours) {
		return false
	}
	for _, mac := range id.MACs {
		if m.has(mac) {
			return true
		}
	}
	if theirs == "" || ours == "" {
		return false
	}
	return len(m.Identity.MACs) == 0 || tellingSerial(id.Serial) && id.Serial == m.Identity.Serial
}

func (m Machine) has(mac string) bool {
	for _, have := range m.Identity.MACs {
		if have == mac {
			return true
		}
	}
	return false
}

// learn takes over what a machine says of itself. What it does not say is kept, and the UUID of an ordered machine too:
// that is the one of the boot that carried its job out. first are addresses that stay in front.
func (m *Machine) learn(id job.Identity, first ...string) {
	for _, s := range []struct{ have, said *string }{
		{&m.Identity.Serial, &id.Serial}, {&m.Identity.Vendor, &id.Vendor}, {&m.Identity.Product, &id.Product},
	} {
		if *s.said != "" {
			*s.have = *s.said
		}
	}
	if id.UUID != "" && (m.Rank != Ordered || m.Identity.UUID == "") {
		m.Identity.UUID = id.UUID
	}
	macs := job.Identity{MACs: slices.Concat(first, id.MACs, m.Identity.MACs)}.Bounded().MACs
	m.Identity.MACs = macs[:min(len(macs), maxMACs)]
}

// sameUUID compares in both byte orders: SMBIOS before 2.6 left the order of the first three fields open, and DHCP
// option 97, iPXE and Linux do not agree on old machines.
func sameUUID(a, b string) bool { return a == b || swapUUID(a) == b }

func swapUUID(u string) string {
	if len(u) != 36 {
		return u
	}
	return u[6:8] + u[4:6] + u[2:4] + u[0:2] + "-" + u[11:13] + u[9:11] + "-" + u[16:18] + u[14:16] + u[18:]
}

// tellingSerial says whether a serial number is one: board makers leave words in its place.
func tellingSerial(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "", "0", "none", "default string", "not specified", "not applicable", "system serial number",
		"to be filled by o.e.m.", "0123456789", "123456789", "1234567890", "xxxxxxxxxx":
		return false
	}
	return true
}

// Hostname makes a machine's name from a pattern: {mac} becomes its first address without colons, {serial} its serial
// number, {n} number. Characters that a hostname cannot have are left out (RFC 1123 section 2.1).
func Hostname(pattern string, id job.Identity, number int) string {
	mac := ""
	if len(id.MACs) > 0 {
		mac = strings.ReplaceAll(id.MACs[0], ":", "")
	} else if len(id.UUID) == 36 {
		mac = id.UUID[24:]
	}
	name := strings.NewReplacer("{mac}", mac, "{serial}", id.Serial, "{n}", strconv.Itoa(number)).Replace(pattern)
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			b.WriteRune(r)
		}
	}
	name = strings.Trim(b.String(), "-")
	if name == "" {
		name = "node-" + strconv.Itoa(number)
	}
	return strings.TrimRight(name[:min(len(name), 63)], "-")
}

// ValidHostname says whether s can be the name of a machine: labels of 1 to 63 letters, digits and hyphens, at most 253
// characters in all.
func ValidHostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	for _, label := range strings.Split(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-') {
				return false
			}
		}
	}
	return true
}
