package receive_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore/receive"
	"griddle/imagestore/sendstream"
)

// FuzzReceive turns bytes into commands on a few names, with valid checksums, and has them received as a
// plain directory on tmpfs. Whatever they are, the neighbour of the tree stays as it was, and either the tree
// is there or nothing is.
//
// The first byte of each command is its Op; then come two paths, a number and the data, a byte each.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{8, 5, 6, 0, 0, 3, 7, 0, 0, 0, 15, 7, 0, 3, 9})
	f.Add([]byte{4, 1, 0, 0, 0, 3, 2, 0, 0, 0, 9, 2, 3, 0, 0, 16, 3, 3, 1, 0, 11, 3, 0, 0, 0})
	f.Add([]byte{5, 1, 0, 6, 0, 15, 1, 0, 0, 5, 18, 1, 0, 3, 0, 25, 1, 0, 0, 4})
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 500 {
			return
		}
		dir, err := os.MkdirTemp("/dev/shm", "griddle-fuzz-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		outside := filepath.Join(dir, "outside")
		if err := os.WriteFile(outside, []byte("kept"), 0o640); err != nil {
			t.Fatal(err)
		}
		var before, after unix.Stat_t
		if err := unix.Stat(outside, &before); err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(dir, "target")
		if err := os.Mkdir(target, 0o755); err != nil {
			t.Fatal(err)
		}
		_, rerr := receive.Receive(context.Background(), bytes.NewReader(assemble(t, program)), target,
			receive.Options{Name: "x", Plain: true})
		if err := unix.Stat(outside, &after); err != nil {
			t.Fatal(err)
		}
		before.Atim, after.Atim = unix.Timespec{}, unix.Timespec{}
		if b, err := os.ReadFile(outside); after != before || err != nil || string(b) != "kept" {
			t.Fatalf("what lies outside is changed: %q, %v; %+v, was %+v", b, err, after, before)
		}
		for d, want := range map[string]int{dir: 2, target: 0} {
			if rerr == nil && d == target {
				want = 1
			}
			if all, err := os.ReadDir(d); err != nil || len(all) != want {
				t.Fatalf("%s holds %v (%v), want %d; Receive: %v", d, all, err, want, rerr)
			}
		}
	})
}

// assemble makes the stream of a program.
func assemble(t *testing.T, program []byte) []byte {
	paths := []string{"", "a", "b", "a/f", "b/g", "l", "../outside", "l/x", "/dev/shm", "..",
		"a/../b", "a/l/outside", "f"}
	numbers := []uint64{0, 1, 4096, 65536, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1, unix.S_IFCHR | 0o777,
		unix.S_IFBLK, 0o4755}
	var commands []sendstream.Command
	for ; len(program) >= 5; program = program[5:] {
		p, q := paths[int(program[1])%len(paths)], paths[int(program[2])%len(paths)]
		n := numbers[int(program[3])%len(numbers)]
		op := sendstream.Op(program[0]%23 + 3)
		if op == sendstream.OpEnd || op == sendstream.OpMknod && n&unix.S_IFMT == unix.S_IFBLK {
			continue
		}
		commands = append(commands, sendstream.Command{
			Op: op, Path: p, To: q, Link: q, ClonePath: q, CloneUUID: mine(), Mode: n, UID: n, GID: n, Rdev: n & 0x1ff,
			XattrName: "user." + q, FileOffset: min(n, 1<<50), Size: n, CloneOffset: 0, CloneLen: min(n, 1<<20),
			UnencodedFileLen: uint64(program[4]), UnencodedLen: min(n, 1<<17),
			Compression: sendstream.Compression(program[4] % 9),
			Data:        program[4 : 4+min(len(program)-4, int(program[4]))],
		})
		// Reserving room in memory for real would take the machine's.
		if last := &commands[len(commands)-1]; op == sendstream.OpFallocate {
			last.FallocateMode, last.FileOffset, last.Size = uint32(program[4]%4), min(n, 4096), min(n, 8192)
		}
	}
	return write(t, 2, commands...)
}
