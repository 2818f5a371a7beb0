// Package accounts gives a new system the users and groups that were added or changed on a machine.
//
// Call Merge with the accounts of the running system, of the image that it was made of, and of the new system, which it
// changes. Package passwd reads and writes them.
//
// # How accounts are merged
//
// Each field of an entry is what the machine changed it to, else what the new system has. So a password that was
// changed on the machine stays, and one that the new image changes comes with it, if both did not.
//
//	in the old system      in its image     in the new system   what the new system gets
//	ada                    -                -                   ada, with her number
//	ada                    -                ada                 the fields of the machine
//	student, changed       student          -                   student
//	student                student          -                   nothing
//	student                student          student             what it has
//	-                      student          student             what it has
//	-                      -                web                 what it has
//
// Without the image all entries of the old system count as changed. Of the accounts of services, below number 1000,
// the fields of the new system then win.
//
// # Numbers
//
// Files in /home belong to numbers, so people keep theirs. Where the new system gives such a number to another name, or
// such a name another number, Merge fails. Accounts of services have the number that the new system gives them, or a
// free one; Result says which numbers changed, so that files can follow. Where the new system gives the number of a
// service that it does not have to another name, the carried files of that service get a number without a name, so that
// no other name can read them.
//
// # What it guarantees
//
// The package is pure. What is merged twice is the same as what is merged once. Lines that are not well-formed stay in
// the new system, and do not come from the old one. Sources: those of package passwd, and shadow(3).
package accounts

import (
	"errors"
	"fmt"

	"griddle/initramfs/passwd"
)

// ErrConflict is wrapped by errors about numbers that do not fit.
var ErrConflict = errors.New("the accounts of this machine and of the new image do not fit")

// Result is what Merge did, in sentences for people, and the numbers of the old system that have become others.
type Result struct {
	Carried, Left []string
	UID, GID      map[int]int
}

// merge merges.
type merge struct {
	Result
	old, to   *passwd.Accounts
	image     *passwd.Accounts // empty if it was deleted
	known     bool             // there is an image
	hasShell  func(string) bool
	conflicts []error
}

// Merge changes to. image is nil if it was deleted. hasShell reports whether the new system has a program, by its
// absolute path. Errors wrap ErrConflict and name all conflicts; to is then not to be used.
func Merge(old, image, to *passwd.Accounts, hasShell func(string) bool) (Result, error) {
	m := &merge{old: old, to: to, image: image, known: image != nil, hasShell: hasShell}
	m.UID, m.GID = map[int]int{}, map[int]int{}
	if image == nil {
		m.image = &passwd.Accounts{Passwd: &passwd.Table{}, Shadow: &passwd.Table{}, Group: &passwd.Table{}}
	}
	for _, name := range names(old.Group) {
		m.group(name)
	}
	for _, name := range names(old.Passwd) {
		m.user(name)
	}
	for _, name := range names(old.Group) {
		m.members(name)
	}
	m.orphans(m.users())
	m.orphans(m.groups())
	m.ranges(old.SubUID, m.image.SubUID, to.SubUID)
	m.ranges(old.SubGID, m.image.SubGID, to.SubGID)
	m.compat()
	if m.conflicts != nil {
		return m.Result, fmt.Errorf("%w: %w", ErrConflict, errors.Join(m.conflicts...))
	}
	return m.Result, nil
}

func (m *merge) carried(format string, args ...any) {
	m.Carried = append(m.Carried, fmt.Sprintf(format, args...))
}

func (m *merge) left(format string, args ...any) {
	m.Left = append(m.Left, fmt.Sprintf(format, args...))
}

func (m *merge) conflict(format string, args ...any) {
	m.conflicts = append(m.conflicts, fmt.Errorf(format, args...))
}
