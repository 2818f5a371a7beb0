// Package nvram reads and changes what the UEFI firmware of a machine starts: its boot entries and their order.
//
// Call Open, and State for what there is: keep that (State is JSON) before the first change. Add makes an entry for a
// file on an EFI system partition, and Remove deletes it. Restore brings a State back.
//
//	variable     value, behind 4 bytes of attributes (UEFI 2.10 section 3.3; Linux, Documentation/filesystems/efivarfs)
//	BootOrder    the numbers of the entries to try, 2 bytes each
//	BootNext     the number of the entry to try once, before all others
//	Boot####     an entry, by four hexadecimal digits; EFI_LOAD_OPTION, section 3.1.3:
//	             +------------+-----------------+----------------------+-----------------+---------------+
//	             | attributes | length of paths | description, UTF-16  | paths           | optional data |
//	             | 4 bytes    | 2 bytes         | up to two zero bytes | nodes, sect. 10 | to the end    |
//	             +------------+-----------------+----------------------+-----------------+---------------+
//
// Guarantees: entries of others stay as they are, bit for bit, and so does their order among each other. An entry is
// written before the order that names it, so a power cut leaves the old order or the new one, and each names what is
// there. A variable is durable when its call returns: the firmware has written it then. What is as it should be is not
// written again, since this memory wears out.
//
// Variables are hostile: an entry that cannot be read is kept and never changed; a BootOrder that cannot be read is
// not changed, and that is an error.
//
// No library is used: that of u-root finds devices and mounts by what an entry says.
package nvram

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNone means that the machine did not start by UEFI, or that its firmware shows no variables.
var ErrNone = errors.New("the firmware has no boot entries: the machine did not start by UEFI")

// Vars are the variables of a machine.
type Vars struct{ store store }

// State is what the firmware starts.
type State struct {
	Order   []uint16 `json:"order"`            // BootOrder; nil if there is none
	Next    []uint16 `json:"next,omitempty"`   // BootNext, one number; nil if there is none
	Entries []Entry  `json:"entries"`          // by their numbers
	Unread  []uint16 `json:"unread,omitempty"` // entries that the firmware does not give
}

// Entry is one variable Boot####.
type Entry struct {
	Number     uint16 `json:"number"`
	Attributes uint32 `json:"attributes"` // of the variable
	Data       []byte `json:"data"`       // as the firmware has it: ParseOption reads it
}

// Bounds of what is read. UEFI has none for entries; those of firmware have some hundred bytes.
const (
	maxValue   = 64 << 10
	maxEntries = 4096
)

// attributes of the variables that are made: kept, and seen by boot services and by the system (UEFI 2.10 section 3.3).
const attributes = 0x1 | 0x2 | 0x4

// State reads what the firmware starts.
func (v *Vars) State() (State, error) {
	var s State
	numbers, err := v.store.entries()
	if err != nil {
		return State{}, fmt.Errorf("reading the boot entries of the firmware: %w", err)
	}
	if len(numbers) > maxEntries {
		return State{}, fmt.Errorf("reading the boot entries of the firmware: there are %d of them, more than %d",
			len(numbers), maxEntries)
	}
	for _, n := range numbers {
		a, data, err := v.store.get(name(n))
		if errors.Is(err, errMissing) {
			continue
		}
		if err != nil {
			s.Unread = append(s.Unread, n)
			continue
		}
		s.Entries = append(s.Entries, Entry{n, a, data})
	}
	slices.SortFunc(s.Entries, func(a, b Entry) int { return int(a.Number) - int(b.Number) })
	if s.Order, err = v.list("BootOrder"); err != nil {
		return State{}, err
	}
	if s.Next, err = v.list("BootNext"); err != nil || len(s.Next) > 1 {
		s.Next = nil // it counts once, and is of no use if it is damaged
	}
	return s, nil
}

// name is that of an entry's variable.
func name(n uint16) string { return fmt.Sprintf("Boot%04X", n) }

// list reads a variable of numbers; one that does not exist has none.
func (v *Vars) list(name string) ([]uint16, error) {
	_, b, err := v.store.get(name)
	if errors.Is(err, errMissing) {
		return nil, nil
	}
	if err == nil && len(b)%2 != 0 {
		err = fmt.Errorf("it has %d bytes, which are not numbers of 2; set the order in the setup of the firmware",
			len(b))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the variable %s of the firmware: %w", name, err)
	}
	out := make([]uint16, len(b)/2)
	for i := range out {
		out[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
	}
	return out, nil
}

// setOrder writes BootOrder, if it is another one, and reads it back.
func (v *Vars) setOrder(old, order []uint16) error {
	if slices.Equal(old, order) {
		return nil
	}
	b := make([]byte, 0, 2*len(order))
	for _, n := range order {
		b = append(b, byte(n), byte(n>>8))
	}
	if err := v.store.set("BootOrder", attributes, b); err != nil {
		return fmt.Errorf("writing the boot order of the firmware: %w", err)
	}
	if now, err := v.list("BootOrder"); err != nil || !slices.Equal(now, order) {
		return errors.Join(err, fmt.Errorf("the firmware did not take the boot order %s: it has %s; set the order in "+
			"its setup", numbers(order), numbers(now)))
	}
	return nil
}

// numbers are an order as people see it.
func numbers(order []uint16) string {
	var out []string
	for _, n := range order {
		out = append(out, fmt.Sprintf("%04X", n))
	}
	return strings.Join(out, ",")
}

// setEntry writes an entry, if it is another one, and reads it back.
func (v *Vars) setEntry(e Entry) error {
	is := func() bool {
		a, data, err := v.store.get(name(e.Number))
		return err == nil && a == e.Attributes && string(data) == string(e.Data)
	}
	if is() {
		return nil
	}
	if err := v.store.set(name(e.Number), e.Attributes, e.Data); err != nil {
		return fmt.Errorf("writing the boot entry %s of the firmware: %w", name(e.Number), err)
	}
	if !is() {
		return fmt.Errorf("the firmware did not take the boot entry %s: it reads as another one", name(e.Number))
	}
	return nil
}
