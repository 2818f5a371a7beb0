package passwd

import (
	"io/fs"

	"griddle/initramfs/sysroot"
)

// Accounts are all files of a system. A nil table is a file that it does not have and need not.
type Accounts struct {
	Passwd, Shadow, Group, GShadow, SubUID, SubGID *Table
}

// Read reads the files of a tree. Those that every system needs are empty tables where they are missing.
func Read(d sysroot.Dir) (*Accounts, error) {
	a := &Accounts{}
	for _, f := range a.files() {
		b, err := d.Read(f.name)
		if err != nil {
			return nil, err
		}
		if b != nil || f.needed {
			*f.table = Parse(b, f.fields)
		}
	}
	return a, nil
}

// Save writes the files that differ from those of the tree. A file keeps its mode and its owner.
func (a *Accounts) Save(d sysroot.Dir) error {
	for _, f := range a.files() {
		if *f.table == nil {
			continue
		}
		old, err := d.Read(f.name)
		if err != nil {
			return err
		}
		if now := (*f.table).Bytes(); string(now) != string(old) {
			if err := d.Replace(f.name, now, f.mode); err != nil {
				return err
			}
		}
	}
	return nil
}

// file is one file of accounts.
type file struct {
	name   string
	table  **Table
	fields int
	needed bool
	mode   fs.FileMode // of a new one
}

// files are in the order in which they are written: a crash between two leaves no entry that lets someone in.
func (a *Accounts) files() []file {
	return []file{
		{"etc/group", &a.Group, GroupFields, true, 0o644},
		{"etc/gshadow", &a.GShadow, GShadowFields, false, 0o600},
		{"etc/shadow", &a.Shadow, ShadowFields, true, 0o600},
		{"etc/subuid", &a.SubUID, SubIDFields, false, 0o644},
		{"etc/subgid", &a.SubGID, SubIDFields, false, 0o644},
		{"etc/passwd", &a.Passwd, UserFields, true, 0o644},
	}
}
