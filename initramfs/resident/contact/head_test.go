package contact

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
)

// A machine that booted from the network keeps what it saw for its service, and never forgets a newer head.
func TestKeepHead(t *testing.T) {
	key, err := minisign.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	folder, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	file := filepath.Join(dir, seenDir, key.Public().ID())
	if err := KeepHead(folder, head.Seen{}); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		seq  int64
		sum  string
		want error
		then int64
	}{
		{7, "a", nil, 7},
		{7, "a", nil, 7},
		{9, "b", nil, 9},
		{8, "c", head.ErrRollback, 9},
		{9, "d", head.ErrRollback, 9},
	} {
		err := KeepHead(folder, head.Seen{Key: key.Public().String(), Seq: c.seq, SHA256: strings.Repeat(c.sum, 64)})
		seen, err2 := head.OpenSeenDir(filepath.Join(dir, seenDir)).Of(key.Public())
		if !errors.Is(err, c.want) || err2 != nil || seen.Seq != c.then {
			t.Errorf("KeepHead of %d = %v, and %d is known, %v; want %v and %d", c.seq, err, seen.Seq, err2, c.want,
				c.then)
		}
	}
	// What cannot be read is replaced, and a symlink leads nowhere else.
	other := filepath.Join(t.TempDir(), "other")
	for _, spoil := range []func() error{
		func() error { return os.WriteFile(file, []byte("rubbish"), 0o600) },
		func() error { return errors.Join(os.Remove(file), os.Symlink(other, file)) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		seen := head.Seen{Key: key.Public().String(), Seq: 3, SHA256: strings.Repeat("a", 64)}
		if err := KeepHead(folder, seen); err != nil {
			t.Error(err)
		}
		if seen, err := head.OpenSeenDir(filepath.Join(dir, seenDir)).Of(key.Public()); err != nil || seen.Seq != 3 {
			t.Errorf("%+v is known, %v", seen, err)
		}
		if _, err := os.Lstat(other); err == nil {
			t.Error("something was written outside the folder")
		}
	}
}
