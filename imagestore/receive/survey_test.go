package receive_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// survey describes everything in a tree, a line for each path: type, permissions, owner, size, times of access and
// change of content, device, target, attributes, content, and which other path is the same file.
func survey(t testing.TB, root string) map[string]string {
	t.Helper()
	lines := map[string]string{}
	first := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		l := fmt.Sprintf("mode %o owner %d:%d atime %d.%09d mtime %d.%09d rdev %#x", st.Mode, st.Uid, st.Gid,
			st.Atim.Sec, st.Atim.Nsec, st.Mtim.Sec, st.Mtim.Nsec, st.Rdev)
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			l += fmt.Sprintf(" size %d links %d", st.Size, st.Nlink)
			if same, ok := first[st.Ino]; ok {
				l += fmt.Sprintf(" same as %q", same)
			}
			first[st.Ino] = rel
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			l += fmt.Sprintf(" to %q", target)
		case unix.S_IFREG:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			l += fmt.Sprintf(" sha256 %x", sha256.Sum256(b))
		}
		lines[rel] = l + attributes(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func attributes(t testing.TB, path string) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil {
		t.Fatalf("listxattr %s: %v", path, err)
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	sort.Strings(names)
	var all strings.Builder
	for _, name := range names {
		if name == "" || strings.HasPrefix(name, "trusted.SGI_ACL_") { // XFS lists ACLs twice
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Fatalf("getxattr %s %s: %v", path, name, err)
		}
		fmt.Fprintf(&all, " %s=%q", name, value[:n])
	}
	return all.String()
}

// same fails the test where two surveys differ, and shows the first differences.
func same(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	paths := map[string]bool{}
	for p := range got {
		paths[p] = true
	}
	for p := range want {
		paths[p] = true
	}
	sorted := make([]string, 0, len(paths))
	for p := range paths {
		sorted = append(sorted, p)
	}
	sort.Strings(sorted)
	shown := 0
	for _, p := range sorted {
		if got[p] == want[p] {
			continue
		}
		if shown++; shown > 8 {
			t.Errorf("%s: and more", what)
			return
		}
		t.Errorf("%s: %q\n got %s\nwant %s", what, p, got[p], want[p])
	}
}
